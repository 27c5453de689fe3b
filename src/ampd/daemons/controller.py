"""The controller process: the Admin API and the loops that keep the cluster true."""

from __future__ import annotations

import asyncio

import structlog

from ampd.admin_api import Services, create_app, serve_admin_api
from ampd.config import Config, split_address
from ampd.controller import run_placement, run_rescue, run_retention, run_timetable, run_webhooks
from ampd.daemons.build_info import build_info
from ampd.daemons.lifecycle import first_to_end, open_metadata_db, warn_of_ignored_keys
from ampd.daemons.stores import open_store
from ampd.data_store import LakeStores, TableStore
from ampd.datasets import DatasetStore, ProviderStore
from ampd.handlers import discover
from ampd.handlers.http_input import HTTP
from ampd.jobs import JobCreator, JobStore, Notifier, RetentionPolicy, TimetableStore, WorkerStore
from ampd.metadata_db import MetadataDb
from ampd.webhooks import AddressRules, WebhookStore

_log = structlog.get_logger(__name__)


async def run_controller(config: Config, stop: asyncio.Event, *, insecure: bool = False) -> None:
    """Run a controller until ``stop`` is set.

    :raises AmpError: when it cannot start; ADDRESS_IN_USE names the address.
    """
    warn_of_ignored_keys(config)
    host, port = split_address(config.admin_api_addr)
    lease_seconds = config.worker.lease_secs
    db = await open_metadata_db(config)
    notifier = Notifier(db)
    try:
        await first_to_end(
            serve_admin_api(
                create_app(_services(config, db, notifier)),
                host=host,
                port=port,
                started=lambda bound_host, bound_port: _log.info(
                    "controller.started", admin_api=f"http://{bound_host}:{bound_port}"
                ),
                stop=stop,
                insecure=insecure,
            ),
            run_placement(db, notifier, lease_seconds=lease_seconds),
            run_rescue(db, notifier, lease_seconds=lease_seconds),
            run_timetable(db, notifier, stop_seconds=config.worker.stop_timeout_secs),
            run_retention(db, RetentionPolicy(config.retention.event_days, config.retention.terminal_job_days)),
            run_webhooks(
                db,
                AddressRules.of(config.webhooks.allowed_networks),
                in_flight=config.webhooks.max_in_flight,
                log_days=config.webhooks.log_days,
            ),
        )
    finally:
        await db.close()


def _services(config: Config, db: MetadataDb, notifier: Notifier) -> Services:
    worker = config.worker
    return Services(
        jobs=JobStore(db, lease_seconds=worker.lease_secs, stop_seconds=worker.stop_timeout_secs, notifier=notifier),
        workers=WorkerStore(db, lease_seconds=worker.lease_secs, notifier=notifier),
        datasets=DatasetStore(db, open_store(config, config.manifests_dir)),
        providers=ProviderStore(open_store(config, config.providers_dir)),
        tables=TableStore(db),
        lake=LakeStores(db, open_store(config, config.data_dir)),
        timetables=TimetableStore(db, notifier=notifier),
        creator=JobCreator(db, notifier=notifier),
        kinds={HTTP.name: HTTP, **discover().kinds},
        webhooks=WebhookStore(db, AddressRules.of(config.webhooks.allowed_networks)),
        version=build_info()["version"],
    )
