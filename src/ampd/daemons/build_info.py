"""Which build this is, as workers tell it of themselves."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from ampd import __version__

UNKNOWN = "unknown"


@cache
def build_info() -> dict[str, str]:
    """Return ``version``, ``commit_sha``, ``commit_timestamp`` and ``build_date``; what cannot be told is ``unknown``.

    A checkout knows its commit; an installed package knows its version.
    """
    described = _git("describe", "--tags", "--always", "--dirty")
    date = _git("log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ")
    return {
        "version": described if described.startswith("v") else f"v{__version__}",
        "commit_sha": _git("rev-parse", "HEAD") or UNKNOWN,
        "commit_timestamp": date or UNKNOWN,
        "build_date": date or UNKNOWN,  # a checkout is built when it is committed
    }


def _git(*arguments: str) -> str:
    """Return git's answer about the checkout that holds this package, or nothing when it is no checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env={"TZ": "UTC", "PATH": "/usr/bin:/bin:/usr/local/bin"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
