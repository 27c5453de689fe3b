"""What a verification can say: which commitment is broken, where, and what could not be checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Commitment(StrEnum):
    """What the rows of a block must agree with. The first group stands in the block's header, and so in its hash."""

    HEADER_HASH = "header_hash"
    """The columns of a block hash to its ``hash``."""
    TRANSACTIONS_ROOT = "transactions_root"
    """The transactions in their order give the header's ``transactions_root``."""
    RECEIPTS_ROOT = "receipts_root"
    """Statuses, cumulative gas, and logs give the header's ``receipt_root``."""
    WITHDRAWALS_ROOT = "withdrawals_root"
    LOGS_BLOOM = "logs_bloom"
    """Addresses and topics of all logs give the header's ``logs_bloom``."""

    TRANSACTION_HASH = "transaction_hash"
    """The columns of a transaction hash to its ``tx_hash``."""

    BLOCK_ORDER = "block_order"
    """Every expected block has one row, in ascending order."""
    PARENT_HASH = "parent_hash"
    """A block names the hash of the block before it."""
    TRANSACTION_INDEX = "transaction_index"
    """``tx_index`` counts 0, 1, 2, … through a block."""
    LOG_INDEX = "log_index"
    """``log_index`` counts 0, 1, 2, … through a block, in the order of its transactions."""
    ROW_LINKS = "row_links"
    """What a row repeats of its block or transaction (hash, number, time) is what that row says."""

    GAS_USED = "gas_used"
    """Gas of transactions, cumulative gas and the header's gas agree."""
    BLOB_GAS = "blob_gas"
    """Blob gas of transactions and the header's agree (EIP-4844)."""
    EFFECTIVE_GAS_PRICE = "effective_gas_price"
    """The price paid follows from the transaction's fees and the block's base fee (EIP-1559)."""
    CONTRACT_ADDRESS = "contract_address"
    """A created address follows from sender and nonce."""
    TOTAL_DIFFICULTY = "total_difficulty"
    """It grows by a block's difficulty."""
    COLUMN_RULES = "column_rules"
    """What :mod:`ampd.chain.tables` says of values and nulls."""


# What is stated and what is computed.
Values = tuple[object, object]


@dataclass(frozen=True, slots=True)
class Violation:
    """A commitment that does not hold in a block. ``detail`` says in words what is wrong.

    ``row`` is the place, from 0, of the first wrong row among those of its block in the table that ``detail`` names;
    None when the block as a whole is wrong. ``stated`` is what is written there, ``computed`` what the other columns
    give; None where there are no two values to compare.
    """

    block_num: int
    commitment: Commitment
    detail: str
    row: int | None = None
    stated: str | None = None
    computed: str | None = None

    def to_json(self) -> dict[str, str | int]:
        """Return what is known of it, as JSON values."""
        values: dict[str, str | int | None] = {
            "block": self.block_num,
            "commitment": str(self.commitment),
            "row": self.row,
            "stated": self.stated,
            "computed": self.computed,
            "detail": self.detail,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A commitment that could not be recomputed for (part of) a block. ``reason`` is the same for all blocks alike."""

    block_num: int
    commitment: Commitment
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome for ``blocks`` blocks, by block number."""

    blocks: int
    violations: list[Violation]
    not_checked: list[NotChecked]


@dataclass
class Findings:
    """What the checks of some blocks found so far."""

    violations: list[Violation] = field(default_factory=list)
    not_checked: list[NotChecked] = field(default_factory=list)

    def broken(
        self,
        block_num: int,
        commitment: Commitment,
        detail: str,
        values: Values | None = None,
        *,
        row: int | None = None,
    ) -> None:
        """Note that ``commitment`` does not hold; ``values`` are the stated and the computed one."""
        stated, computed = (None if value is None else str(value) for value in values or (None, None))
        self.violations.append(Violation(block_num, commitment, detail, row, stated, computed))

    def unknown(self, block_num: int, commitment: Commitment, reason: str) -> None:
        """Note, once per block and reason, that ``commitment`` cannot be recomputed."""
        entry = NotChecked(block_num, commitment, reason)
        if entry not in self.not_checked[-8:]:
            self.not_checked.append(entry)

    def outcome(self, blocks: int) -> Verification:
        """Return all findings, sorted by block."""
        return Verification(
            blocks,
            sorted(self.violations, key=lambda each: each.block_num),
            sorted(set(self.not_checked), key=lambda each: (each.block_num, each.commitment, each.reason)),
        )


def hex_text(value: bytes | None) -> str:
    """Return a hash or an address as people write it."""
    return "null" if value is None else f"0x{value.hex()}"


def more_rows(count: int) -> str:
    """Return how many rows have the same fault as the one that a detail names."""
    return f" (and {count - 1} more)" if count > 1 else ""
