"""Workers: look at them, and keep work away from them."""

from __future__ import annotations

from fastapi import APIRouter

from ampd.admin_api.bodies.models import WorkerBody, WorkerListBody
from ampd.admin_api.bodies.present import worker_body
from ampd.admin_api.bodies.requests import NodeId
from ampd.admin_api.bodies.worker_models import WorkerDetailsBody, worker_details_body
from ampd.admin_api.errors import RequestRefusedError, error_responses
from ampd.admin_api.rules import VIEWER, WHOLE_OPERATOR
from ampd.admin_api.services import ServicesParameter
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import validate_node_id

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get(
    "", operation_id="list_workers", dependencies=[VIEWER], responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE)
)
async def list_workers(services: ServicesParameter) -> WorkerListBody:
    """List all workers, also those that are gone."""
    return WorkerListBody(workers=[worker_body(worker) for worker in await services.workers.list_all()])


_OF_ONE_WORKER = (ErrorCode.INVALID_WORKER_ID, ErrorCode.WORKER_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE)


@router.get("/{id}", operation_id="get_worker", dependencies=[VIEWER], responses=error_responses(*_OF_ONE_WORKER))
async def get_worker(node_id: NodeId, services: ServicesParameter) -> WorkerDetailsBody:
    """Return one worker, and the ranges of blocks that it has in hand."""
    worker = await services.workers.get(_checked(node_id))
    return worker_details_body(worker, await services.tables.ranges_of_worker(worker.node_id, services.namespaces))


@router.post(
    "/{id}/drain",
    operation_id="drain_worker",
    dependencies=[WHOLE_OPERATOR],
    responses=error_responses(*_OF_ONE_WORKER),
)
async def drain_worker(node_id: NodeId, services: ServicesParameter) -> WorkerBody:
    """Keep work away from a worker, also over its restarts: it finishes the ranges in hand and hands its jobs back."""
    return worker_body(await services.workers.set_cordoned(_checked(node_id), cordoned=True))


@router.post(
    "/{id}/undrain",
    operation_id="undrain_worker",
    dependencies=[WHOLE_OPERATOR],
    responses=error_responses(*_OF_ONE_WORKER),
)
async def undrain_worker(node_id: NodeId, services: ServicesParameter) -> WorkerBody:
    """Let work come to a worker again."""
    return worker_body(await services.workers.set_cordoned(_checked(node_id), cordoned=False))


def _checked(node_id: str) -> str:
    try:
        return validate_node_id(node_id)
    except AmpError as error:
        reason = error.message.split(": ", 1)[-1]
        message = f"invalid worker node ID: {reason} (in {node_id!r})"
        raise RequestRefusedError(ErrorCode.INVALID_WORKER_ID, message, status=400) from None
