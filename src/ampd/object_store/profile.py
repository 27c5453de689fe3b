"""Keys from the files that AWS tools share: ``~/.aws/credentials`` and ``~/.aws/config``."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from ampd.errors import AmpError, ErrorCode

_NAMES = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
    "endpoint_url": "endpoint",
}


def chosen_profile(configured: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the profile to use: the configured one, else ``AWS_PROFILE`` when no keys are in the environment."""
    if configured is not None:
        return configured
    return None if environment.get("AWS_ACCESS_KEY_ID") else environment.get("AWS_PROFILE") or None


def read_profile(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the keys, region and endpoint of a profile, under the names of obstore's settings.

    :raises AmpError: CONFIG_INVALID when there is no such profile, or one without keys. No value is shown.
    """
    credentials = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    config = Path(environment.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    section = name if name == "default" else f"profile {name}"
    found = _section(config, section) | _section(credentials, name)
    where = f"AWS profile '{name}' in {credentials} or {config}"
    if not found:
        raise AmpError(ErrorCode.CONFIG_INVALID, f"there is no {where}. Check object_store.profile and AWS_PROFILE")
    values = {_NAMES[key]: value for key, value in found.items() if key in _NAMES}
    if "access_key_id" not in values or "secret_access_key" not in values:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"{where} has no aws_access_key_id and aws_secret_access_key. Profiles that get their keys elsewhere (SSO, "
            "roles, processes) are not supported: give their keys through the environment",
        )
    return values


def _section(file: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(default_section="")  # DEFAULT is no special section of these files
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AmpError(
            ErrorCode.CONFIG_INVALID, f"the file {file} cannot be read: {os.strerror(error.errno or 0)}"
        ) from None
    except (configparser.Error, UnicodeDecodeError):
        # The parser's own message shows the line, which may be a key.
        raise AmpError(ErrorCode.CONFIG_INVALID, f"the file {file} is not a valid file of AWS profiles") from None
    return dict(parser.items(name)) if parser.has_section(name) else {}
