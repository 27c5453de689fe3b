"""What a page tells its readers to type."""

from __future__ import annotations

import re
from pathlib import Path

_FENCE = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands_in(page: Path, heading: str) -> list[str]:
    """Return the commands of the console blocks below a heading, up to the next one of its level."""
    text = page.read_text(encoding="utf-8")
    start = text.index(f"\n{heading}\n")
    level = heading.partition(" ")[0]
    after = re.search(rf"^{level} ", text[start + 1 + len(heading) :], re.MULTILINE)
    section = text[start:] if after is None else text[start : start + 1 + len(heading) + after.start()]
    lines = [line.strip() for block in _FENCE.findall(section) for line in block.splitlines()]
    return [line[2:] for line in lines if line.startswith("$ ")]
