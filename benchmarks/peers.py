"""The peers of ``benchmarks/extraction.py``, each in a venv of its own under ``.peers/``, at locked versions.

    python peers.py

installs those that are missing. What goes wrong is written to ``.peers/<name>.failed``: the benchmark then goes on
without that peer, and says why.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".peers"
NAMES = ("cryo", "ethereum-etl")


@dataclass(frozen=True)
class Peer:
    """A peer by its name on the package index."""

    name: str

    @property
    def requirements(self) -> Path:
        return ROOT / "requirements" / f"peer-{self.name}.txt"

    @property
    def python(self) -> Path:
        return HOME / self.name / "bin" / "python"

    @property
    def _stamp(self) -> Path:
        """Named after the locked versions, so that new ones are installed."""
        digest = hashlib.sha256(self.requirements.read_bytes()).hexdigest()[:16]
        return HOME / self.name / f"installed-{digest}"

    @property
    def _failed(self) -> Path:
        return HOME / f"{self.name}.failed"

    def missing(self) -> str | None:
        """Return why the peer is not there, None when it is."""
        if self._stamp.exists():
            return None
        return self._failed.read_text() if self._failed.exists() else "not installed: run `make bench-peers`"

    def install(self) -> None:
        if self._stamp.exists():
            return
        print(f"Installing {self.name} into {HOME.name}/{self.name} …", flush=True)
        shutil.rmtree(HOME / self.name, ignore_errors=True)
        self._failed.unlink(missing_ok=True)
        uv = str(Path(sys.executable).with_name("uv"))
        # The locked list is complete; without --no-deps ethereum-etl's own pin of parsimonious would contradict it.
        install = (uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", str(self.python))
        for command in (
            (uv, "venv", "--quiet", "--python", sys.executable, str(HOME / self.name)),
            (*install, "-r", str(self.requirements)),
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                why = f"cannot be installed: {' '.join(done.stderr.split())[-500:]}"
                self._failed.write_text(why)
                print(f"{self.name} {why}", file=sys.stderr, flush=True)
                return
        self._stamp.touch()


def main() -> None:
    HOME.mkdir(exist_ok=True)
    for name in NAMES:
        Peer(name).install()


if __name__ == "__main__":
    main()
