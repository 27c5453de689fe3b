"""`ampd token create`: a token made beside the Admin API, for the first one, and for when all others are lost."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ampd.access import AccessStore, NewToken, Role, Token
from ampd.config import Config, load_config
from ampd.daemons.lifecycle import open_metadata_db
from ampd.daemons.solo import metadata_db_of


def make_token(config: Config, role: str, name: str | None, namespaces: list[str], expires: float | None) -> None:
    """Make a token in the metadata database and print it, alone, to stdout; what it is goes to stderr.

    :raises AmpError: METADATA_DB_UNREACHABLE, INVALID_BODY, TOKEN_CONFLICT.
    """
    new = NewToken(Role(role), name, tuple(namespaces) or None, expires)
    token, secret = asyncio.run(_make(config, new))
    seen = ", ".join(token.namespaces) if token.namespaces else "everything"
    print(f"Token '{token.name}' ({token.role}) sees {seen}. It is not shown again.", file=sys.stderr)
    print(secret)


@contextmanager
def metadata_db_in(amp_dir: Path) -> Iterator[Config]:
    """Give the configuration of an `ampd solo` that does not run, its metadata database being there meanwhile.

    :raises AmpError: AMP_DIR_IN_USE when it does run.
    """
    folder = amp_dir.absolute()
    config = load_config(folder / "config.toml")
    with metadata_db_of(config, folder) as url:
        yield config.model_copy(update={"metadata_db": config.metadata_db.model_copy(update={"url": url})})


async def _make(config: Config, new: NewToken) -> tuple[Token, str]:
    db = await open_metadata_db(config, process="token create")
    try:
        return await AccessStore(db).create(new, actor=f"ampd:{_user()}")
    finally:
        await db.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account that the system has no name for
        return "unknown"
