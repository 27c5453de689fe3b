"""The controller process: the Admin API and the loops that keep the cluster true."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import structlog

from ampd.access import AccessStore
from ampd.admin_api import (
    ClusterFigures,
    ConnectionLimits,
    EventStreams,
    Gate,
    Listening,
    Services,
    Tls,
    create_app,
    is_loopback,
    serve_admin_api,
)
from ampd.config import Config
from ampd.config_values import split_address
from ampd.controller import (
    EventSettings,
    run_minutes,
    run_placement,
    run_rescue,
    run_retention,
    run_timetable,
    run_webhooks,
    run_worker_events,
)
from ampd.daemons.build_info import build_info
from ampd.daemons.figures import figures_of
from ampd.daemons.lifecycle import (
    first_to_end,
    leave_out_of_collections,
    open_metadata_db,
    traced,
    warn_of_ignored_keys,
)
from ampd.daemons.live import live_streams
from ampd.daemons.stores import open_store
from ampd.data_store import LakeOverview, LakeStores, TableStore
from ampd.datasets import DatasetStore, ProviderStore
from ampd.handlers import discover
from ampd.handlers.http_input import HTTP
from ampd.jobs import JobCreator, JobOverview, JobStore, Notifier, RetentionPolicy, TimetableStore, WorkerStore
from ampd.metadata_db import MetadataDb
from ampd.webhooks import AddressRules, WebhookStore
from ampd.worker_events import BrokerSettings, WorkerEventLog

LOOP_CONNECTIONS = 4

_log = structlog.get_logger(__name__)


async def run_controller(config: Config, stop: asyncio.Event, *, insecure: bool = False) -> None:
    """Run a controller until ``stop`` is set.

    :raises AmpError: when it cannot start; ADDRESS_IN_USE names the address.
    """
    warn_of_ignored_keys(config)
    host, port = split_address(config.admin_api_addr)
    lease_seconds = config.worker.lease_secs
    process = f"controller {socket.gethostname()}:{os.getpid()}"
    db = await open_metadata_db(config, process=process)
    # The loops have connections of their own: requests may hold all others for as long as a table is locked.
    of_loops = MetadataDb(db.url, max_connections=LOOP_CONNECTIONS, process=process)
    notifier = Notifier(of_loops)
    tracing = traced(config, "controller", f"{socket.gethostname()}:{port}")
    try:
        await of_loops.open()
        services = _services(config, db, notifier)
        # Where others reach it a token stays needed, whatever becomes of the metadata database.
        gate = _gate(config, requires_token=not insecure and not is_loopback(host))
        listening = _listening(config, guarded=await services.access.has_tokens())
        _warn_of_plain_http(host, listening)
        app = create_app(services, gate)
        leave_out_of_collections()
        with tracing:
            await first_to_end(
                serve_admin_api(
                    app,
                    host=host,
                    port=port,
                    started=lambda bound_host, bound_port: _log.info(
                        "controller.started",
                        admin_api=f"{'https' if listening.tls else 'http'}://{bound_host}:{bound_port}",
                    ),
                    stop=stop,
                    insecure=insecure,
                    listening=listening,
                    ending=services.close_streams,
                ),
                run_placement(of_loops, notifier, lease_seconds=lease_seconds),
                run_rescue(of_loops, notifier, lease_seconds=lease_seconds),
                run_timetable(of_loops, notifier, stop_seconds=config.worker.stop_timeout_secs),
                run_retention(of_loops, _retention(config)),
                run_webhooks(
                    of_loops,
                    AddressRules.of(config.webhooks.allowed_networks),
                    in_flight=config.webhooks.max_in_flight,
                    log_days=config.webhooks.log_days,
                ),
                run_worker_events(of_loops, _event_settings(config)),
                run_minutes(of_loops),
            )
    finally:
        await of_loops.close()
        await db.close()


def _event_settings(config: Config) -> EventSettings:
    given = config.worker_events
    kafka = given.kafka
    broker = BrokerSettings(
        kafka.brokers,
        kafka.topic,
        kafka.partitions,
        kafka.sasl_mechanism,
        kafka.sasl_username,
        kafka.sasl_password,
        kafka.tls_enabled,
        kafka.tls_ca_file,
    )
    return EventSettings(
        recorded=given.recorded,
        progress_interval_seconds=given.progress_interval_secs,
        kept_seconds=given.log_hours * 3600,
        unsent_seconds=given.unsent_days * 86_400,
        broker=broker if given.enabled else None,
    )


def _retention(config: Config) -> RetentionPolicy:
    return RetentionPolicy(config.retention.event_days, config.retention.terminal_job_days)


def _gate(config: Config, *, requires_token: bool) -> Gate:
    given = config.admin_api
    return Gate(
        requires_token,
        given.cors_origins,
        given.requests_per_minute,
        given.request_timeout_secs,
        given.sign_ins_per_minute,
        given.dashboard,
    )


def _listening(config: Config, *, guarded: bool) -> Listening:
    given = config.admin_api
    tls = None
    if given.tls_cert_file is not None and given.tls_key_file is not None:
        tls = Tls(Path(given.tls_cert_file), Path(given.tls_key_file))
    return Listening(guarded, tls, ConnectionLimits(given.max_connections))


def _warn_of_plain_http(host: str, listening: Listening) -> None:
    if listening.guarded and listening.tls is None and not is_loopback(host):
        _log.warning(
            "controller.plain_http",
            meaning="tokens cross the network as they are; set admin_api.tls_cert_file and admin_api.tls_key_file, or "
            "keep a proxy that speaks TLS in front",
        )


def _services(config: Config, db: MetadataDb, notifier: Notifier) -> Services:
    worker = config.worker
    events = WorkerEventLog(db)
    return Services(
        jobs=JobStore(db, lease_seconds=worker.lease_secs, stop_seconds=worker.stop_timeout_secs, notifier=notifier),
        workers=WorkerStore(db, lease_seconds=worker.lease_secs, notifier=notifier),
        datasets=DatasetStore(db, open_store(config, config.manifests_dir)),
        providers=ProviderStore(open_store(config, config.providers_dir)),
        tables=TableStore(db),
        job_overview=JobOverview(db),
        lake_overview=LakeOverview(db),
        lake=LakeStores(db, open_store(config, config.data_dir)),
        timetables=TimetableStore(db, notifier=notifier),
        creator=JobCreator(db, notifier=notifier),
        kinds={HTTP.name: HTTP, **discover().kinds},
        webhooks=WebhookStore(db, AddressRules.of(config.webhooks.allowed_networks)),
        events=events,
        event_streams=EventStreams(events, most=config.worker_events.max_streams),
        live=live_streams(
            db,
            lease_seconds=worker.lease_secs,
            version=build_info()["version"],
            most=config.worker_events.max_streams,
        ),
        access=AccessStore(db),
        figures=ClusterFigures(figures_of(db, lease_seconds=worker.lease_secs)),
        version=build_info()["version"],
    )
