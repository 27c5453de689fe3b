"""A dataset on a timetable: real processes keep it fresh."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg

from ampd.replay_node import ForkingNode
from support.chain import lake_of
from support.daemons import Cluster, wait_for
from support.timetables import PASS_TIME
from support.tip import FIRST_BLOCK, Forks


def _has_run(cluster: Cluster, job_id: int, times: int) -> None:
    def rests() -> bool:
        job = cluster.job(job_id)
        assert job["last_error"] is None, job["last_error"]
        return bool(job["execution_count"] == times and job["lifecycle"] == "scheduled")

    wait_for(f"execution {times} to end", rests)


async def test_a_dataset_deployed_with_every_runs_again_and_adds_the_blocks_that_have_come(
    cluster: Cluster, database_url: str
) -> None:
    chain = Forks(20).base
    async with ForkingNode(chain, gzip=False) as node:
        node.head = FIRST_BLOCK + 11

        def operate() -> None:
            cluster.start_controller()
            cluster.start_worker("worker-01")
            cluster.register(node.url, network="tip", start_block=FIRST_BLOCK, name="tip/chain")
            job_id = cluster.deploy("tip/chain@1.0.0", "--every", "1h", "--end-block", "latest")
            lake = lake_of(cluster, database_url, "tip/chain")
            _has_run(cluster, job_id, 1)
            lake.assert_whole(FIRST_BLOCK, FIRST_BLOCK + 11)
            node.head = chain.last_block
            with psycopg.connect(database_url) as connection:
                for statement in PASS_TIME:
                    connection.execute(statement, {"by": timedelta(hours=1)})
            _has_run(cluster, job_id, 2)
            lake.assert_whole(FIRST_BLOCK, chain.last_block)
            assert cluster.job(job_id)["next_run_at"] is not None

        await asyncio.to_thread(operate)
