"""What a running process says about itself."""

from __future__ import annotations

from ampd.telemetry.logs import configure_logging, redact, redact_text

__all__ = ["configure_logging", "redact", "redact_text"]
