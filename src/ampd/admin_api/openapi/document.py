"""Prints the specification that docs/reference/openapi.json holds: ``python -m`` with the name of this module."""

from __future__ import annotations

import json
import sys

from ampd import __version__
from ampd.admin_api.app import specification


def specification_text() -> str:
    """Return the specification as the text of docs/reference/openapi.json."""
    return json.dumps(specification(__version__), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(specification_text())
