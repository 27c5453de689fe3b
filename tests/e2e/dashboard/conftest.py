"""A real ``ampd solo`` with its dashboard, and a real browser to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from support.browser import chromium, page_at
from support.dashboard import Dashboard, running_dashboard


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Dashboard]:
    """A solo for the tests of a module, open to everybody; what they make there has names of its own."""
    with running_dashboard(tmp_path_factory.mktemp("solo"), module_database_url) as running:
        yield running


@pytest.fixture(scope="module")
def api(dashboard: Dashboard) -> Iterator[httpx.Client]:
    """The Admin API of the solo, to prepare what pages show and to compare it."""
    with dashboard.api() as client:
        yield client


@pytest.fixture
def page(browser: Browser, dashboard: Dashboard) -> Iterator[Page]:
    """A page that shows nothing yet: ``page.goto("/#/jobs")``. An error in its console fails the test."""
    with page_at(browser, dashboard.url) as opened:
        yield opened


@pytest.fixture
def own_dashboard(tmp_path: Path, database_url: str) -> Iterator[Dashboard]:
    """A solo for one test, which may restart it or make tokens."""
    with running_dashboard(tmp_path, database_url) as running:
        yield running
