"""Provider files: what is read, what is refused, what is shown."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ampd.datasets import EvmRpcProviderConfig, Provider, ProviderStore, parse_config, redacted
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.head import HeadPolicy
from ampd.extraction.sources import head_policy
from ampd.object_store import ObjectStore

ENVIRONMENT = {
    "RPC_TOKEN": "s3cr3t-token",
    "RPC_HOST": "node.example",
    "LIMIT": "4",
    "NESTED": "${RPC_TOKEN}",
    "EMPTY": "",
}
URL = "https://node.example:8545/v2/s3cr3t-path"


def store_in(directory: Path, environment: Mapping[str, str] = ENVIRONMENT) -> ProviderStore:
    return ProviderStore(ObjectStore.open(directory), environment)


def write(directory: Path, name: str, text: str) -> None:
    (directory / f"{name}.toml").write_text(text)


def good(network: str = "mainnet", extra: str = "") -> str:
    return f'kind = "evm-rpc"\nnetwork = "{network}"\nurl = "{URL}"\n{extra}'


async def refused(store: ProviderStore, code: ErrorCode, config: dict[str, Any], kind: str = "evm-rpc") -> str:
    with pytest.raises(AmpError) as caught:
        await store.put("node", kind, config)
    assert caught.value.code == code
    return caught.value.message


async def test_a_registered_provider_is_a_toml_file_with_its_placeholders(tmp_path: Path) -> None:
    store = store_in(tmp_path / "providers")
    config = {"network": "mainnet", "url": "https://${RPC_HOST}", "auth_token": 'a"\\b', "timeout_secs": 2.5}
    await store.put("node", "evm-rpc", config)
    assert tomllib.loads((tmp_path / "providers/node.toml").read_text()) == {"kind": "evm-rpc", **config}
    provider = await store.get("node")
    assert (provider.name, provider.kind, provider.network) == ("node", "evm-rpc", "mainnet")
    assert provider.config["url"] == "https://${RPC_HOST}"
    assert (await store.list_all()) == [provider]


async def test_registering_again_replaces_and_deleting_twice_is_fine(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.put("node", "evm-rpc", {"network": "mainnet", "url": URL})
    await store.put("node", "evm-rpc", {"network": "base", "url": URL})
    assert (await store.get("node")).network == "base"
    await store.delete("node")
    await store.delete("node")
    assert await store.list_all() == []


async def test_a_file_edited_by_hand_counts_at_once(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    write(tmp_path, "node", good("mainnet"))
    assert [p.network for p in await store.find("evm-rpc", "mainnet")] == ["mainnet"]
    write(tmp_path, "node", good("base"))
    assert [p.network for p in await store.find("evm-rpc", "base")] == ["base"]
    with pytest.raises(AmpError):
        await store.find("evm-rpc", "mainnet")
    (tmp_path / "node.toml").unlink()
    assert await store.list_all() == []


async def test_all_matching_providers_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("zeta", "alpha", "a1", "a_"):
        write(tmp_path, name, good())
    write(tmp_path, "other", good("base"))
    found = await store_in(tmp_path).find("evm-rpc", "mainnet")
    assert [provider.name for provider in found] == ["a1", "a_", "alpha", "zeta"]


async def test_placeholders_are_replaced_when_a_provider_is_found_and_only_then(tmp_path: Path) -> None:
    text = good(extra='auth_token = "x${RPC_TOKEN}y${LIMIT}-$RPC_TOKEN-$"\nconcurrent_request_limit = "${LIMIT}"\n')
    write(tmp_path, "node", text)
    store = store_in(tmp_path)
    [provider] = await store.find("evm-rpc", "mainnet")
    assert provider.config["auth_token"] == "xs3cr3t-tokeny4-$RPC_TOKEN-$"
    assert parse_config(provider.config, "test").concurrent_request_limit == 4
    assert "${RPC_TOKEN}" in (await store.get("node")).config["auth_token"]


async def test_what_a_variable_holds_is_not_looked_into_again(tmp_path: Path) -> None:
    write(tmp_path, "node", good(extra='auth_token = "${NESTED}"\n'))
    [provider] = await store_in(tmp_path).find("evm-rpc", "mainnet")
    assert provider.config["auth_token"] == "${RPC_TOKEN}"


async def test_placeholders_are_replaced_inside_tables_and_lists(tmp_path: Path) -> None:
    write(tmp_path, "node", 'kind = "other"\nnetwork = "n"\n[rpc]\nurls = ["a", "${RPC_HOST}", {x = "${LIMIT}"}]\n')
    [provider] = await store_in(tmp_path).find("other", "n")
    assert provider.config["rpc"] == {"urls": ["a", "node.example", {"x": "4"}]}
    write(tmp_path, "node", 'kind = "other"\nnetwork = "n"\n[rpc]\nurls = ["${GONE}"]\n')
    with pytest.raises(AmpError, match=r"key 'rpc\.urls\[0\]' needs the environment variable 'GONE'"):
        await store_in(tmp_path).find("other", "n")


async def test_an_unset_variable_is_reported_with_file_key_and_variable(tmp_path: Path) -> None:
    write(tmp_path, "node", good(extra='auth_token = "${RPC_TOKEM}"\n'))
    with pytest.raises(AmpError) as caught:
        await store_in(tmp_path).find("evm-rpc", "mainnet")
    assert caught.value.code == ErrorCode.INVALID_PROVIDER
    for part in ("'node.toml'", str(tmp_path), "'auth_token'", "'RPC_TOKEM'"):
        assert part in caught.value.message


async def test_a_provider_with_an_unset_variable_steps_aside_for_one_that_works(tmp_path: Path) -> None:
    write(tmp_path, "a", good(extra='auth_token = "${GONE}"\n'))
    write(tmp_path, "b", good(extra='auth_token = "${EMPTY}"\n'))  # an empty token is no token
    write(tmp_path, "c", good())
    with capture_logs() as logs:
        found = await store_in(tmp_path).find("evm-rpc", "mainnet")
    assert [provider.name for provider in found] == ["c"]
    assert [(line["log_level"], line["file"]) for line in logs] == [("warning", "a.toml"), ("warning", "b.toml")]


@pytest.mark.parametrize(("value", "fault"), [("a${}", "an empty '${}'"), ("a${RPC_TOKEN", "a '${' without its '}'")])
async def test_malformed_placeholders_are_refused_with_their_key(tmp_path: Path, value: str, fault: str) -> None:
    store = store_in(tmp_path)
    config = {"network": "mainnet", "url": URL, "auth_token": value}
    message = await refused(store, ErrorCode.INVALID_PROVIDER, config)
    assert f"key 'auth_token' has {fault}" in message
    write(tmp_path, "node", good(extra=f'auth_token = "{value}"\n'))
    with pytest.raises(AmpError, match=r"node\.toml.*auth_token"):
        await store.get("node")


async def test_kind_and_network_must_be_literals(tmp_path: Path) -> None:
    store = store_in(tmp_path, {"KIND": "evm-rpc", "NET": "mainnet"})
    assert "'network'" in await refused(store, ErrorCode.INVALID_PROVIDER, {"network": "${NET}", "url": URL})
    assert "'kind'" in await refused(store, ErrorCode.INVALID_PROVIDER, {"network": "mainnet", "url": URL}, "${KIND}")
    write(tmp_path, "by_hand", good("${NET}"))
    write(tmp_path, "by_hand_too", good().replace("evm-rpc", "${KIND}"))
    assert len(await store.list_all()) == 2
    with pytest.raises(AmpError) as caught:
        await store.find("evm-rpc", "mainnet")
    assert caught.value.code == ErrorCode.PROVIDER_NOT_FOUND


async def test_no_match_says_what_was_wanted_what_is_there_and_what_to_do(tmp_path: Path) -> None:
    store = store_in(tmp_path / "missing")
    with pytest.raises(AmpError, match="none is registered") as caught:
        await store.find("evm-rpc", "mainnet")
    assert caught.value.code == ErrorCode.PROVIDER_NOT_FOUND
    assert "kind 'evm-rpc' for network 'mainnet'" in caught.value.message
    assert "ampctl provider register NAME FILE.toml" in caught.value.message
    write(tmp_path, "node", good("base"))
    write(tmp_path, "broken", "kind")
    with pytest.raises(AmpError, match=r"there are node \(evm-rpc, base\); files that cannot be used: broken\.toml"):
        await store_in(tmp_path).find("evm-rpc", "mainnet")


BROKEN = {
    "not_toml": 'kind = "evm-rpc"\nnetwork = ?\n',
    "no_kind": f'network = "mainnet"\nurl = "{URL}"\n',
    "number": 'kind = "evm-rpc"\nnetwork = 1\n',
    "unknown_key": good(extra="rate_limit = 5\n"),
    "deep": "a = " + "[" * 5000,
    "Bad-Name": good(),
}


async def test_broken_files_are_skipped_with_a_warning_and_reported_by_get(tmp_path: Path) -> None:
    for name, text in BROKEN.items():
        write(tmp_path, name, text)
    (tmp_path / "latin.toml").write_bytes(b'kind = "\xe9"')
    write(tmp_path, "node", good())
    (tmp_path / "notes.txt").write_text("not a provider")
    (tmp_path / "old").mkdir()
    write(tmp_path / "old", "node2", good())
    store = store_in(tmp_path)
    with capture_logs() as logs:
        assert [provider.name for provider in await store.list_all()] == ["node"]
    assert {line["file"] for line in logs} == {f"{name}.toml" for name in (*BROKEN, "latin")}
    assert {line["log_level"] for line in logs} == {"warning"}
    with capture_logs():
        assert [provider.name for provider in await store.find("evm-rpc", "mainnet")] == ["node"]
    with pytest.raises(AmpError, match="line 2") as caught:
        await store.get("not_toml")
    assert caught.value.code == ErrorCode.INVALID_PROVIDER
    with pytest.raises(AmpError, match=r"unknown_key\.toml.*unknown field 'rate_limit'.*known are kind, network, url"):
        await store.get("unknown_key")
    with pytest.raises(AmpError, match="not UTF-8"):
        await store.get("latin")


async def test_a_provider_that_is_not_there_is_reported_with_those_that_are(tmp_path: Path) -> None:
    write(tmp_path, "node", good())
    with pytest.raises(AmpError, match="there are node") as caught:
        await store_in(tmp_path).get("nod")
    assert caught.value.code == ErrorCode.PROVIDER_NOT_FOUND


@pytest.mark.parametrize("name", ["../evil", "Node", "", "a/b"])
async def test_names_that_are_no_names_never_reach_the_store(tmp_path: Path, name: str) -> None:
    store = store_in(tmp_path / "providers")
    for call in (store.get(name), store.delete(name), store.put(name, "evm-rpc", {"network": "m", "url": URL})):
        with pytest.raises(AmpError) as caught:
            await call
        assert caught.value.code == ErrorCode.INVALID_PROVIDER_NAME
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"url": "wss://"}, "http, https, ws, wss or ipc"),
        ({"url": "ipc://run/node"}, "absolute path of a socket"),
        ({"url": "ipc:///"}, "absolute path of a socket"),
        ({"url": "ftp://node.example"}, "http, https, ws, wss or ipc"),
        ({"url": "node.example:8545"}, "http, https, ws, wss or ipc"),
        ({"url": "https://"}, "http, https, ws, wss or ipc"),
        ({"url": "https://node.example:port"}, "malformed"),
        ({"url": "https://[::1"}, "malformed"),
        ({"url": "https://node.example/ s3cr3t"}, "without spaces"),
        ({"url": 5}, "url: "),
        ({"url": None}, "null has no form in TOML"),
        ({"auth_token": ""}, "auth_token"),
        ({"auth_token": "s3cr3t\n"}, "a line end"),
        ({"auth_header": "X-Api-Key"}, "auth_header without auth_token"),
        ({"auth_header": "X Api", "auth_token": "s3cr3t"}, "name of an HTTP header"),
        ({"concurrent_request_limit": 0}, "concurrent_request_limit"),
        ({"concurrent_request_limit": 65536}, "concurrent_request_limit"),
        ({"concurrent_request_limit": True}, "concurrent_request_limit"),
        ({"timeout_secs": 0}, "timeout_secs"),
        ({"timeout_secs": float("nan")}, "timeout_secs"),
        ({"rpc_batch_size": 1001}, "rpc_batch_size"),
        ({"rpc_batch_size": -1}, "rpc_batch_size"),
        ({"rate_limit_per_minute": 0}, "rate_limit_per_minute"),
        ({"compute_units_per_second": 0}, "compute_units_per_second"),
        ({"compute_units_per_second": 300, "compute_units": {"eth_chainId": -1}}, "compute_units"),
        ({"compute_units": {"eth_chainId": 1}}, "compute_units without compute_units_per_second"),
        ({"timeout": 5, "tokens": 1}, "unknown field 'timeout'; unknown field 'tokens' (known are"),
        ({"network": ""}, "network"),
        ({"kind": "firehose"}, "its kind is 'evm-rpc', but its settings say 'firehose'"),
    ],
)
async def test_bad_settings_are_refused_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    null = None in changes.values()
    code = ErrorCode.DATA_CONVERSION_ERROR if null else ErrorCode.INVALID_PROVIDER
    message = await refused(store_in(tmp_path), code, {"network": "mainnet", "url": URL, **changes})
    assert fault in message
    assert "s3cr3t" not in message
    assert list(tmp_path.iterdir()) == []


async def test_a_bad_registration_leaves_the_good_file_as_it_is(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.put("node", "evm-rpc", {"network": "mainnet", "url": URL})
    await refused(store, ErrorCode.INVALID_PROVIDER, {"network": "mainnet", "url": "wss//x"})
    assert (await store.get("node")).config["url"] == URL


async def test_kinds_that_ampd_cannot_use_are_refused_with_those_it_can(tmp_path: Path) -> None:
    message = await refused(store_in(tmp_path), ErrorCode.INVALID_PROVIDER, {"network": "m", "url": "x"}, "solana")
    assert "kind 'solana' is not supported yet; supported are 'evm-rpc', 'firehose'" in message


@pytest.mark.parametrize("url", ["wss://node.example/x", "ws://127.0.0.1:8546", "ipc:///var/run/geth.ipc", URL])
async def test_every_way_to_a_node_is_taken(tmp_path: Path, url: str) -> None:
    await store_in(tmp_path).put("node", "evm-rpc", {"network": "mainnet", "url": url})
    [provider] = await store_in(tmp_path).find("evm-rpc", "mainnet")
    assert provider.config["url"] == url


async def test_how_much_may_be_asked_of_a_node_is_kept(tmp_path: Path) -> None:
    wanted = {
        "rpc_batch_size": 20,
        "rate_limit_per_minute": 600,
        "compute_units_per_second": 300.0,
        "compute_units": {"eth_getBlockReceipts": 500},
        "fetch_receipts_per_tx": True,
    }
    await store_in(tmp_path).put("node", "evm-rpc", {"network": "mainnet", "url": URL, **wanted})
    [provider] = await store_in(tmp_path).find("evm-rpc", "mainnet")
    assert wanted.items() <= provider.config.items()


def test_the_defaults_are_those_of_the_documentation() -> None:
    config = EvmRpcProviderConfig(kind="evm-rpc", network="mainnet", url=URL)
    assert (config.auth_token, config.concurrent_request_limit, config.timeout_secs) == (None, 16, 30.0)


def test_secrets_do_not_show_in_the_text_of_objects() -> None:
    config = EvmRpcProviderConfig(kind="evm-rpc", network="mainnet", url=URL, auth_token="s3cr3t")
    assert "s3cr3t" not in repr(config)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://node.example:8545/v2/s3cr3t", "https://node.example:8545/…/…"),
        ("https://user:s3cr3t@node.example/?apikey=s3cr3t#s3cr3t", "https://node.example/"),
        ("https://user:s3/cr3t@node.example/", "https://…"),
        ("https://s3cr3t:12/34@node.example/", "https://…"),
        ("http://s3cr3t@[::1]:8545", "http://[::1]:8545"),
        ("https://node.example/v2/${RPC_KEY}", "https://node.example/…/${RPC_KEY}"),
        ("https://${RPC_HOST}:${PORT}/s3cr3t${RPC_KEY}", "https://${RPC_HOST}:${PORT}/…"),
        ("${RPC_URL}", "${RPC_URL}"),
        ("s3cr3t${RPC_URL}", "***"),
        ("s3cr3t", "***"),
    ],
)
def test_a_shown_url_has_its_host_and_no_secret(url: str, shown: str) -> None:
    assert redacted({"url": url}) == {"url": shown}


def test_shown_settings_hold_no_secret_whatever_their_kind() -> None:
    config = {
        "kind": "solana",
        "network": "mainnet",
        "auth_header": "X-Api-Key",
        "auth_token": "s3cr3t",
        "token": "${TOKEN}",
        "api_key": 12345,
        "concurrent_request_limit": 4,
        "fetch_receipts_per_tx": False,
        "rpc_provider_info": {"url": "https://u:s3cr3t@node.example/s3cr3t", "keys": ["s3cr3t"], "note": "s3cr3t"},
    }
    shown = redacted(config)
    assert "s3cr3t" not in json.dumps(shown)
    assert "12345" not in json.dumps(shown)
    assert shown["auth_token"] == "***"
    assert (shown["token"], shown["auth_header"], shown["kind"]) == ("${TOKEN}", "X-Api-Key", "solana")
    assert (shown["concurrent_request_limit"], shown["fetch_receipts_per_tx"]) == (4, False)
    assert shown["rpc_provider_info"]["url"] == "https://node.example/…"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{}], HeadPolicy(0, "tag")),
        ([{"confirmations": 3}, {"confirmations": 8}, {}], HeadPolicy(8, "tag")),
        ([{"finality": 20}, {}, {"finality": 64}], HeadPolicy(0, 64)),
        ([{"finality": 0}, {}], HeadPolicy(0, 0)),
    ],
)
def test_of_what_several_providers_say_about_the_head_the_most_careful_counts(
    settings: list[dict[str, Any]], expected: HeadPolicy
) -> None:
    base = {"kind": "evm-rpc", "network": "mainnet", "url": URL}
    providers = [Provider(f"node_{n}", "evm-rpc", "mainnet", base | one) for n, one in enumerate(settings)]
    assert head_policy(providers) == expected
