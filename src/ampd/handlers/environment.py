"""``${env:AMP_JOB_…}`` in the input of a job: a variable of the worker that runs it, so that no secret is stored.

Only variables whose names begin with ``AMP_JOB_`` are given out. Whoever may create a job may send it anywhere: the
worker's other variables, among them the keys of its database and its lake, are not for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ampd.errors import AmpError, ErrorCode

PREFIX: Final = "AMP_JOB_"
PLACEHOLDER: Final = re.compile(r"\$\{env:([^{}]*)\}")


def check_placeholders(text: str) -> str:
    """Return ``text`` when every placeholder in it may be replaced.

    :raises ValueError: naming the one that may not.
    """
    for name in PLACEHOLDER.findall(text):
        if not re.fullmatch(rf"{PREFIX}[A-Za-z0-9_]+", name):
            raise ValueError(f"${{env:{name[:80]}}}: only variables whose names begin with {PREFIX} are given to jobs")
    return text


class Environment:
    """Replaces placeholders by ``variables``; ``used`` is what it has put in."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.used: set[str] = set()

    def fill(self, content: Any) -> Any:
        """Return ``content`` with the placeholders in all of its texts replaced, keys aside.

        :raises AmpError: INVALID_JOB_INPUT naming a variable that is not set.
        """
        if isinstance(content, str):
            return PLACEHOLDER.sub(lambda found: self._value(found[1]), content)
        if isinstance(content, dict):
            return {key: self.fill(item) for key, item in content.items()}
        return [self.fill(item) for item in content] if isinstance(content, list) else content

    def _value(self, name: str) -> str:
        value = self._variables.get(name) if name.startswith(PREFIX) else None
        if value is None:
            raise AmpError(
                ErrorCode.INVALID_JOB_INPUT,
                f"the job's input needs the environment variable '{name}', which is not set where this worker runs. "
                "Set it for every worker and start them again",
            )
        self.used.add(value)
        return value
