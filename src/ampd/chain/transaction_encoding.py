"""The EIP-2718 envelopes of transactions, from their columns: what ``tx_hash`` and the transactions root are made of.

Types 0 to 4 are encoded a column at a time. All of them are one sequence of fields, of which a type has some; a field
belongs to a transaction when its column is not null, so that a value in a column that the type does not have breaks the
hash as a wrong value does. Other types are encoded row by row (:mod:`ampd.chain.system_transactions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain import system_transactions
from ampd.chain.amounts import amount_bytes, decimal_text_bytes
from ampd.chain.block_rows import Numbers, Rows
from ampd.chain.byte_columns import Bytes, Integers, Mask, matrix_of, repeated, type_bytes, valid_mask
from ampd.chain.rlp_columns import (
    big_endian,
    rlp_integers,
    rlp_lists,
    rlp_nested_lists,
    rlp_uint64s,
    rlp_words,
    string_prefixes,
)

LAST_STANDARD_TYPE: Final = 4
_SET_CODE_TYPE: Final = 4
_NO_ADDRESS: Final = b"\x80"
_FIRST_EIP155_V: Final = np.uint64(35)
_FIRST_V: Final = np.uint64(27)
_WORD_BYTES: Final = 32

_NO_NUMBER: Final = "value is no number below 2^256"
_NOT_KEPT: Final = "extra does not keep the node's object of a transaction of this type"

Pieces = list[pa.BinaryArray]


@dataclass(frozen=True)
class Envelopes:
    """One encoding per row.

    ``unknown`` tells of rows whose encoding cannot be made, and why; ``malformed`` of rows that break the rules of the
    table, and how.
    """

    encoded: pa.BinaryArray
    unknown: dict[int, str]
    malformed: dict[int, str]


def encode_transactions(rows: Rows) -> Envelopes:
    """Return the envelopes of ``rows`` of the table transactions."""
    kinds = rows.kinds
    standard = (kinds >= 0) & (kinds <= LAST_STANDARD_TYPE)
    authorizations = _Authorizations.of(rows)
    fields, malformed = _fields(rows, kinds, authorizations)
    encoded = rlp_lists(*fields, before=type_bytes(kinds, kinds > 0))
    no_numbers = dict.fromkeys(np.flatnonzero(malformed).tolist(), _NO_NUMBER)
    envelopes = Envelopes(encoded, dict(authorizations.unknown), no_numbers)
    return envelopes if standard.all() else _with_system_transactions(rows, envelopes, ~standard)


def _fields(rows: Rows, kinds: Integers, authorizations: _Authorizations) -> tuple[Pieces, Mask]:
    """Return the encoded fields in the order in which they stand, and where ``value`` is no number."""
    typed = kinds > 0
    to = rows.column("to")
    value, malformed = decimal_text_bytes(rows.column("value"))
    data = rows.column("input")
    fields = [
        rlp_uint64s(rows.numbers("chain_id"), typed),
        rlp_uint64s(rows.numbers("nonce")),
        *_amount(rows, "max_priority_fee_per_gas"),
        *_amount(rows, "max_fee_per_gas"),
        *_amount(rows, "gas_price"),
        rlp_uint64s(rows.numbers("gas_limit")),
        rlp_words(matrix_of(to), valid_mask(to), absent=_NO_ADDRESS),
        rlp_integers(value),
        string_prefixes(data),
        data,
        *_access_lists(rows.column("access_list"), typed),
        *_amount(rows, "max_fee_per_blob_gas"),
        *_hash_lists(rows.column("blob_versioned_hashes")),
        *authorizations.encoded(),
        *_signature(rows, typed),
    ]
    return fields, malformed


def _amount(rows: Rows, name: str) -> Pieces:
    column, raw = rows.column(name), rows.column(f"{name}_raw")
    if column.null_count + raw.null_count == 2 * len(column):
        return []
    return [rlp_integers(*amount_bytes(column, raw))]


def _signature(rows: Rows, typed: Mask) -> Pieces:
    """Return v (or the parity of y), r, s. An unsigned legacy transaction has v = 0."""
    parity = np.asarray(rows.column("v_parity").fill_null(False).to_numpy(zero_copy_only=False)).astype(np.uint64)
    chain_ids = rows.numbers("chain_id")
    r, s = matrix_of(rows.column("r")), matrix_of(rows.column("s"))
    signed = r.any(axis=1) | s.any(axis=1)
    protected = valid_mask(rows.column("chain_id"))
    legacy = np.where(protected, _FIRST_EIP155_V + np.uint64(2) * chain_ids, _FIRST_V) + parity
    return [
        rlp_uint64s(np.where(typed | ~signed, parity, legacy)),
        rlp_integers(r),
        rlp_integers(s),
    ]


def _counts(lists: pa.ListArray) -> Integers:
    return np.asarray(pc.list_value_length(lists).fill_null(0).to_numpy()).astype(np.int64)


def _access_lists(lists: pa.ListArray, typed: Mask) -> Pieces:
    """Return the access lists (EIP-2930); for null a typed transaction has an empty one, a legacy one none."""
    entries = lists.flatten()
    present = typed | valid_mask(lists)
    if not len(entries):
        return rlp_nested_lists(repeated(b"", 0), np.zeros(len(lists), dtype=np.int64), present)
    keys = entries.field("storage_keys")
    storage_keys = rlp_nested_lists(rlp_words(matrix_of(keys.flatten())), _counts(keys))
    encoded = rlp_lists(rlp_words(matrix_of(entries.field("address"))), *storage_keys)
    return rlp_nested_lists(encoded, _counts(lists), present)


def _hash_lists(lists: pa.ListArray) -> Pieces:
    if lists.null_count == len(lists):
        return []
    return rlp_nested_lists(rlp_words(matrix_of(lists.flatten())), _counts(lists), valid_mask(lists))


@dataclass(frozen=True)
class _Authorizations:
    """The authorization lists (EIP-7702). What their columns do not hold comes from ``extra``."""

    lists: pa.ListArray
    chain_ids: Bytes
    parities: Numbers
    unknown: dict[int, str]

    @classmethod
    def of(cls, rows: Rows) -> _Authorizations:
        """Read the authorizations of all rows."""
        lists = rows.column("authorization_list")
        entries = lists.flatten()
        chain_ids = np.zeros((len(entries), _WORD_BYTES), dtype=np.uint8)
        parities = np.zeros(len(entries), dtype=np.uint64)
        unknown: dict[int, str] = {}
        if len(entries):
            own = entries.field("chain_id")
            chain_ids[:, -8:] = big_endian(np.asarray(own.fill_null(0).to_numpy()).astype(np.uint64))
            parities[:] = entries.field("y_parity").fill_null(False).to_numpy(zero_copy_only=False)
            starts = np.concatenate([[0], np.cumsum(_counts(lists))])
            held = valid_mask(own)
            for row in np.flatnonzero(np.diff(starts)).tolist():
                span = slice(int(starts[row]), int(starts[row + 1]))
                stated = stated_by_node(rows, row, "transaction").get("authorizationList")
                if stated is None and held[span].all():
                    continue
                if not _state(stated, chain_ids[span], parities[span]):
                    unknown[row] = "the authorization list has a form of its own"
        return cls(lists, chain_ids, parities, unknown)

    def encoded(self) -> Pieces:
        """Return the lists, for rows that have one."""
        if self.lists.null_count == len(self.lists):
            return []
        entries = self.lists.flatten()
        encoded = rlp_lists(
            rlp_integers(self.chain_ids),
            rlp_words(matrix_of(entries.field("address"))),
            rlp_uint64s(np.asarray(entries.field("nonce").fill_null(0).to_numpy()).astype(np.uint64)),
            rlp_uint64s(self.parities),
            rlp_integers(matrix_of(entries.field("r"))),
            rlp_integers(matrix_of(entries.field("s"))),
        )
        return rlp_nested_lists(encoded, _counts(self.lists), valid_mask(self.lists))


def _state(stated: Any, chain_ids: Bytes, parities: Numbers) -> bool:
    """Put what a node stated of authorizations in place of what the columns say; False when it cannot be read."""
    try:
        for place, entry in enumerate(stated):
            chain_id = int(entry["chainId"], 16).to_bytes(_WORD_BYTES, "big")
            chain_ids[place] = np.frombuffer(chain_id, dtype=np.uint8)
            if "yParity" in entry:
                parities[place] = int(entry["yParity"], 16)
    except (KeyError, TypeError, ValueError, OverflowError, IndexError):
        return False
    return True


def stated_by_node(rows: Rows, row: int, part: str) -> dict[str, Any]:
    """Return what ``extra`` keeps of a row's ``transaction`` or ``receipt``."""
    stated = rows.extra_of(row).get(part)
    return stated if isinstance(stated, dict) else {}


def _with_system_transactions(rows: Rows, envelopes: Envelopes, special: Mask) -> Envelopes:
    """Return ``envelopes`` with the rows of other types put in place."""
    (places,) = np.nonzero(special)
    unknown, malformed = dict(envelopes.unknown), dict(envelopes.malformed)
    made = []
    for place, row in zip(places.tolist(), rows.batch.take(pa.array(places)).to_pylist(), strict=True):
        kind = int(rows.kinds[place])
        stated = stated_by_node(rows, place, "transaction")
        if not _is_of_type(stated, kind):
            malformed[place] = _NOT_KEPT
        try:
            made.append(system_transactions.envelope(kind, row, stated))
        except system_transactions.UnknownEncodingError as error:
            unknown[place] = str(error)
            made.append(b"")
    encoded = pc.replace_with_mask(envelopes.encoded, pa.array(special), pa.array(made, pa.binary()))
    return Envelopes(encoded, unknown, malformed)


def _is_of_type(stated: dict[str, Any], kind: int) -> bool:
    """Tell whether ``extra`` keeps an object of this type, as it does of every transaction of a type above 4."""
    try:
        return int(stated["type"], 16) == kind
    except (KeyError, TypeError, ValueError):
        return False
