"""The tokens of one metadata database. Whatever this says is true now, on every controller: nothing is remembered."""

from __future__ import annotations

from typing import Final

from ampd.access.models import Access, NewToken, Role, Token, TokenStatus, access_of, namespaces_of
from ampd.access.secret import hash_of, is_token_of, new_token, prefix_of
from ampd.access.sessions import SessionStore
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb, Row, sql

_MEND: Final = "give a valid one with --auth-token or AMP_AUTH_TOKEN; 'ampctl token create', or 'ampd token create' on "
_MAKE_ANOTHER: Final = f"{_MEND}the controller's machine, makes one"


class AccessStore:
    """Makes, lists, revokes and recognises tokens; ``sessions`` are those that have begun with one."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db
        self.sessions = SessionStore(db)

    async def has_tokens(self) -> bool:
        """Tell whether there ever was a token: from then on nobody gets in without one."""
        row = await self._db.fetch_one(sql("access", "has_tokens"))
        return row is not None and bool(row["found"])

    async def identify(self, token: str) -> Access:
        """Return what is open to the bearer of ``token``.

        :raises AmpError: UNAUTHORIZED.
        """
        prefix = prefix_of(token)
        row = None if prefix is None else await self._db.fetch_one(sql("access", "find_token"), {"prefix": prefix})
        if row is None or not is_token_of(token, row["hash"]):
            raise AmpError(ErrorCode.UNAUTHORIZED, f"the token is not known here; {_MAKE_ANOTHER}")
        if row["revoked"] or row["expired"]:
            what = "was revoked" if row["revoked"] else "has expired"
            raise AmpError(ErrorCode.UNAUTHORIZED, f"token '{row['name']}' {what}; {_MAKE_ANOTHER}")
        if row["use_is_old"]:
            await self._db.execute(sql("access", "note_use"), {"token_id": row["id"]})
        return access_of(row)

    async def create(self, new: NewToken, *, actor: str) -> tuple[Token, str]:
        """Make a token, and return it and its secret, which is shown here and never again.

        :raises AmpError: TOKEN_CONFLICT when another that is not revoked has the name; INVALID_BODY when it would be
        the first one and could not make others: everybody would be shut out.
        """
        if not new.opens_everything and not await self.has_tokens():
            raise AmpError(
                ErrorCode.INVALID_BODY,
                "from the first token on nobody gets in without one: the first must have the role admin and all "
                "namespaces, so that others can be made with it",
            )
        secret = new_token()
        prefix = prefix_of(secret)
        parameters = {
            "name": new.name or f"token-{secret[4:16]}",
            "role": new.role,
            "namespaces": None if new.namespaces is None else sorted(set(new.namespaces)),
            "prefix": prefix,
            "hash": hash_of(secret),
            "created_by": actor,
            "expires_in_seconds": new.expires_in_seconds,
        }
        row = await self._db.fetch_one(sql("access", "insert_token"), parameters)
        if row is None:
            message = f"there is a token '{new.name}' already; choose another name, or revoke that one first"
            raise AmpError(ErrorCode.TOKEN_CONFLICT, message)
        return await self._get(row["id"]), secret

    async def list_all(self) -> list[Token]:
        """Return all tokens, the oldest first, also those that open nothing any more."""
        rows = await self._db.fetch_all(sql("access", "list_tokens"), {"token_id": None})
        return [_token(row) for row in rows]

    async def revoke(self, token_id: int, *, actor: str) -> bool:
        """End a token: from now on it opens nothing, on any controller. False when there was nothing to end."""
        parameters = {"token_id": token_id, "actor": actor}
        return await self._db.fetch_one(sql("access", "revoke_token"), parameters) is not None

    async def _get(self, token_id: int) -> Token:
        (row,) = await self._db.fetch_all(sql("access", "list_tokens"), {"token_id": token_id})
        return _token(row)


def _token(row: Row) -> Token:
    shaped = {"role": Role(row["role"]), "status": TokenStatus(row["status"]), "namespaces": namespaces_of(row)}
    return Token(**row | shaped)
