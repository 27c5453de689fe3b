"""The demo: real blocks become a queryable lake, through the real processes."""

from __future__ import annotations

from ampd.demo.run import DemoOptions, run_demo

__all__ = ["DemoOptions", "run_demo"]
