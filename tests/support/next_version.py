"""A version of ampd that does not exist yet: a copy of the package with another version, migrations and SQL."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import ampd

VERSION = "0.2.0"
PACKAGE = Path(ampd.__file__).parent
MIGRATIONS = Path("metadata_db", "migrations")


class NextVersion:
    """The copy; ``environment`` makes a new interpreter use it in place of the present version."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.package = directory / "ampd"
        self.environment = {"PYTHONPATH": str(directory)}
        # With its compiled modules, which stay valid: only what is changed is compiled again.
        shutil.copytree(PACKAGE, self.package)
        about = directory / f"ampd-{VERSION}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ampd\nVersion: {VERSION}\n", encoding="utf-8")

    def add_migrations(self, files: Mapping[str, str]) -> None:
        """Add migrations by their ids. The first depends on all that there are, each other one on the one before."""
        depends = sorted(path.stem for path in (PACKAGE / MIGRATIONS).glob("*.sql"))
        for id_, text in files.items():
            head = f"-- depends: {' '.join(depends)}\n"
            (self.package / MIGRATIONS / f"{id_}.sql").write_text(head + text, encoding="utf-8")
            depends = [id_]

    def replace(self, file: str, old: str, new: str) -> None:
        """Change the text of a file of the package."""
        path = self.package / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
