"""A cluster that has one of everything, with a secret wherever one can be: what requests made by chance fall on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
from admin_api_cluster import LEASE_SECONDS, Cluster, services_over
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import WorkerIdentity, WorkerSession
from ampd.metadata_db import MetadataDb
from support.daemons import Cluster as Processes
from support.made_lake import MadeLake
from support.seeded import Seeded

# Nothing happens by itself while requests are sent: workers stay alive, and no request is one too many.
_SETTINGS = """
[admin_api]
requests_per_minute = 0
sign_ins_per_minute = 0
[worker]
lease_secs = 86400.0
[webhooks]
allowed_networks = ["127.0.0.0/8"]
[http_jobs]
allowed_networks = ["127.0.0.0/8"]
"""
# Nothing listens there.
NOWHERE = "127.0.0.1:9"


@dataclass
class Scene:
    """Controllers over one database, one that logs ``info`` and one that logs ``trace``; tokens of an admin and of a
    viewer; and the secrets that none of their answers and logs may hold.
    """

    seeded: Seeded
    admin: str
    viewer: str
    quiet: Processes
    loud: Processes
    own_token_ids: set[int]
    manifest_hash: str
    recurring_job_id: int

    @property
    def document(self) -> dict[str, Any]:
        """The specification as it is served."""
        answer = httpx.get(f"{self.quiet.admin_url}/openapi.json", headers={"Authorization": f"Bearer {self.viewer}"})
        return dict(answer.json())

    def logs(self) -> list[str]:
        """Return what the controllers have said."""
        return [process.text() for each in (self.quiet, self.loud) for process in each.processes]


@contextmanager
def scene(directory: Path, database_url: str) -> Iterator[Scene]:
    """Make the cluster."""
    seeded = Seeded()
    url = _with_password(database_url, seeded.new("the password of the metadata database"))
    environment = {
        "AWS_ACCESS_KEY_ID": seeded.new("the key id of the object store"),
        "AWS_SECRET_ACCESS_KEY": seeded.new("the key of the object store"),
        "RPC_KEY": seeded.new("a variable of a provider's URL"),
    }
    processes: list[Processes] = []
    try:
        for name, level in (("quiet", "info"), ("loud", "trace")):
            (directory / name).mkdir()
            directories = "\n".join(f'{each}_dir = "{directory}/{each}"' for each in ("data", "providers", "manifests"))
            processes.append(Processes(directory / name, url, f"{directories}\n{_SETTINGS}"))
            processes[-1].start_controller(environment={**environment, "AMP_LOG": level})
        quiet, loud = processes
        yield asyncio.run(_Maker(directory, database_url, seeded, quiet, loud).make())
    finally:
        for each in processes:
            each.end()


def _with_password(url: str, password: str) -> str:
    """Return ``url`` with a password: the server of the tests asks for none, and takes any."""
    parts = urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    user = account.partition(":")[0] or psycopg.conninfo.conninfo_to_dict(url).get("user", "")
    return parts._replace(netloc=f"{user}:{password}{at or '@'}{host}").geturl()


class _Maker:
    """Fills the cluster."""

    def __init__(self, directory: Path, database_url: str, seeded: Seeded, quiet: Processes, loud: Processes) -> None:
        self._directory = directory
        self._database_url = database_url
        self._seeded = seeded
        self._quiet, self._loud = quiet, loud
        self._api: httpx.AsyncClient
        self._cluster: Cluster
        self._hash = ""
        self._recurring = 0

    async def make(self) -> Scene:
        async with httpx.AsyncClient(base_url=self._quiet.admin_url, timeout=30) as api:
            self._api = api
            admin = await self._token(role="admin", name="fuzz-admin")
            api.headers["Authorization"] = f"Bearer {admin['token']}"
            viewer = await self._token(role="viewer", name="fuzz-viewer")
            await self._tokens()
            with psycopg.connect(self._database_url, autocommit=True, row_factory=dict_row) as connection:
                session = WorkerSession(connection, WorkerIdentity("worker-01", uuid4()), lease_seconds=LEASE_SECONDS)
                info = {"version": "0.1.0", "kinds": ["compaction", "extraction", "http", "own", "verification"]}
                session.register(info=info, slots=20)
                async with MetadataDb(self._database_url) as db:
                    services = services_over(db, self._directory)
                    self._cluster = Cluster(db, services, api, session, session._identity, self._directory)
                    await self._fill()
        ids = {int(admin["id"]), int(viewer["id"])}
        return Scene(
            self._seeded, admin["token"], viewer["token"], self._quiet, self._loud, ids, self._hash, self._recurring
        )

    async def _fill(self) -> None:
        await self._providers()
        await self._lake()
        await self._jobs()
        await self._webhooks()
        self._recurring = (
            await self._create("compaction", {"dataset": "ethereum/mainnet"}, schedule={"every": 10**9})
        )["id"]

    async def _send(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self._api.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def _token(self, **body: Any) -> Any:
        made = await self._send("POST", "/tokens", body)
        self._seeded.add(f"token {made['name']}", made["token"])
        return made

    async def _tokens(self) -> None:
        await self._token(role="operator", name="limited", namespaces=["ethereum"])
        await self._token(role="viewer", name="short-lived", expires_in_secs=0.001)
        revoked = await self._token(role="admin", name="revoked")
        await self._send("DELETE", f"/tokens/{revoked['id']}")

    async def _providers(self) -> None:
        new = self._seeded.new
        url = (
            f"https://{new('the user of a provider')}:{new('the password of a provider')}@rpc.example.com"
            f"/v2/{new('a key in the path of a provider')}?apikey={new('a key in the query of a provider')}"
        )
        common = {"kind": "evm-rpc", "network": "mainnet"}
        await self._send("POST", "/providers", {"name": "full", **common, "url": url, "auth_token": new("auth_token")})
        header = {"auth_header": "X-Api-Key", "auth_token": new("auth_token of a header")}
        await self._send("POST", "/providers", {"name": "header", **common, "url": "wss://rpc.example.com", **header})
        await self._send(
            "POST", "/providers", {"name": "variable", **common, "url": "https://rpc.example.com/${RPC_KEY}"}
        )
        written = {
            "firehose": f'kind = "firehose"\nnetwork = "mainnet"\nurl = "grpcs://{new("a host")}@fh.example.com"\n'
            f'token = "{new("the token of another kind")}"\n[headers]\nx-key = "{new("a header of another kind")}"\n',
            "no_toml": f'kind = "evm-rpc"\nurl = https://{new("a file that is no TOML")}.example.com\n',
            "no_url": f'kind = "evm-rpc"\nnetwork = "mainnet"\nurl = "{new("a URL that is none")}"\n',
            "no_key": f'kind = "evm-rpc"\nnetwork = "mainnet"\nurl = "https://rpc.example.com"\n'
            f'apikey = "{new("a key that is not known")}"\n',
        }
        for name, text in written.items():
            (self._directory / "providers" / f"{name}.toml").write_text(text, encoding="utf-8")

    async def _lake(self) -> None:
        """Datasets, one of them with a lake that was restored."""
        cluster = self._cluster
        for version, block in (("1.0.0", 1), ("1.1.0", 0)):
            self._hash = await cluster.register("ethereum/mainnet", version, block)
        await cluster.register("other/set", "1.0.0", 2)
        lake = MadeLake(self._directory / "data")
        for start in range(0, 30, 10):
            lake.write(start, start + 9)
        await self._send("POST", "/datasets/ethereum/mainnet/versions/1.1.0/restore")
        # What a revision with a writer and segments of its own looks like.
        job_id = await cluster.deploy("other/set", "1.0.0")
        lease = await cluster.start(job_id)
        hash_ = (await self._send("GET", "/datasets/other/set/versions/1.0.0"))["manifest_hash"]
        await cluster.write(lease, hash_, {"blocks": [(2, 9), (10, 19)], "logs": [(2, 9)]})

    async def _jobs(self) -> None:
        cluster = self._cluster
        for state in ("SCHEDULED", "RUNNING", "COMPLETED", "STOPPED"):
            await cluster.job_in_state(state, f"states/{state.lower()}")
        await self._failed_jobs()
        await self._send("POST", "/datasets/ethereum/mainnet/versions/1.0.0/verify", {})
        await self._create("compaction", {"dataset": "ethereum/mainnet"})
        new = self._seeded.new
        call = {
            "url": f"http://{NOWHERE}/hooks/{new('a key in the path of a job')}?key={new('the query of a job')}",
            "method": "POST",
            "headers": {
                "Authorization": f"Bearer {new('the token of a job')}",
                "X-Api-Key": new("a header of a job"),
            },
            "body": {"day": "2026-03-04", "account": {"password": new("a password in the body of a job")}},
        }
        labels = {"product": "my-app", "env": "prd"}
        await self._create("http", call, labels=labels, idempotency_key="report-1")
        await self._create("http", call, labels=labels, schedule={"cron": "0 4 * * *", "tz": "Europe/Berlin"})
        await self._create("http", call, schedule={"every": 3_600_000, "limit": 3})
        paused = await self._create("http", call, start_at="2099-01-01T00:00:00Z")
        await self._send("POST", f"/jobs/{paused['id']}/pause", {"reason": "not yet"})
        secret = {"day": "2026-03-04", "api_key": new("a secret of a kind that the controller does not know")}
        await self._create("own", secret)

    async def _failed_jobs(self) -> None:
        """One that will be tried again, and one that failed for good; what they say is as workers say it."""
        for name, error in {
            "failed": AmpError(ErrorCode.NETWORK_MISMATCH, "the node is of another chain"),
            "retried": AmpError(ErrorCode.NODE_UNREACHABLE, "nobody answers", recoverable=True),
        }.items():
            job_id = await self._cluster.job_in_state("SCHEDULED", f"states/{name}")
            lease = await self._cluster.start(job_id)
            assert await self._cluster.leased.fail(lease, error)

    async def _create(self, kind: str, job_input: dict[str, Any], **options: Any) -> Any:
        return await self._send("POST", "/jobs", {"kind": kind, "input": job_input, **options})

    async def _webhooks(self) -> None:
        new = self._seeded.new
        hook = {
            "url": f"http://{NOWHERE}/hooks",
            "secret": new("the secret of a webhook"),
            "filters": {"kinds": ["http"]},
        }
        made = await self._send("POST", "/webhooks", hook)
        await self._send("POST", f"/webhooks/{made['id']}/rotate", {"secret": new("the next secret of a webhook")})
        await self._send("POST", f"/webhooks/{made['id']}/test")
        other = await self._send("POST", "/webhooks", {"url": f"https://{NOWHERE}/hooks", "enabled": False})
        self._seeded.add("a secret of a webhook that was made up", other["secret"])
        job = await self._create("http", {"url": f"http://{NOWHERE}/"})
        await self._send("POST", f"/jobs/{job['id']}/cancel", {"reason": "no more"})
