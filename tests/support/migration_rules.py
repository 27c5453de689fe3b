"""The rules for writers of migrations (CONTRIBUTING.md, "a migration"), as far as a program can see them."""

from __future__ import annotations

import re
from pathlib import Path

import sqlparse

from ampd.metadata_db.migration_files import MigrationFile, Phase, parse_version, read_migration_files

_TEXTS = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)
_NAME = r'((?:"[^"]+"|[\w.])+)'
_NEW_TABLE = re.compile(rf"\bCREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?{_NAME}")
_INDEX = re.compile(rf"\bCREATE (UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?{_NAME} ON (?:ONLY )?{_NAME}")
_DROP_INDEX = re.compile(rf"\bDROP INDEX CONCURRENTLY IF EXISTS {_NAME}$")
_ALTERED = re.compile(rf"\bALTER TABLE (?:IF EXISTS )?(?:ONLY )?{_NAME} (.*)")
# What a migration does to a table that is in use, and what is wrong with it; in capitals, words with one space between.
_TAKES_AWAY = (
    (r"\bDROP (TABLE|SCHEMA|VIEW|MATERIALIZED VIEW|FUNCTION|PROCEDURE|TRIGGER|TYPE|SEQUENCE|RULE|EXTENSION)\b", "DROP"),
    (r"\bDROP (COLUMN|CONSTRAINT|DEFAULT|EXPRESSION|IDENTITY)\b", "DROP"),
    (r"\bALTER TABLE .*\bDROP (?!NOT NULL)", "DROP"),
    (r"\bRENAME\b", "RENAME"),
    (r"\bSET NOT NULL\b", "SET NOT NULL: processes of the version before may write NULL"),
    (r"^(TRUNCATE|DELETE|UPDATE)\b", "changes rows that processes of the version before work with"),
    (r"^REVOKE\b", "REVOKE"),
)
_LOCKS_LONG = (
    (r"\bALTER (COLUMN )?\S+ (SET DATA )?TYPE\b", "ALTER … TYPE writes the table anew under a lock"),
    (r"\bADD COLUMN .*\b(SMALLSERIAL|SERIAL|BIGSERIAL|GENERATED)\b", "writes the table anew under a lock"),
    (
        r"\bADD COLUMN .*\bDEFAULT \(?(CLOCK_TIMESTAMP|RANDOM|GEN_RANDOM_UUID|NEXTVAL|TIMEOFDAY)\b",
        "a default that differs from row to row writes the table anew under a lock",
    ),
    (
        r"\bADD (CONSTRAINT \S+ )?(CHECK|FOREIGN KEY)\b(?!.*\bNOT VALID\b)",
        "reads the table under a lock: add it NOT VALID, and VALIDATE CONSTRAINT in the next migration",
    ),
    (
        r"\bADD (CONSTRAINT \S+ )?(UNIQUE|PRIMARY KEY|EXCLUDE)\b(?! USING INDEX)",
        "builds an index under a lock: CREATE UNIQUE INDEX CONCURRENTLY first",
    ),
    (r"^(CLUSTER|VACUUM|LOCK)\b", "holds a lock for long"),
    (r"^REINDEX\b(?!.*\bCONCURRENTLY\b)", "holds a lock for long"),
)


def faults_in(folder: Path, *, first_release: frozenset[str], version: str) -> list[str]:
    """Return what is wrong with the migrations in ``folder``; those of the first release may do what they like.

    ``version`` is that of the package: what takes away needs one that there is.
    """
    faults = []
    for file in read_migration_files(str(folder)):
        if file.id not in first_release:
            text = (folder / f"{file.id}.sql").read_text(encoding="utf-8")
            faults += [
                f"{file.id}: {fault}" for fault in (*_faults_of_head(file, version), *faults_of_text(file, text))
            ]
    numbers = [path.name.partition("_")[0] for path in sorted(folder.glob("*.sql"))]
    faults += [f"{number}: two migrations have this number" for number in numbers if numbers.count(number) > 1]
    return list(dict.fromkeys(faults))


def _faults_of_head(file: MigrationFile, version: str) -> list[str]:
    if file.phase is None:
        return ["it has no phase: '-- phase: pre' or '-- phase: post' at its head"]
    faults = []
    if file.phase is Phase.PRE:
        after = sorted(each.id for each in _all_before(file.yoyo) if "phase: post" in each.source)
        faults += [f"a pre migration comes before {each}, which it depends on: that is post" for each in after]
    oldest, present = parse_version(file.oldest_version), parse_version(version)
    if oldest is not None and present is not None and oldest > present:
        faults.append(f"it needs ampd {file.oldest_version}, and this is {version}: raise the version of the package")
    return faults


def _all_before(migration: object) -> set[object]:
    found: set[object] = set()
    todo = [migration]
    while todo:
        todo += [each for each in todo.pop().depends if each not in found and not found.add(each)]  # type: ignore[attr-defined]
    return found


def faults_of_text(file: MigrationFile, text: str) -> list[str]:
    """Return what is wrong with the statements of a migration."""
    statements = [" ".join(_TEXTS.sub("''", each).split()).upper().rstrip("; ") for each in _statements(text)]
    new = {name for each in statements for name in _NEW_TABLE.findall(each)}
    if not file.yoyo.use_transactions:
        return _faults_outside_transactions(statements)
    faults = []
    for statement in statements:
        altered = _ALTERED.search(statement)
        index = _INDEX.search(statement)
        if index:
            if index[2]:
                faults.append("CONCURRENTLY works outside of transactions only: '-- transactional: false' at its head")
            elif index[4] not in new:
                faults.append(
                    f"CREATE INDEX on {index[4]} keeps everybody from writing: CONCURRENTLY, in a file of its own"
                )
        elif altered is None or altered[1] not in new:
            faults += _faults_in_use(statement, file)
    return faults


def _faults_in_use(statement: str, file: MigrationFile) -> list[str]:
    rules = (*_LOCKS_LONG, *(_TAKES_AWAY if file.phase is Phase.PRE else ()))
    faults = [f"{_shortened(statement)}: {why}" for pattern, why in rules if re.search(pattern, statement)]
    why = "NOT NULL without a default: the version before does not know the column"
    columns = re.split(r",(?![^(]*\))", statement)
    blind = [each for each in columns if re.search(r"\bADD COLUMN\b.*\bNOT NULL\b", each) and "DEFAULT" not in each]
    return [*faults, *(f"{_shortened(each.strip())}: {why}" for each in blind)]


def _faults_outside_transactions(statements: list[str]) -> list[str]:
    """Outside of transactions an interruption leaves half of it, so each statement must bear being run again."""
    faults = []
    dropped: set[str] = set()
    for statement in statements:
        index, drop = _INDEX.search(statement), _DROP_INDEX.search(statement)
        if drop:
            dropped.add(drop[1])
        elif index and index[2]:
            if index[3] not in dropped:
                faults.append(
                    f"DROP INDEX CONCURRENTLY IF EXISTS {index[3]} must come first: what was interrupted is there"
                )
            if index[1]:
                faults.append(f"{_shortened(statement)}: UNIQUE may refuse what the version before writes")
        else:
            faults.append(f"{_shortened(statement)}: only indexes are built outside of transactions")
    return faults


def _statements(text: str) -> list[str]:
    parts = sqlparse.split(sqlparse.format(text, strip_comments=True))
    return [part for part in parts if part.strip(" ;\n")]


def _shortened(statement: str) -> str:
    return statement if len(statement) <= 60 else f"{statement[:57]}..."
