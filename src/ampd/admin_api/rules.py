"""What each operation asks of a token. Every route declares one of these as its dependency:

    @router.get("", operation_id="list_things", dependencies=[VIEWER])

A route without one answers nobody, and a test names it. What a limited token sees is not decided here: its services are
limited (services.py). ``WHOLE_…`` is for operations on what belongs to no namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from fastapi import Depends, Request
from fastapi.params import Depends as DependsParameter
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from ampd.access import Access, Role
from ampd.errors import AmpError, ErrorCode


@dataclass(frozen=True)
class Rule:
    """Who may use an operation: tokens with ``role`` or more, None: everybody, without a token. With ``whole`` only
    those that are not limited to namespaces.
    """

    role: Role | None
    whole: bool = False

    def check(self, access: Access) -> None:
        """Refuse whoever may not.

        :raises AmpError: FORBIDDEN.
        """
        if self.role is not None and not access.role.includes(self.role):
            raise AmpError(
                ErrorCode.FORBIDDEN,
                f"this needs a token with the role {self.role}; the one of this request has the role {access.role}. An "
                f"admin makes one with 'ampctl token create --role {self.role}'",
            )
        if self.whole and access.namespaces is not None:
            raise AmpError(
                ErrorCode.FORBIDDEN,
                "this concerns the whole cluster, and the token of this request is limited to "
                f"{', '.join(access.namespaces)}: use one without --namespace",
            )


_RULES: Final[dict[Callable[..., Any], Rule]] = {}
_STATE: Final = "access"
_UNDER_RULE: Final = "access_under_rule"


def _declare(rule: Rule) -> DependsParameter:
    async def check(request: Request) -> None:
        if rule.role is not None:
            access = cast(Access, getattr(request.state, _STATE))
            rule.check(access)
            setattr(request.state, _UNDER_RULE, access)

    _RULES[check] = rule
    return cast(DependsParameter, Depends(check))


PUBLIC: Final = _declare(Rule(None))
VIEWER: Final = _declare(Rule(Role.VIEWER))
OPERATOR: Final = _declare(Rule(Role.OPERATOR))
ADMIN: Final = _declare(Rule(Role.ADMIN))
WHOLE_VIEWER: Final = _declare(Rule(Role.VIEWER, whole=True))
WHOLE_OPERATOR: Final = _declare(Rule(Role.OPERATOR, whole=True))
WHOLE_ADMIN: Final = _declare(Rule(Role.ADMIN, whole=True))


def access_under_rule(request: Request) -> Access:
    """Return what is open to a request whose rule has been checked.

    :raises RuntimeError: the route declares no rule.
    """
    access = getattr(request.state, _UNDER_RULE, None)
    if access is None:
        raise RuntimeError(f"no rule says who may use {request.method} {request.url.path}: see ampd.admin_api.rules")
    return cast(Access, access)


def rule_of(route: APIRoute) -> Rule | None:
    """Return the rule that a route declares; None: it was forgotten."""
    found = [_RULES[each.dependency] for each in route.dependencies if each.dependency in _RULES]
    return found[0] if len(found) == 1 else None


def api_routes(routes: Sequence[BaseRoute]) -> Iterator[APIRoute]:
    """Give the routes of operations among ``routes``, also those of routers that were included."""
    found = (context.original_route for context in iter_route_contexts(routes))
    return (route for route in found if isinstance(route, APIRoute))
