"""A lake in a container of Azure Blob Storage: real processes extract the recorded blocks into Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest

from ampd.chain.tables import TABLES
from support.azure import CONTAINER, KEY, azurite, needs_azurite
from support.daemons import Cluster
from support.deploy import deploy, register
from support.lake import read_table
from support.nodes import FIRST_BLOCK

SETTINGS = f'data_dir = "az://{CONTAINER}/data"\n[writer]\nmax_range_blocks = 4\n'
ROWS = {"blocks": 23, "logs": 9807}


@pytest.mark.long
@needs_azurite
def test_a_container_holds_the_rows_of_the_recorded_blocks(
    tmp_path: Path, database_url: str, recorded_node: str
) -> None:
    copy = tmp_path / "copy"
    with azurite() as server:
        cluster = Cluster(tmp_path, database_url, SETTINGS)
        try:
            cluster.start_controller(environment=server.environment)
            worker = cluster.start_worker("worker", environment=server.environment)
            register(cluster, recorded_node, network="mainnet", start_block=FIRST_BLOCK, name="ethereum/mainnet")
            job_id = deploy(cluster, "ethereum/mainnet", end_block="latest")
            assert cluster.wait_for_status(job_id, "COMPLETED", "FAILED")["status"] == "COMPLETED"
        finally:
            cluster.end()
        for blob in server.container().list_blobs("data/"):
            target = copy / blob.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(server.container().download_blob(blob.name).readall())
    tables = {name: read_table(database_url, copy / "data", name, "ethereum/mainnet") for name in TABLES}
    assert {name: tables[name].num_rows for name in ROWS} == ROWS
    assert "lake." not in worker.text(), "it warns of its lake, or removed a leftover"
    assert all(KEY not in process.text() for process in cluster.processes)
