"""`ampctl webhook`: who is told of what happens to jobs, and what was sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, WronglyUsedError, admin_api, read_text
from ampd.cli.ctl.times import instant
from ampd.client import Delivery, DeliveryPage, Webhook, WebhookFilters

app = App(name="webhook", alias="webhooks", help="Webhooks: tell others of what happens to jobs.")

NOTHING: list[str] = []
Words = Annotated[list[str], Parameter(negative=(), show_default=False)]


@app.command(name="list", alias="ls")
def list_webhooks(*, options: Options = DEFAULT_OPTIONS) -> None:
    """List all webhooks."""
    with admin_api(options, "failed to list webhooks") as client:
        webhooks = client.webhooks.list()
    lines = [line for webhook in webhooks for line in _short(webhook)]
    text = "\n".join(["Webhooks:", *lines]) if lines else "No webhooks found"
    output.emit({"webhooks": [webhook.raw for webhook in webhooks]}, text, as_json=options.json)


@app.command(name="create")
def create_webhook(
    url: str,
    /,
    *,
    event: Words = NOTHING,
    kind: Words = NOTHING,
    product: Words = NOTHING,
    env: Words = NOTHING,
    dataset_namespace: Words = NOTHING,
    description: str | None = None,
    secret_file: Path | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Add a webhook, and print its secret: now, and never again.

    Parameters
    ----------
    url
        Where to post to.
    event
        Only this event, such as job.failed. May be repeated.
    kind
        Only jobs of this kind. May be repeated, as the following.
    product
        Only jobs with this label product.
    env
        Only jobs with this label env.
    dataset_namespace
        Only jobs of datasets in this namespace.
    description
        What it is for.
    secret_file
        A file with a secret of your own; - reads standard input. One is made up unless given.
    """
    failure = "failed to create the webhook"
    filters: WebhookFilters = {}
    if kind or product or env or dataset_namespace:
        filters = {
            "kinds": kind or None,
            "products": product or None,
            "envs": env or None,
            "dataset_namespaces": dataset_namespace or None,
        }
    secret = _secret(secret_file, failure)
    with admin_api(options, failure) as client:
        webhook = client.webhooks.create(
            url, events=event or None, secret=secret, filters=filters or None, description=description
        )
    text = output.success(f"Webhook {webhook.id} created", *_secret_lines(webhook))
    output.emit(webhook.raw, text, as_json=options.json)


@app.command(name="inspect", alias="get")
def inspect_webhook(webhook_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Show a webhook with all its settings. JSON when a program reads.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    """
    with admin_api(options, f"failed to inspect webhook {webhook_id}") as client:
        webhook = client.webhooks.get(webhook_id)
    output.emit(webhook.raw, "\n".join(_details(webhook)), as_json=output.wants_json(options.json))


@app.command(name="enable")
def enable_webhook(webhook_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Let messages go to a webhook again; what waited is sent.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    """
    with admin_api(options, f"failed to enable webhook {webhook_id}") as client:
        webhook = client.webhooks.update(webhook_id, enabled=True)
    text = output.success(f"Webhook {webhook_id} enabled", f"Waiting: {webhook.pending}")
    output.emit(webhook.raw, text, as_json=options.json)


@app.command(name="disable")
def disable_webhook(webhook_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Send nothing to a webhook until it is enabled. What happens meanwhile it is never told.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    """
    with admin_api(options, f"failed to disable webhook {webhook_id}") as client:
        webhook = client.webhooks.update(webhook_id, enabled=False)
    output.emit(webhook.raw, output.success(f"Webhook {webhook_id} disabled"), as_json=options.json)


@app.command(name="rm", alias="remove")
def remove_webhook(webhook_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Remove a webhook. One that does not exist is a success too.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    """
    with admin_api(options, f"failed to remove webhook {webhook_id}") as client:
        client.webhooks.delete(webhook_id)
    output.emit({"webhook_id": webhook_id}, output.success(f"Webhook {webhook_id} removed"), as_json=options.json)


@app.command(name="rotate")
def rotate_secret(
    webhook_id: int,
    /,
    *,
    overlap_secs: float | None = None,
    secret_file: Path | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Give a webhook a new secret, and print it: now, and never again.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    overlap_secs
        For how many seconds the old secret signs, too: a day unless given; 0 ends it at once.
    secret_file
        A file with the new secret; - reads standard input. One is made up unless given.
    """
    failure = f"failed to rotate the secret of webhook {webhook_id}"
    secret = _secret(secret_file, failure)
    with admin_api(options, failure) as client:
        webhook = client.webhooks.rotate(webhook_id, secret=secret, overlap_secs=overlap_secs)
    lines = list(_secret_lines(webhook))
    if webhook.rotation_ends_at is not None:
        lines.append(f"The old secret signs, too, until {instant(webhook.rotation_ends_at)}")
    output.emit(webhook.raw, output.success(f"Webhook {webhook_id} has a new secret", *lines), as_json=options.json)


@app.command(name="test")
def test_webhook(webhook_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Have a test message sent. `deliveries` tells what became of it.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    """
    with admin_api(options, f"failed to test webhook {webhook_id}") as client:
        delivery = client.webhooks.test(webhook_id)
    text = output.success(
        f"Test message {delivery.id} is on its way",
        f"ampctl webhook deliveries {webhook_id} --delivery-id {delivery.id}",
    )
    output.emit(delivery.raw, text, as_json=options.json)


@app.command(name="deliveries")
def list_deliveries(
    webhook_id: int,
    /,
    *,
    delivery_id: int | None = None,
    status: Annotated[str | None, Parameter(name=["--status", "-s"])] = None,
    limit: Annotated[int | None, Parameter(name=["--limit", "-l"])] = None,
    after: Annotated[int | None, Parameter(name=["--after", "-a"])] = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Show what was sent to a webhook, or waits to be, the newest first.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    delivery_id
        Show this one message with its body and the last answer.
    status
        Only these: pending, delivered or failed.
    limit
        How many at most: 50 unless given, up to 1000.
    after
        Go on after this delivery (the next cursor of the page before).
    """
    with admin_api(options, f"failed to get the deliveries of webhook {webhook_id}") as client:
        if delivery_id is not None:
            delivery = client.webhooks.get_delivery(webhook_id, delivery_id)
            output.emit(delivery.raw, "\n".join(_delivery_details(delivery)), as_json=options.json)
            return
        page = client.webhooks.deliveries(webhook_id, limit=limit, after=after, status=status)
    output.emit(page.raw, _delivery_list(page), as_json=options.json)


@app.command(name="replay")
def replay(
    webhook_id: int,
    delivery_id: int | None = None,
    /,
    *,
    failed_since: datetime | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Have messages sent again, under the same ids: one, or all that failed since a time.

    Parameters
    ----------
    webhook_id
        Id of the webhook.
    delivery_id
        Id of the delivery.
    failed_since
        Replay what failed of that time or later, such as 2026-03-04T10:00:00Z. UTC unless it says otherwise.
    """
    failure = f"failed to replay deliveries of webhook {webhook_id}"
    if (delivery_id is None) == (failed_since is None):
        raise WronglyUsedError(failure, ["name either a delivery or --failed-since"])
    with admin_api(options, failure) as client:
        if delivery_id is not None:
            delivery = client.webhooks.replay(webhook_id, delivery_id)
            output.emit(delivery.raw, output.success(f"Delivery {delivery_id} is sent again"), as_json=options.json)
        elif failed_since is not None:
            since = failed_since if failed_since.tzinfo else failed_since.replace(tzinfo=UTC)
            count = client.webhooks.replay_failed(webhook_id, since)
            output.emit({"replayed": count}, output.success(f"Sent again: {count}"), as_json=options.json)


def _secret(file: Path | None, failure: str) -> str | None:
    return None if file is None else read_text(file, failure).strip()


def _secret_lines(webhook: Webhook) -> Iterable[str]:
    yield f"Secret: {webhook.secret}"
    yield "It is not shown again: keep it where the receiver finds it"


def _short(webhook: Webhook) -> Iterable[str]:
    state = "enabled" if webhook.enabled else f"disabled: {webhook.disabled_reason}"
    yield f"  {webhook.id} - {webhook.url} ({state})"
    yield f"    Events: {', '.join(webhook.events)}"
    if webhook.pending:
        yield f"    Waiting: {webhook.pending}"
    if webhook.failing_since is not None:
        yield f"    Failing since: {instant(webhook.failing_since)}"


def _details(webhook: Webhook) -> Iterable[str]:
    yield f"Webhook ID: {webhook.id}"
    yield f"URL: {webhook.url}"
    if webhook.description:
        yield f"Description: {webhook.description}"
    yield f"Enabled: {'yes' if webhook.enabled else f'no ({webhook.disabled_reason})'}"
    yield f"Events: {', '.join(webhook.events)}"
    for name, words in webhook.filters.items():
        if words is not None:
            yield f"{name.replace('_', ' ').capitalize()}: {', '.join(words)}"
    yield f"Waiting: {webhook.pending}"
    moments = {
        "Disabled": webhook.disabled_at,
        "Failing since": webhook.failing_since,
        "Old secret signs until": webhook.rotation_ends_at,
        "Created": webhook.created_at,
        "Updated": webhook.updated_at,
    }
    yield from (f"{name}: {instant(moment)}" for name, moment in moments.items() if moment is not None)


def _delivery_list(page: DeliveryPage) -> str:
    lines = [line for delivery in page.deliveries for line in _delivery_lines(delivery)]
    text = "\n".join(["Deliveries:", *lines]) if lines else "No deliveries found"
    return text if page.next_cursor is None else f"{text}\n\nNext cursor: {page.next_cursor}"


def _delivery_lines(delivery: Delivery) -> Iterable[str]:
    about = "" if delivery.job_id is None else f" of job {delivery.job_id}"
    yield f"  [{delivery.id}] {instant(delivery.created_at)} - {delivery.event}{about}: {delivery.status}"
    answered = f", answered {delivery.response_status}" if delivery.response_status is not None else ""
    if delivery.status != "DELIVERED" and delivery.attempts:
        yield f"      Tries: {delivery.attempts}{answered}{_next_try(delivery)}"
    if delivery.error is not None:
        yield f"      {delivery.error.get('error_code', 'error')}: {delivery.error.get('error_message', '')}"


def _next_try(delivery: Delivery) -> str:
    return f", next {instant(delivery.next_attempt_at)}" if delivery.next_attempt_at is not None else ""


def _delivery_details(delivery: Delivery) -> Sequence[str]:
    fields = {
        "Message ID": delivery.message_id,
        "Sequence": str(delivery.sequence),
        "Duration": "none" if delivery.duration_ms is None else f"{delivery.duration_ms} ms",
        "Answer": delivery.response_head or "none",
    }
    return [
        *_delivery_lines(delivery),
        *(f"{name}: {value}" for name, value in fields.items()),
        "",
        "Payload:",
        output.pretty(delivery.payload),
    ]
