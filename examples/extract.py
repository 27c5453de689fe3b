"""Extract a range of blocks with the Python client: register, deploy, wait.

python examples/extract.py ADMIN_URL NODE_URL NETWORK START END
"""

# ruff: noqa: T201 - a program for people prints
from __future__ import annotations

import sys

from ampd.client import Ampd, ApiError, Job
from ampd.datasets import generate_manifest

NAME, VERSION = "examples/blocks", "1.0.0"


def extract(admin_url: str, node_url: str, network: str, start: int, end: int) -> Job:
    """Extract blocks ``start`` to ``end`` (both included) and return the job that did it."""
    manifest = generate_manifest("evm-rpc", network, start_block=start).to_json()
    with Ampd(admin_url) as client:
        client.providers.register("example_node", "evm-rpc", {"network": network, "url": node_url})
        client.datasets.register(NAME, manifest, VERSION)
        job_id = client.datasets.deploy(f"{NAME}@{VERSION}", end_block=end)
        job = client.jobs.wait(job_id, timeout=600, poll_seconds=0.2)
        for name, table in client.jobs.progress(job_id).tables.items():
            print(f"{name}: blocks {table.start_block} to {table.current_block}, {table.row_count} rows")
    return job


def main() -> int:
    """Run the program; return its exit code."""
    admin_url, node_url, network, start, end = sys.argv[1:]
    try:
        job = extract(admin_url, node_url, network, int(start), int(end))
    except (ApiError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"job {job.id} is {job.state}" + (f": {job.last_error}" if job.last_error else ""))
    return 0 if job.status == "completed" else 1


if __name__ == "__main__":
    sys.exit(main())
