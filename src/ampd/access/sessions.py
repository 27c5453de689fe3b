"""Sessions: a cookie in place of a token, so that a browser need not keep the token. They are rows, so that all
controllers of a metadata database share them, and each request looks its session up: whatever this says is true now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ampd.access.models import Access, access_of
from ampd.access.secret import csrf_token_of, hash_of, is_session, new_session
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb, sql

# So long without a request, to the minute, and it is over.
SESSION_SECONDS: Final = 12 * 3600.0


@dataclass(frozen=True)
class Session:
    """Somebody who has signed in. ``access`` is what their token opens. ``expires_at``: when it ends unless it is used
    again before. ``csrf_token`` is what requests that change something have to show beside the cookie.
    """

    access: Access
    expires_at: datetime
    csrf_token: str = field(repr=False)


class SessionEndedError(AmpError):
    """The session of a cookie is not there, or not any more."""

    def __init__(self, what: str) -> None:
        super().__init__(ErrorCode.UNAUTHORIZED, f"{what}: sign in again")


class SessionStore:
    """Begins, recognises and ends sessions."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db

    async def begin(self, access: Access) -> tuple[Session, str]:
        """Begin a session of a token, by what that opens; return it and its secret, for the cookie.

        :raises SessionEndedError: the token has ended meanwhile.
        """
        secret = new_session()
        parameters = {"hash": hash_of(secret), "token_id": access.token_id, "idle_seconds": SESSION_SECONDS}
        await self._db.execute(sql("access", "begin_session"), parameters)
        return await self.identify(secret), secret

    async def identify(self, secret: str) -> Session:
        """Return the session that has ``secret``, which is used by that.

        :raises SessionEndedError: there is none, or it is over.
        """
        parameters = {"hash": hash_of(secret), "idle_seconds": SESSION_SECONDS}
        row = await self._db.fetch_one(sql("access", "find_session"), parameters) if is_session(secret) else None
        if row is None:
            raise SessionEndedError("this session is not there, or not any more")
        if row["revoked"] or row["expired"]:
            what = "was revoked" if row["revoked"] else "has expired"
            raise SessionEndedError(f"this session has ended with its token '{row['name']}', which {what}")
        if row["is_over"]:
            raise SessionEndedError(f"this session has ended after {SESSION_SECONDS / 3600:g} hours without use")
        if row["session_use_is_old"]:
            await self._db.execute(sql("access", "note_session_use"), {"hash": hash_of(secret)})
        if row["use_is_old"]:
            await self._db.execute(sql("access", "note_use"), {"token_id": row["id"]})
        return Session(access_of(row), row["expires_at"], csrf_token_of(secret))

    async def end(self, secret: str) -> bool:
        """End a session, on all controllers. False when there was none."""
        return await self._db.fetch_one(sql("access", "end_session"), {"hash": hash_of(secret)}) is not None
