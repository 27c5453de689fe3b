"""Who gets in: tokens, their roles, the namespaces that they see, and sessions (design section 5.3)."""

from ampd.access.models import Access, NewToken, Role, Token, TokenStatus
from ampd.access.secret import TOKEN_PATTERN, is_csrf_token
from ampd.access.sessions import Session, SessionEndedError, SessionStore
from ampd.access.store import AccessStore

__all__ = [
    "TOKEN_PATTERN",
    "Access",
    "AccessStore",
    "NewToken",
    "Role",
    "Session",
    "SessionEndedError",
    "SessionStore",
    "Token",
    "TokenStatus",
    "is_csrf_token",
]
