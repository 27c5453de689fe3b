"""Azurite, Microsoft's own server for tests of Azure Blob Storage, as a process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient

from support.daemons import Process, free_port, wait_for

CONTAINER: Final = "lake"
ACCOUNT: Final = "ampdtests"
KEY: Final = "c2VjcmV0LWtleS1vZi1hbXBkLXRlc3Rz"
_PROGRAM: Final = Path(__file__).parents[1] / "azurite" / "node_modules" / ".bin" / "azurite-blob"
needs_azurite = pytest.mark.skipif(not _PROGRAM.exists(), reason="`make azurite` installs it; `make test-long` does so")


@dataclass(frozen=True)
class AzureServer:
    """A server with the container ``lake``; ``environment`` leads ampd to it."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_ENDPOINT": self.url,
            "AZURE_ALLOW_HTTP": "true",
        }

    def container(self) -> ContainerClient:
        """A second opinion: Microsoft's client, which shares no code with ours."""
        return ContainerClient(self.url, CONTAINER, credential=KEY, retry_total=0)

    def has_container(self) -> bool:
        try:
            self.container().create_container()
        except AzureError:
            return False
        return True


@contextmanager
def azurite() -> Iterator[AzureServer]:
    """Run a server that keeps everything in memory and checks signatures."""
    directory = Path(tempfile.mkdtemp(prefix="ampd-test-"))
    port = free_port()
    arguments = [str(_PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    arguments += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    process = Process(arguments, log=directory / "azurite.log", environment={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"})
    try:
        server = AzureServer(f"http://127.0.0.1:{port}/{ACCOUNT}")
        wait_for(f"a container at {server.url}", server.has_container, 40)
        yield server
    finally:
        process.end()
        shutil.rmtree(directory)
