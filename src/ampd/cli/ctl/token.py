"""`ampctl token`: who may use the Admin API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts import Token as Word

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api
from ampd.cli.ctl.schedule import read_interval
from ampd.cli.ctl.times import instant
from ampd.client import Token

app = App(name="token", alias="tokens", help="Tokens: who may use the Admin API, and what they see.")

NOTHING: list[str] = []
RoleName = Literal["viewer", "operator", "admin"]
Namespaces = Annotated[list[str], Parameter(negative=(), show_default=False)]


def _seconds(_type: Any, words: Sequence[Word]) -> float:
    return read_interval(words[0].value) / 1000


Expires = Annotated[float | None, Parameter(converter=_seconds)]


@app.command(name="create")
def create_token(
    *,
    role: RoleName,
    name: str | None = None,
    namespace: Namespaces = NOTHING,
    expires: Expires = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Make a token, and print it: now, and never again. The first one must be an admin's.

    Parameters
    ----------
    role
        What it may do: a viewer reads, an operator also runs jobs, an admin also changes datasets, providers,
        webhooks and tokens.
    name
        Stands in the history of jobs; one is made up unless given.
    namespace
        It sees only datasets in this namespace, and their jobs. May be repeated.
    expires
        After this time it opens nothing: 12h, 30d. Never, unless given.
    """
    with admin_api(options, "failed to create the token") as client:
        token = client.tokens.create(role, name=name, namespaces=namespace or None, expires_in_secs=expires)
    lines = [*_facts(token), f"Token: {token.token}", "It is not shown again: keep it in AMP_AUTH_TOKEN of its user"]
    output.emit(token.raw, output.success(f"Token {token.id} created", *lines), as_json=options.json)


@app.command(name="list", alias="ls")
def list_tokens(*, options: Options = DEFAULT_OPTIONS) -> None:
    """List all tokens, also those that are revoked or have expired."""
    with admin_api(options, "failed to list tokens") as client:
        tokens = client.tokens.list()
    lines = [line for token in tokens for line in _lines(token)]
    text = "\n".join(["Tokens:", *lines]) if lines else "No tokens found"
    output.emit({"tokens": [token.raw for token in tokens]}, text, as_json=options.json)


@app.command(name="revoke", alias=["rm", "remove"])
def revoke_token(token_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """End a token: from now on it opens nothing, on any controller. One that does not exist is a success too.

    Parameters
    ----------
    token_id
        Id of the token.
    """
    with admin_api(options, f"failed to revoke token {token_id}") as client:
        client.tokens.revoke(token_id)
    output.emit({"token_id": token_id}, output.success(f"Token {token_id} revoked"), as_json=options.json)


def _facts(token: Token) -> Iterable[str]:
    yield f"Name: {token.name}"
    yield f"Role: {token.role}"
    yield f"Namespaces: {'all' if token.namespaces is None else ', '.join(token.namespaces)}"
    yield f"Expires: {'never' if token.expires_at is None else instant(token.expires_at)}"


def _lines(token: Token) -> Iterable[str]:
    yield f"  {token.id} - {token.name} ({token.status}, {token.prefix}…)"
    yield "    " + ", ".join(fact[0].lower() + fact[1:] for fact in list(_facts(token))[1:])
    used = "never" if token.last_used_at is None else instant(token.last_used_at)
    yield f"    Last used: {used}"
