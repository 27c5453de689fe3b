"""The whole cluster at one glance, and how it was before."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query

from ampd.admin_api.bodies.overview_models import (
    OverviewBody,
    OverviewHistoryBody,
    OverviewHistoryQuery,
    OverviewJobsBody,
)
from ampd.admin_api.bodies.overview_present import (
    failure_body,
    history_body,
    lag_body,
    overview_worker_body,
    steps_until,
    throughput_body,
)
from ampd.admin_api.bodies.timestamps import both_forms
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.errors import ErrorCode

router = APIRouter(prefix="/overview", tags=["overview"])

MOST_DATASETS: Final = 20
MOST_FAILURES: Final = 20
MOST_WORKERS: Final = 50


@router.get(
    "", operation_id="get_overview", dependencies=[VIEWER], responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE)
)
async def get_overview(services: ServicesParameter) -> OverviewBody:
    """Show how many jobs stand where, how fast the lake grows, what lags behind, what has failed, and who works."""
    workers = sorted(await services.workers.list_all(), key=lambda each: each.heartbeat_at)
    jobs = await services.job_overview.states()
    throughput = await services.lake_overview.throughput(jobs.at)
    datasets = await services.lake_overview.lags(limit=MOST_DATASETS)
    failures = await services.job_overview.failures(limit=MOST_FAILURES)
    return OverviewBody(
        **both_forms("at", jobs.at),
        jobs=OverviewJobsBody(
            by_state={str(state): count for state, count in jobs.states.items()}, failed_last_day=jobs.failed_last_day
        ),
        throughput=throughput_body(throughput),
        datasets=[lag_body(each) for each in datasets],
        failures=[failure_body(each) for each in failures],
        workers=[overview_worker_body(each, jobs.at) for each in workers[:MOST_WORKERS]],
        worker_count=len(workers),
    )


@router.get(
    "/history",
    operation_id="get_overview_history",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.INVALID_QUERY_PARAMETERS, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def get_overview_history(
    query: Annotated[OverviewHistoryQuery, Query()], services: ServicesParameter
) -> OverviewHistoryBody:
    """Show how it went in the last minutes, hours or days: throughput, lag, retries, failures, durations.

    What happened in a minute is there half a minute after its end.
    """
    since, step_seconds, points = steps_until(await services.job_overview.now(), query.minutes)
    steps = {"since": since, "step_seconds": step_seconds, "points": points}
    return history_body(
        since,
        step_seconds,
        await services.job_overview.trend(**steps),
        await services.lake_overview.trend(**steps),
    )
