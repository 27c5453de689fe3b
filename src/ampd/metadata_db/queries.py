"""SQL files: one operation per file, loaded by name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def sql(room: str, operation: str) -> LiteralString:
    """Return the text of ``ampd/<room>/sql/<operation>.sql``.

    The files are part of the package, so their text is as trusted as our own source: that is why it counts as a
    literal.
    """
    text: LiteralString = files(f"ampd.{room}").joinpath("sql", f"{operation}.sql").read_text(encoding="utf-8")
    return text
