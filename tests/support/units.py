"""systemd units, as far as tests play systemd: what a unit starts, with which environment."""

from __future__ import annotations

import re
import shlex
from pathlib import Path


class Unit:
    """A unit file; ``instance`` is what stands behind the ``@``."""

    def __init__(self, file: Path, instance: str = "") -> None:
        self.file = file
        self._instance = instance
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] not in "#;["]
        self.options = [tuple(line.split("=", 1)) for line in lines]

    def option(self, name: str) -> str:
        """Return the value of an option that is there once."""
        (value,) = [value for key, value in self.options if key == name]
        return value.replace("%i", self._instance)

    def seconds(self, name: str) -> float:
        """Return the value of an option in seconds."""
        return float(self.option(name))

    @property
    def command(self) -> list[str]:
        """What it starts, as words."""
        return shlex.split(self.option("ExecStart"))


def unit_in(folder: Path, name: str) -> Unit:
    """Return the unit that systemd would start under ``name`` (``ampd-worker@eth-1``)."""
    template, at, instance = name.removesuffix(".service").partition("@")
    return Unit(folder / f"{template}{at}.service", instance)


def variables_in(file: Path) -> dict[str, str]:
    """Return what a file for EnvironmentFile sets."""
    return dict(re.findall(r"^([A-Z][A-Za-z0-9_]*)=(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE))
