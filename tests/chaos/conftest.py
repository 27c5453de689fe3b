"""What every chaos test shares: its mark."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: processes are killed or frozen in the middle of their work")
