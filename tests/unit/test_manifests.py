"""Manifests: canonical JSON, hash, and what is refused."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pyarrow as pa
import pytest

from ampd.chain.tables import TABLES
from ampd.datasets import generate_manifest, parse_manifest
from ampd.datasets.arrow_types import normal_type, type_to_json
from ampd.errors import AmpError, ErrorCode

FIELDS = [{"name": "_block_num", "type": "UInt64", "nullable": False}]
MINIMAL: dict[str, Any] = {
    "kind": "evm-rpc",
    "network": "mainnet",
    "tables": {"blocks": {"schema": {"arrow": {"fields": FIELDS}}, "network": "mainnet"}},
}
# The same manifest, keys in a wild order, space everywhere, types nested, defaults left out.
WILD = """
{ "tables": {
    "logs": {"network": "m\\u00fcn", "schema": {"arrow": {"fields": [
      {"nullable": true, "type": {"List": {"nullable": false, "metadata": {"z": "1", "a": "2"}, "name": "item",
        "data_type": {"Struct": [{"data_type": {"Decimal128": [38, 0]}, "nullable": true, "name": "v"}]}}},
        "name": "b"},
      {"name": "a", "nullable": false, "type": {"Timestamp": ["Nanosecond", "+00:00"]}}]}}},
    "blocks": {"schema": {"arrow": {"fields": [{"name": "x\\"", "type": "Utf8", "nullable": false}]}},
      "network": "mün"}},
  "network": "mün", "kind": "evm-rpc" }
"""
CANONICAL = (
    '{"kind":"evm-rpc","network":"mün","start_block":0,"finalized_blocks_only":false,"tables":{'
    '"blocks":{"schema":{"arrow":{"fields":[{"name":"x\\"","type":"Utf8","nullable":false}]}},"network":"mün"},'
    '"logs":{"schema":{"arrow":{"fields":[{"name":"b","type":{"List":{"name":"item","data_type":{"Struct":['
    '{"name":"v","data_type":{"Decimal128":[38,0]},"nullable":true,"dict_id":0,"dict_is_ordered":false,"metadata":{}}]},'
    '"nullable":false,"dict_id":0,"dict_is_ordered":false,"metadata":{"a":"2","z":"1"}}},"nullable":true},'
    '{"name":"a","type":{"Timestamp":["Nanosecond","+00:00"]},"nullable":false}]}},"network":"mün"}}}'
)


def with_changes(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(MINIMAL), **changes}


def with_type(declared: Any) -> dict[str, Any]:
    content = copy.deepcopy(MINIMAL)
    content["tables"]["blocks"]["schema"]["arrow"]["fields"][0]["type"] = declared
    return content


def refused(data: Any) -> str:
    with pytest.raises(AmpError) as caught:
        parse_manifest(data)
    assert caught.value.code == ErrorCode.INVALID_MANIFEST
    return caught.value.message


def test_canonical_json_is_compact_ordered_and_complete_whatever_was_written() -> None:
    manifest = parse_manifest(WILD)
    assert manifest.canonical_json().decode() == CANONICAL
    assert manifest.hash() == hashlib.sha256(CANONICAL.encode()).hexdigest()
    assert parse_manifest(CANONICAL.encode()) == manifest
    assert manifest.table_names == ["blocks", "logs"]


def test_defaults_written_out_do_not_change_the_hash() -> None:
    explicit = with_changes(start_block=0, finalized_blocks_only=False)
    assert parse_manifest(explicit).hash() == parse_manifest(MINIMAL).hash()
    assert parse_manifest(with_changes(start_block=1)).hash() != parse_manifest(MINIMAL).hash()


def test_a_generated_manifest_has_the_schemas_that_extraction_writes() -> None:
    manifest = generate_manifest("evm-rpc", "base", 5, True)
    content = manifest.to_json()
    assert (content["network"], content["start_block"], content["finalized_blocks_only"]) == ("base", 5, True)
    assert set(manifest.table_names) == set(TABLES)
    for name, schema in TABLES.items():
        fields = content["tables"][name]["schema"]["arrow"]["fields"]
        assert [(field["name"], field["nullable"]) for field in fields] == [(f.name, f.nullable) for f in schema]
        assert content["tables"][name]["network"] == "base"
    columns = {field["name"]: field["type"] for field in content["tables"]["transactions"]["schema"]["arrow"]["fields"]}
    assert columns["tx_hash"] == {"FixedSizeBinary": 32}
    assert columns["timestamp"] == {"Timestamp": ["Nanosecond", "+00:00"]}
    assert columns["gas_price"] == {"Decimal128": [38, 0]}
    assert columns["value"] == "Utf8"
    assert columns["access_list"]["List"]["name"] == "item"
    assert parse_manifest(manifest.canonical_json()) == manifest


def test_types_that_pyarrow_has_are_written_as_the_rust_implementation_writes_them() -> None:
    item = pa.field("item", pa.struct([pa.field("a", pa.binary(20), nullable=False)]), nullable=True)
    field_end = {"dict_id": 0, "dict_is_ordered": False, "metadata": {}}
    inner = {"name": "a", "data_type": {"FixedSizeBinary": 20}, "nullable": False, **field_end}
    written = type_to_json(pa.list_(item))
    assert written == {"List": {"name": "item", "data_type": {"Struct": [inner]}, "nullable": True, **field_end}}
    assert list(written["List"]) == ["name", "data_type", "nullable", "dict_id", "dict_is_ordered", "metadata"]
    simple = [pa.uint64(), pa.string(), pa.binary(), pa.bool_(), pa.int32(), pa.uint32()]
    assert [type_to_json(kind) for kind in simple] == ["UInt64", "Utf8", "Binary", "Boolean", "Int32", "UInt32"]
    assert type_to_json(pa.timestamp("us")) == {"Timestamp": ["Microsecond", None]}
    assert all(normal_type(type_to_json(field.type)) for schema in TABLES.values() for field in schema)


def test_a_subset_of_the_tables_is_allowed() -> None:
    assert parse_manifest(MINIMAL).table_names == ["blocks"]


def test_unknown_fields_are_named_at_every_level() -> None:
    content = with_changes(start_bloc=5)
    content["tables"]["blocks"]["sql"] = "…"
    message = refused(content)
    assert "unknown field 'start_bloc'" in message
    assert "unknown field 'tables.blocks.sql'" in message
    assert "kind, network, start_block, finalized_blocks_only, tables" in message


def test_missing_fields_are_named() -> None:
    assert "the field 'network' is missing; the field 'tables' is missing" in refused({"kind": "evm-rpc"})
    assert "the field 'kind' is missing" in refused({})


def test_a_table_that_the_kind_does_not_have_is_refused_with_those_it_has() -> None:
    message = refused(with_changes(tables={"calls": MINIMAL["tables"]["blocks"]}))
    assert "has no table 'calls'" in message
    assert "blocks, transactions, logs, withdrawals" in message


def test_a_table_of_another_network_is_refused() -> None:
    message = refused(with_changes(network="base"))
    assert "tables.blocks.network is 'mainnet', but the manifest's network is 'base'" in message


@pytest.mark.parametrize("kind", ["solana", "manifest", "static"])
def test_kinds_of_the_future_are_refused_with_what_is_supported(kind: str) -> None:
    assert f"kind '{kind}' is not supported yet; supported are 'evm-rpc', 'firehose'" in refused(
        with_changes(kind=kind)
    )
    with pytest.raises(AmpError, match="is not supported yet"):
        generate_manifest(kind, "mainnet")


def test_an_unknown_kind_is_refused() -> None:
    assert "unknown kind 'evm'" in refused(with_changes(kind="evm"))
    assert "unknown kind" in refused(with_changes(kind=["evm-rpc"]))


def test_text_that_is_no_json_is_refused_with_its_place() -> None:
    assert "line 2, column 3" in refused('{"kind":\n  ?}')
    assert "not UTF-8" in refused(b'{"kind": "\xff"}')
    assert "nested too deep" in refused("[" * 100_000)
    assert "'kind' stands twice" in refused('{"kind": "evm-rpc", "kind": "evm-rpc"}')
    assert "want a JSON object, not a list" in refused("[]")
    assert "surrogate" in refused(json.dumps(with_type({"Timestamp": ["Second", "\ud800"]})))


@pytest.mark.parametrize(
    "changes",
    [
        {"start_block": -1},
        {"start_block": 2**63},
        {"start_block": True},
        {"start_block": "5"},
        {"start_block": 5.0},
        {"finalized_blocks_only": "yes"},
        {"network": ""},
        {"network": "main\x00net"},
        {"tables": {}},
        {"tables": []},
    ],
)
def test_wrong_values_are_refused_with_the_name_of_the_field(changes: dict[str, Any]) -> None:
    assert next(iter(changes)) in refused(with_changes(**changes))


def test_two_columns_of_one_name_are_refused() -> None:
    content = copy.deepcopy(MINIMAL)
    content["tables"]["blocks"]["schema"]["arrow"]["fields"] = FIELDS * 2
    assert "more than one column is named '_block_num'" in refused(content)


@pytest.mark.parametrize(
    "declared",
    [
        "UInt65",
        'Timestamp(Nanosecond, Some("UTC"))',
        {"FixedSizeBinary": "32"},
        {"FixedSizeBinary": -1},
        {"Decimal128": [39, 0]},
        {"Decimal128": [38]},
        {"Timestamp": ["Nanoseconds", None]},
        {"List": "UInt64"},
        {"List": {"name": "item", "data_type": "UInt64"}},
        {"List": {"name": "item", "data_type": "UInt64", "nullable": 1}},
        {"List": {"name": "item", "data_type": "UInt64", "nullable": True, "extra": 1}},
        {"Struct": {}},
        {"UInt64": None, "Utf8": None},
        7,
        None,
    ],
)
def test_what_is_no_arrow_type_is_refused_with_its_place(declared: Any) -> None:
    assert "tables.blocks.schema.arrow.fields.0.type: " in refused(with_type(declared))


def test_types_nested_without_end_are_refused() -> None:
    declared: Any = "UInt64"
    for _ in range(5000):
        declared = {"List": {"name": "item", "data_type": declared, "nullable": True}}
    assert "nested more than" in refused(with_type(declared))
