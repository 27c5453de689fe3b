"""Who gets in: tokens, their roles, and the namespaces that they see (design section 5.3)."""

from ampd.access.models import Access, NewToken, Role, Token, TokenStatus
from ampd.access.secret import TOKEN_PATTERN
from ampd.access.store import AccessStore

__all__ = ["TOKEN_PATTERN", "Access", "AccessStore", "NewToken", "Role", "Token", "TokenStatus"]
