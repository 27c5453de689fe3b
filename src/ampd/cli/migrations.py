"""`ampd migrate`: what it shows of migrations, and how it applies them."""

from __future__ import annotations

import json
from typing import Any, Literal

from ampd.config import Config
from ampd.metadata_db import Phase, migrate, migration_status

PhaseWord = Literal["pre", "post", "all"]


def apply(config: Config, phase: PhaseWord, force: bool, as_json: bool) -> None:
    """Apply the migrations of a phase that are pending, and say which.

    :raises AmpError: METADATA_DB_IN_USE and what else :func:`ampd.metadata_db.migrate` raises.
    """
    applied = migrate(
        config.require_metadata_db_url(), phase=_phase(phase), force=force, lease_seconds=config.worker.lease_secs
    )
    if as_json:
        print(json.dumps({"applied_now": applied}))
        return
    for name in applied:
        print(f"applied {name}")
    done = (
        "The metadata database is up to date." if phase == "all" else f"No migration of the phase {phase} is pending."
    )
    print(f"Applied {len(applied)} migration(s)." if applied else done)


def show(config: Config, phase: PhaseWord, as_json: bool) -> None:
    """Print what the database has had, what it lacks of a phase, and whom that has to wait for.

    :raises AmpError: METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED.
    """
    status = migration_status(config.require_metadata_db_url(), lease_seconds=config.worker.lease_secs)
    wanted = _phase(phase)
    pending = [each for each in status.pending if wanted is None or each.is_post == (wanted is Phase.POST)]
    older = [each for each in status.older_processes if any(file.oldest_version is not None for file in pending)]
    if as_json:
        print(
            json.dumps(
                {
                    "applied": [_described(each.id, each.phase, each.oldest_version) for each in status.applied],
                    "pending": [_described(each.id, each.phase, each.oldest_version) for each in pending],
                    "older_processes": [{"name": each.name, "version": each.version} for each in older],
                }
            )
        )
        return
    for done in status.applied:
        print(f"applied  {done.phase or '-':4}  {done.id}")
    for file in pending:
        print(f"pending  {file.phase or '-':4}  {file.id}")
    if not pending:
        print("Nothing is pending.")
    for each in older:
        print(f"The phase post waits for the end of {each}.")


def _described(name: str, phase: Phase | None, oldest_version: str | None) -> dict[str, Any]:
    return {"id": name, "phase": phase, "oldest_version": oldest_version}


def _phase(word: PhaseWord) -> Phase | None:
    return None if word == "all" else Phase(word)
