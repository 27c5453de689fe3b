"""How buckets are opened: what is refused before anything is sent, and never with a secret in the message."""

from __future__ import annotations

from pathlib import Path

import pytest

from ampd.config import load_config
from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectStore, StoreSettings

SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ENDPOINT_URL", "ENDPOINT_URL_S3", "ENDPOINT", "ALLOW_HTTP", "ACCESS_KEY_ID", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def refusal(settings: StoreSettings | None = None) -> str:
    with pytest.raises(AmpError) as caught:
        ObjectStore.open("s3://lake/x", settings)
    assert caught.value.code == ErrorCode.CONFIG_INVALID
    assert SECRET not in caught.value.message
    return caught.value.message


def test_plain_http_must_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = StoreSettings(endpoint="http://127.0.0.1:9000")
    assert "object_store.allow_http = true" in refusal(plain)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert "http://127.0.0.1:9000 is not encrypted" in refusal()
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert ObjectStore.open("s3://lake/x", plain).url == "s3://lake/x"


def test_an_endpoint_with_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://key:{SECRET}@host")
    assert "keys do not belong into its endpoint" in refusal()


@pytest.mark.parametrize("endpoint", ["s3.example.com", "ftp://host", "https://"])
def test_an_endpoint_is_a_url(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert "must be a URL like https://" in refusal()


def test_a_bucket_in_the_host_name_is_put_there() -> None:
    store = ObjectStore.open("s3://lake/x", StoreSettings(endpoint="https://s3.example.com:1", path_style=False))
    assert store._store is not None
    assert store._store.config["endpoint"] == "https://lake.s3.example.com:1"  # type: ignore[index]


def test_a_profile_that_is_not_there_is_named_with_its_files(tmp_path: Path) -> None:
    message = refusal(StoreSettings(profile="lake"))
    assert f"there is no AWS profile 'lake' in {tmp_path / 'credentials'} or {tmp_path / 'config'}" in message


def test_a_profile_without_keys_says_that_others_are_not_supported(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile lake]\nsso_start_url = https://x\n", encoding="utf-8")
    assert "SSO" in refusal(StoreSettings(profile="lake"))


@pytest.mark.parametrize("text", [f"aws_secret_access_key = {SECRET}\n", f"[lake\n{SECRET}", f"[lake]\n{SECRET}\n"])
def test_a_broken_file_of_profiles_is_refused_without_its_content(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials").write_text(text, encoding="utf-8")
    assert "is not a valid file of AWS profiles" in refusal(StoreSettings(profile="lake"))


def test_a_profile_of_the_environment_is_used_only_without_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lake")
    assert "there is no AWS profile" in refusal()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert ObjectStore.open("s3://lake/x").url == "s3://lake/x"


@pytest.mark.parametrize("url", ["gs://lake/x", "az://lake/x"])
def test_the_other_clouds_are_opened_with_what_is_in_the_environment(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert ObjectStore.open(url, StoreSettings(timeout_seconds=1.5)).url == url


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f'endpoint = "https://key:{SECRET}@host"', "must hold no keys"),
        ('endpoint = "s3.example.com"', "must be a URL like https://"),
        ("timeout_secs = 0", "object_store.timeout_secs"),
        ('secret_access_key = "s3cr3t"', "unknown key"),
    ],
)
def test_settings_are_checked_when_the_config_file_is_read(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "config.toml").write_text(f"[object_store]\n{line}\n", encoding="utf-8")
    with pytest.raises(AmpError) as caught:
        load_config(tmp_path / "config.toml")
    assert said in caught.value.message
    assert SECRET not in caught.value.message
