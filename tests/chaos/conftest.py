"""The cluster that the tests of a module share. Its settings are the module's SETTINGS; workers come and go with each
test.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.daemons import Cluster


@pytest.fixture(scope="module")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, module_database_url: str
) -> Iterator[Cluster]:
    """A controller, for as long as the module's tests run."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), module_database_url, settings=request.module.SETTINGS)
    try:
        cluster.start_controller()
        yield cluster
    finally:
        cluster.end()
