"""What a block's own row, and those of its neighbours, must agree with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ampd.chain.block_rows import BlockRows
from ampd.chain.byte_columns import matrix_of
from ampd.chain.commitments import Commitment, Findings, hex_text
from ampd.chain.header import HeaderFieldError, hash_of_header_fields, header_fields_of_values, parse_field
from ampd.chain.system_transactions import integer

_COLUMNS: Final = {
    "parentHash": "parent_hash",
    "sha3Uncles": "ommers_hash",
    "miner": "miner",
    "stateRoot": "state_root",
    "transactionsRoot": "transactions_root",
    "receiptsRoot": "receipt_root",
    "logsBloom": "logs_bloom",
    "number": "block_num",
    "gasLimit": "gas_limit",
    "gasUsed": "gas_used",
    "extraData": "extra_data",
    "mixHash": "mix_hash",
    "withdrawalsRoot": "withdrawals_root",
    "blobGasUsed": "blob_gas_used",
    "excessBlobGas": "excess_blob_gas",
    "parentBeaconBlockRoot": "parent_beacon_root",
    "requestsHash": "requests_hash",
}
# Fields of newer headers, which have no column yet.
_EXTRA_FIELDS: Final = ("blockAccessListHash", "slotNumber")
# Keys of chains whose headers are not hashed as Ethereum's: Avalanche, those sealed by AuRa, Celo before it was a layer
# 2, Ethereum pallets of Substrate chains.
_FOREIGN_KEYS: Final = frozenset(
    {"extDataHash", "blockGasCost", "sealFields", "step", "randomness", "epochSnarkData", "author"}
)
_ETHEREUM: Final = 1
_NONCE_BYTES: Final = 8
_NANOSECONDS: Final = 1_000_000_000


def check_headers(blocks: BlockRows, chain_id: int | None) -> None:
    """Check HEADER_HASH, and COLUMN_RULES of the block's time."""
    times = blocks.headers.column("timestamp").cast(pa.int64()).fill_null(-1).to_pylist()
    for block, (values, extra) in enumerate(zip(blocks.header_values, blocks.extras, strict=True)):
        time = times[block]
        if time < 0 or time % _NANOSECONDS:
            blocks.broken(block, Commitment.COLUMN_RULES, f"its timestamp, {time} ns, is no whole second")
        try:
            computed = hash_of_header_fields(header_fields_of_values(_values(values, extra, max(time, 0))))
        except HeaderFieldError as error:
            blocks.broken(block, Commitment.HEADER_HASH, str(error))
            continue
        if computed == values["hash"]:
            continue
        foreign = sorted(_FOREIGN_KEYS & extra.keys())
        if foreign and chain_id != _ETHEREUM:
            reason = f"headers of nodes that send {foreign[0]} may be hashed in another way"
            blocks.unknown(block, Commitment.HEADER_HASH, reason)
        else:
            detail = f"its columns hash to {hex_text(computed)}, its hash is {hex_text(values['hash'])}"
            blocks.broken(block, Commitment.HEADER_HASH, detail, (hex_text(values["hash"]), hex_text(computed)))


def _values(row: dict[str, Any], extra: dict[str, Any], time: int) -> dict[str, int | bytes | None]:
    """Return the header's fields by their JSON names. Raises ``HeaderFieldError``."""
    values: dict[str, int | bytes | None] = {name: row[column] for name, column in _COLUMNS.items()}
    values["timestamp"] = time // _NANOSECONDS
    values["nonce"] = None if row["nonce"] is None else row["nonce"].to_bytes(_NONCE_BYTES, "big")
    values["difficulty"] = amount(row, "difficulty")
    values["baseFeePerGas"] = amount(row, "base_fee_per_gas")
    for name in _EXTRA_FIELDS:
        values[name] = parse_field(name, extra.get(name))
    for name, value in values.items():
        if isinstance(value, int) and value < 0:
            raise HeaderFieldError(f"the block header's {name} is negative")
    return values


def amount(row: dict[str, Any], name: str) -> int | None:
    """Return the amount of a column or its ``_raw`` column."""
    raw = row[f"{name}_raw"]
    if raw is not None:
        return integer(raw)
    return None if row[name] is None else integer(row[name])


def check_chain(headers: pa.Table, findings: Findings) -> None:
    """Check PARENT_HASH and TOTAL_DIFFICULTY over blocks in ascending order."""
    numbers = np.asarray(headers.column("block_num").to_numpy()).astype(np.uint64)
    if not len(numbers):
        return
    hashes = matrix_of(_whole(headers, "hash"))
    parents = matrix_of(_whole(headers, "parent_hash"))
    follows = numbers[1:] - numbers[:-1] == 1
    for place in np.flatnonzero(follows & (parents[1:] != hashes[:-1]).any(axis=1)).tolist():
        parent, before = parents[place + 1].tobytes(), hashes[place].tobytes()
        values = hex_text(parent), hex_text(before)
        detail = f"its parent hash is {values[0]}, the hash of the block before it {values[1]}"
        findings.broken(int(numbers[place + 1]), Commitment.PARENT_HASH, detail, values)
    _check_total_difficulty(headers, np.flatnonzero(follows).tolist(), findings)


def check_presence(headers: pa.Table, expected: Collection[int], findings: Findings) -> None:
    """Check BLOCK_ORDER: the blocks are exactly those that are expected."""
    numbers = headers.column("block_num").to_pylist()
    present = set(numbers)
    for number in expected:
        if number not in present:
            findings.broken(number, Commitment.BLOCK_ORDER, "it has no row in blocks")
    for number in numbers:
        if number not in expected:
            findings.broken(number, Commitment.BLOCK_ORDER, "it is none of the blocks that belong here")


def _check_total_difficulty(headers: pa.Table, places: list[int], findings: Findings) -> None:
    """Compare neighbours that both have one; most nodes of today leave it out."""
    if headers.column("total_difficulty").null_count == len(headers):
        return
    columns = ["block_num", "difficulty", "difficulty_raw", "total_difficulty", "total_difficulty_raw"]
    rows = headers.select(columns).to_pylist()
    for place in places:
        before, own = (amount(rows[at], "total_difficulty") for at in (place, place + 1))
        step = amount(rows[place + 1], "difficulty")
        if before is not None and own is not None and step is not None and own != before + step:
            detail = f"it is {own}, that of the block before it {before}, its difficulty {step}"
            values = own, before + step
            findings.broken(rows[place + 1]["block_num"], Commitment.TOTAL_DIFFICULTY, detail, values)


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
