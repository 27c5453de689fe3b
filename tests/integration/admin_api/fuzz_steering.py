"""What chance cannot find: requests that name what is there, so that they come through to the end of what they do.

Every second request that its schema allows is led to something real, in place of an id or a URL that nobody knows.
Requests that would end the test itself, or leave this machine, are led elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from fuzz_scene import NOWHERE, Scene
from schemathesis.generation.meta import TestPhase

from ampd.datasets import generate_manifest
from support.fuzz import Case, is_random, operation_id

_NO_ID: Final = 2**40
# Its latest version, which cannot be deleted.
_DATASET: Final = {"namespace": "ethereum", "name": "mainnet", "revision": "1.1.0"}
_TABLE: Final = {"dataset": "ethereum/mainnet@1.1.0", "table_name": "blocks"}
_EVERY_HOUR: Final = {"every": 3_600_000}
# What would be read for ever.
_TRUE: Final = frozenset({"true", "1", "t", "yes", "y", "on"})
# The last job of the scene is not among them: one that stays as it is.
_IDS: Final = 15
# What would take away what the others are led to.
_ENDING: Final = "delete_dataset"

Body = dict[str, Any]


def _job(body: Body, n: int) -> Body:
    rest = {name: value for name, value in body.items() if name in {"labels", "retries", "priority"}}
    return {"kind": "http", "input": {"url": f"http://{NOWHERE}/{n}"}, **rest} | (
        {"schedule": _EVERY_HOUR} if n % 3 else {}
    )


def _deploy(body: Body, n: int) -> Body:
    return {**body, "depends_on": [], "schedule": None, "worker_id": None, "end_block": str(n)}


def _bulk(body: Body, n: int) -> Body:
    return {"job_ids": [n % _IDS + 1], "dry_run": bool(n % 2)}


def _hook(body: Body, n: int) -> Body:
    return {**body, "url": f"https://{NOWHERE}/hooks/{n % _IDS}", "secret": None}


def _provider(body: Body, n: int) -> Body:
    return {"name": body["name"], "kind": "evm-rpc", "network": "mainnet", "url": f"https://{n}.example.com"}


def _revision(body: Body, n: int) -> Body:
    return {**_TABLE, "path": f"ethereum/mainnet/blocks/{UUID(int=n)}"}


_BODIES: Final[dict[str, Callable[[Body, int], Body]]] = {
    "create_job": _job,
    "deploy_dataset": _deploy,
    "reschedule_job": lambda _body, n: {"every": 3_600_000 + n},
    "preview_schedule": lambda _body, n: {"schedule": _EVERY_HOUR, "count": n % 10 + 1},
    "cancel_jobs": _bulk,
    "pause_jobs": _bulk,
    "resume_jobs": _bulk,
    "retry_jobs": _bulk,
    "delete_many_jobs": _bulk,
    "create_webhook": _hook,
    "put_webhook": _hook,
    "register_provider": _provider,
    "register_manifest": lambda _body, n: generate_manifest("evm-rpc", "mainnet", n % 10, False).to_json(),
    "register_dataset": lambda body, n: {
        **body,
        "version": None,
        "manifest": generate_manifest("evm-rpc", "mainnet", n % 10, False).to_json(),
    },
    "infer_schema": lambda _body, n: {
        "tables": {f"t{n}": f"SELECT _block_num, block_num + {n} AS n FROM eth.blocks"},
        "dependencies": {"eth": "ethereum/mainnet@1.1.0"},
    },
    "register_revision": _revision,
    "activate_revision": lambda _body, _n: _TABLE,
    "deactivate_revision": lambda _body, _n: _TABLE,
}


class Steering:
    """Changes requests on their way."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._turns = count()

    def change(self, case: Case) -> None:
        """Lead a request to something real, if it is its turn, and away from what it must not touch."""
        turn = next(self._turns)
        if turn % 2 and is_random(case, TestPhase.FUZZING, TestPhase.STATEFUL):
            self._lead(case, turn // 2)
        self._keep_harmless(case)

    def _lead(self, case: Case, n: int) -> None:
        operation = operation_id(case)
        if operation in _BODIES and isinstance(case.body, dict):
            case.body = _BODIES[operation](case.body, n)
        if operation == "sign_in":
            case.body = {"token": self._scene.viewer}
        # In a course of requests a path is what an answer before has led to; Schemathesis judges by that.
        if is_random(case, TestPhase.FUZZING) and operation != _ENDING:
            known = {
                **_DATASET,
                **({"revision": "1.0.0"} if operation == "deploy_dataset" else {}),
                "table": "blocks",
                "hash": self._scene.manifest_hash,
                **dict.fromkeys(("id", "event_id", "delivery_id", "file_id"), n % _IDS + 1),
            }
            if case.path.startswith("/workers"):
                known["id"] = "worker-01"
            elif case.path.startswith("/providers"):
                known["name"] = "header"
            elif operation == "reschedule_job":
                known["id"] = self._scene.recurring_job_id
            elif operation == "activate_revision":
                known["id"] = 1  # the one of blocks, which was restored
            case.path_parameters.update({name: known[name] for name in case.path_parameters})

    def _keep_harmless(self, case: Case) -> None:
        own = {str(each) for each in self._scene.own_token_ids}
        if operation_id(case) == "revoke_token" and str(case.path_parameters.get("id")) in own:
            case.path_parameters["id"] = _NO_ID
        if operation_id(case) == _ENDING and case.path_parameters.get("name") == _DATASET["name"]:
            case.path_parameters["name"] = "nothing"
        follows = str(case.query.get("follow", True)).lower() in _TRUE
        if operation_id(case) in {"stream_events", "watch_changes"} and follows:
            case.query["follow"] = "false"
        url = case.body.get("url") if isinstance(case.body, dict) else None
        if case.path.startswith("/webhooks") and isinstance(url, str) and urlsplit(url).scheme == "https":
            case.body["url"] = urlsplit(url)._replace(netloc=NOWHERE).geturl()
