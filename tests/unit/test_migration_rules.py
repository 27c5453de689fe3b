"""Migrations keep the rules by which the version before goes on working while they are applied."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

import ampd
from support.migration_rules import faults_in

MIGRATIONS = Path(str(files("ampd.metadata_db"))) / "migrations"
# Released together, never applied beside processes of another version.
FIRST_RELEASE = frozenset(
    {
        "0001_first_tables",
        "0002_job_engine",
        "0003_block_ranges",
        "0004_endpoint_cooldowns",
        "0005_jobs_of_dataset",
        "0006_job_operations",
        "0007_timetables",
        "0008_webhooks",
        "0009_job_kinds",
        "0010_tokens",
        "0011_lake_restores",
        "0013_counted_jobs",
        "0014_source_cursors",
        "0015_worker_events",
    }
)


def faults(folder: Path, head: str, body: str) -> list[str]:
    (folder / "0001_first.sql").write_text("-- depends:\n\nCREATE TABLE jobs (id bigint);\n", encoding="utf-8")
    (folder / "0002_next.sql").write_text(f"-- depends: 0001_first\n{head}\n\n{body}\n", encoding="utf-8")
    found = faults_in(folder, first_release=frozenset({"0001_first"}), version="0.2.0")
    return [fault.removeprefix("0002_next: ") for fault in found]


def test_all_migrations_keep_the_rules() -> None:
    assert faults_in(MIGRATIONS, first_release=FIRST_RELEASE, version=ampd.__version__) == []


PRE, POST = "-- phase: pre", "-- phase: post\n-- oldest-version: 0.2.0"
APART = f"{PRE}\n-- transactional: false"
DROP_FIRST = "DROP INDEX CONCURRENTLY IF EXISTS jobs_a;\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (PRE, "ALTER TABLE jobs ADD COLUMN a int;"),
        (PRE, "ALTER TABLE jobs ADD COLUMN a int NOT NULL DEFAULT 0, ADD COLUMN b numeric(1, 2);"),
        (PRE, "ALTER TABLE jobs ALTER COLUMN a DROP NOT NULL;"),
        (PRE, "ALTER TABLE jobs ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"),
        (PRE, "ALTER TABLE jobs VALIDATE CONSTRAINT c;"),
        (PRE, "ALTER TABLE jobs ADD CONSTRAINT c UNIQUE USING INDEX jobs_a;"),
        (PRE, "CREATE TABLE new (a int NOT NULL, b text UNIQUE, CHECK (a > 0));\nCREATE INDEX new_a ON new (a);"),
        (PRE, "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM jobs; DROP TABLE jobs $$;"),
        (PRE, "-- DROP TABLE jobs;\nCOMMENT ON TABLE jobs IS 'DROP TABLE jobs';"),
        (APART, f"{DROP_FIRST}CREATE INDEX CONCURRENTLY jobs_a ON jobs (a);"),
        (POST, "ALTER TABLE jobs DROP COLUMN a;\nDROP INDEX jobs_b;"),
    ],
)
def test_what_the_version_before_does_not_notice_is_fine(tmp_path: Path, head: str, body: str) -> None:
    assert faults(tmp_path, head, body) == []


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        ("", "SELECT 1;", "no phase"),
        ("-- phase: post\n-- oldest-version: 0.2.1", "SELECT 1;", "raise the version of the package"),
        (PRE, "DROP TABLE jobs;", "DROP"),
        (PRE, "ALTER TABLE jobs DROP COLUMN a;", "DROP"),
        (PRE, "alter table jobs\n    drop a;", "DROP"),
        (PRE, "ALTER TABLE jobs ALTER COLUMN a TYPE bigint;", "ALTER … TYPE"),
        (POST, "ALTER TABLE jobs ALTER a SET DATA TYPE bigint;", "ALTER … TYPE"),
        (PRE, "ALTER TABLE jobs RENAME COLUMN a TO b;", "RENAME"),
        (PRE, "ALTER TABLE jobs ALTER COLUMN a SET NOT NULL;", "SET NOT NULL"),
        (PRE, "ALTER TABLE jobs ADD COLUMN a int DEFAULT 0, ADD COLUMN b int NOT NULL;", "NOT NULL without a default"),
        (PRE, "ALTER TABLE jobs ADD COLUMN a uuid DEFAULT gen_random_uuid();", "row to row"),
        (PRE, "ALTER TABLE jobs ADD COLUMN a int GENERATED ALWAYS AS (id + 1) STORED;", "anew"),
        (PRE, "ALTER TABLE jobs ADD CHECK (a > 0);", "NOT VALID"),
        (PRE, "ALTER TABLE jobs ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES jobs;", "NOT VALID"),
        (PRE, "ALTER TABLE jobs ADD UNIQUE (a);", "builds an index"),
        (PRE, "UPDATE jobs SET a = 1;", "changes rows"),
        (PRE, "CREATE INDEX jobs_a ON jobs (a);", "keeps everybody from writing"),
        (POST, "CREATE INDEX jobs_a ON jobs (a);", "keeps everybody from writing"),
        (PRE, f"{DROP_FIRST}CREATE INDEX CONCURRENTLY jobs_a ON jobs (a);", "outside of transactions only"),
        (APART, "CREATE INDEX CONCURRENTLY jobs_a ON jobs (a);", "must come first"),
        (APART, f"{DROP_FIRST}CREATE UNIQUE INDEX CONCURRENTLY jobs_a ON jobs (a);", "UNIQUE may refuse"),
        (APART, "ALTER TABLE jobs ADD COLUMN a int;", "only indexes"),
        (PRE, "LOCK TABLE jobs;", "holds a lock"),
    ],
)
def test_what_the_version_before_would_notice_is_found(tmp_path: Path, head: str, body: str, said: str) -> None:
    assert said in "; ".join(faults(tmp_path, head, body))


def test_what_comes_first_depends_on_nothing_that_comes_last(tmp_path: Path) -> None:
    (tmp_path / "0003_last.sql").write_text("-- depends: 0002_next\n-- phase: pre\n\nSELECT 1;\n", encoding="utf-8")
    (tmp_path / "0004_last.sql").write_text("-- depends: 0003_last\n-- phase: pre\n\nSELECT 1;\n", encoding="utf-8")
    faults(tmp_path, POST, "ALTER TABLE jobs DROP COLUMN a;")
    found = faults_in(tmp_path, first_release=frozenset({"0001_first"}), version="0.2.0")
    assert [fault.partition(":")[0] for fault in found if "that is post" in fault] == ["0003_last", "0004_last"]


def outermost(statement: str) -> str:
    """Return a statement without what stands in parentheses."""
    kept, depth = [], 0
    for character in re.sub(r"--.*", "", statement):
        depth += character == "("
        if depth == 0:
            kept.append(character)
        depth -= character == ")"
    return "".join(kept)


def gives_whatever_columns_there_are(statement: str) -> bool:
    """Tell whether the columns of the answer are those that a table happens to have."""
    return re.search(r"(\b(SELECT|RETURNING)|,)\s*\*|\w\.\*", outermost(statement)) is not None


def test_no_statement_gives_whatever_columns_a_table_has() -> None:
    """PostgreSQL refuses a prepared statement whose answer would have another column than when it was prepared: a
    migration that adds one would make processes fail that are at work.
    """
    assert gives_whatever_columns_there_are("SELECT j.*, 1 AS a FROM jobs j")
    assert gives_whatever_columns_there_are("UPDATE jobs SET a = 1 RETURNING *")
    assert not gives_whatever_columns_there_are("SELECT count(*), 2 * a FROM (SELECT * FROM jobs) j")
    found = [
        path.relative_to(MIGRATIONS.parents[1]).as_posix()
        for path in sorted(MIGRATIONS.parents[1].glob("*/sql/*.sql"))
        if gives_whatever_columns_there_are(path.read_text(encoding="utf-8"))
        and not path.name.startswith("newest_jobs")  # parts of list_jobs.sql
    ]
    assert found == []
