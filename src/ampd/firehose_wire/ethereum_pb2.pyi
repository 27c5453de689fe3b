import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BigInt(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    def __init__(self, value: _Optional[bytes] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("hash", "number", "size", "header", "uncles", "transaction_traces", "withdrawals")
    HASH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    UNCLES_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_TRACES_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWALS_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    number: int
    size: int
    header: BlockHeader
    uncles: _containers.RepeatedCompositeFieldContainer[Uncle]
    transaction_traces: _containers.RepeatedCompositeFieldContainer[TransactionTrace]
    withdrawals: _containers.RepeatedCompositeFieldContainer[Withdrawal]
    def __init__(self, hash: _Optional[bytes] = ..., number: _Optional[int] = ..., size: _Optional[int] = ..., header: _Optional[_Union[BlockHeader, _Mapping]] = ..., uncles: _Optional[_Iterable[_Union[Uncle, _Mapping]]] = ..., transaction_traces: _Optional[_Iterable[_Union[TransactionTrace, _Mapping]]] = ..., withdrawals: _Optional[_Iterable[_Union[Withdrawal, _Mapping]]] = ...) -> None: ...

class Uncle(_message.Message):
    __slots__ = ("hash",)
    HASH_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    def __init__(self, hash: _Optional[bytes] = ...) -> None: ...

class BlockHeader(_message.Message):
    __slots__ = ("parent_hash", "uncle_hash", "coinbase", "state_root", "transactions_root", "receipt_root", "logs_bloom", "difficulty", "number", "gas_limit", "gas_used", "timestamp", "extra_data", "mix_hash", "nonce", "hash", "total_difficulty", "base_fee_per_gas", "withdrawals_root", "blob_gas_used", "excess_blob_gas", "parent_beacon_root", "requests_hash")
    PARENT_HASH_FIELD_NUMBER: _ClassVar[int]
    UNCLE_HASH_FIELD_NUMBER: _ClassVar[int]
    COINBASE_FIELD_NUMBER: _ClassVar[int]
    STATE_ROOT_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_ROOT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_ROOT_FIELD_NUMBER: _ClassVar[int]
    LOGS_BLOOM_FIELD_NUMBER: _ClassVar[int]
    DIFFICULTY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    GAS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    GAS_USED_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EXTRA_DATA_FIELD_NUMBER: _ClassVar[int]
    MIX_HASH_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    TOTAL_DIFFICULTY_FIELD_NUMBER: _ClassVar[int]
    BASE_FEE_PER_GAS_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWALS_ROOT_FIELD_NUMBER: _ClassVar[int]
    BLOB_GAS_USED_FIELD_NUMBER: _ClassVar[int]
    EXCESS_BLOB_GAS_FIELD_NUMBER: _ClassVar[int]
    PARENT_BEACON_ROOT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_HASH_FIELD_NUMBER: _ClassVar[int]
    parent_hash: bytes
    uncle_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipt_root: bytes
    logs_bloom: bytes
    difficulty: BigInt
    number: int
    gas_limit: int
    gas_used: int
    timestamp: _timestamp_pb2.Timestamp
    extra_data: bytes
    mix_hash: bytes
    nonce: int
    hash: bytes
    total_difficulty: BigInt
    base_fee_per_gas: BigInt
    withdrawals_root: bytes
    blob_gas_used: int
    excess_blob_gas: int
    parent_beacon_root: bytes
    requests_hash: bytes
    def __init__(self, parent_hash: _Optional[bytes] = ..., uncle_hash: _Optional[bytes] = ..., coinbase: _Optional[bytes] = ..., state_root: _Optional[bytes] = ..., transactions_root: _Optional[bytes] = ..., receipt_root: _Optional[bytes] = ..., logs_bloom: _Optional[bytes] = ..., difficulty: _Optional[_Union[BigInt, _Mapping]] = ..., number: _Optional[int] = ..., gas_limit: _Optional[int] = ..., gas_used: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., extra_data: _Optional[bytes] = ..., mix_hash: _Optional[bytes] = ..., nonce: _Optional[int] = ..., hash: _Optional[bytes] = ..., total_difficulty: _Optional[_Union[BigInt, _Mapping]] = ..., base_fee_per_gas: _Optional[_Union[BigInt, _Mapping]] = ..., withdrawals_root: _Optional[bytes] = ..., blob_gas_used: _Optional[int] = ..., excess_blob_gas: _Optional[int] = ..., parent_beacon_root: _Optional[bytes] = ..., requests_hash: _Optional[bytes] = ...) -> None: ...

class Withdrawal(_message.Message):
    __slots__ = ("index", "validator_index", "address", "amount")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_INDEX_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    index: int
    validator_index: int
    address: bytes
    amount: int
    def __init__(self, index: _Optional[int] = ..., validator_index: _Optional[int] = ..., address: _Optional[bytes] = ..., amount: _Optional[int] = ...) -> None: ...

class TransactionTrace(_message.Message):
    __slots__ = ("to", "nonce", "gas_price", "gas_limit", "value", "input", "v", "r", "s", "gas_used", "max_fee_per_gas", "type", "max_priority_fee_per_gas", "access_list", "index", "hash", "sender", "status", "receipt", "calls", "blob_gas_fee_cap", "blob_hashes", "set_code_authorizations")
    TO_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    GAS_PRICE_FIELD_NUMBER: _ClassVar[int]
    GAS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    V_FIELD_NUMBER: _ClassVar[int]
    R_FIELD_NUMBER: _ClassVar[int]
    S_FIELD_NUMBER: _ClassVar[int]
    GAS_USED_FIELD_NUMBER: _ClassVar[int]
    MAX_FEE_PER_GAS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MAX_PRIORITY_FEE_PER_GAS_FIELD_NUMBER: _ClassVar[int]
    ACCESS_LIST_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    BLOB_GAS_FEE_CAP_FIELD_NUMBER: _ClassVar[int]
    BLOB_HASHES_FIELD_NUMBER: _ClassVar[int]
    SET_CODE_AUTHORIZATIONS_FIELD_NUMBER: _ClassVar[int]
    to: bytes
    nonce: int
    gas_price: BigInt
    gas_limit: int
    value: BigInt
    input: bytes
    v: bytes
    r: bytes
    s: bytes
    gas_used: int
    max_fee_per_gas: BigInt
    type: int
    max_priority_fee_per_gas: BigInt
    access_list: _containers.RepeatedCompositeFieldContainer[AccessTuple]
    index: int
    hash: bytes
    sender: bytes
    status: int
    receipt: TransactionReceipt
    calls: _containers.RepeatedCompositeFieldContainer[Call]
    blob_gas_fee_cap: BigInt
    blob_hashes: _containers.RepeatedScalarFieldContainer[bytes]
    set_code_authorizations: _containers.RepeatedCompositeFieldContainer[SetCodeAuthorization]
    def __init__(self, to: _Optional[bytes] = ..., nonce: _Optional[int] = ..., gas_price: _Optional[_Union[BigInt, _Mapping]] = ..., gas_limit: _Optional[int] = ..., value: _Optional[_Union[BigInt, _Mapping]] = ..., input: _Optional[bytes] = ..., v: _Optional[bytes] = ..., r: _Optional[bytes] = ..., s: _Optional[bytes] = ..., gas_used: _Optional[int] = ..., max_fee_per_gas: _Optional[_Union[BigInt, _Mapping]] = ..., type: _Optional[int] = ..., max_priority_fee_per_gas: _Optional[_Union[BigInt, _Mapping]] = ..., access_list: _Optional[_Iterable[_Union[AccessTuple, _Mapping]]] = ..., index: _Optional[int] = ..., hash: _Optional[bytes] = ..., sender: _Optional[bytes] = ..., status: _Optional[int] = ..., receipt: _Optional[_Union[TransactionReceipt, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[Call, _Mapping]]] = ..., blob_gas_fee_cap: _Optional[_Union[BigInt, _Mapping]] = ..., blob_hashes: _Optional[_Iterable[bytes]] = ..., set_code_authorizations: _Optional[_Iterable[_Union[SetCodeAuthorization, _Mapping]]] = ...) -> None: ...

class AccessTuple(_message.Message):
    __slots__ = ("address", "storage_keys")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_KEYS_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    storage_keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, address: _Optional[bytes] = ..., storage_keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SetCodeAuthorization(_message.Message):
    __slots__ = ("chain_id", "nonce", "v", "r", "s", "address")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    V_FIELD_NUMBER: _ClassVar[int]
    R_FIELD_NUMBER: _ClassVar[int]
    S_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    chain_id: bytes
    nonce: int
    v: int
    r: bytes
    s: bytes
    address: bytes
    def __init__(self, chain_id: _Optional[bytes] = ..., nonce: _Optional[int] = ..., v: _Optional[int] = ..., r: _Optional[bytes] = ..., s: _Optional[bytes] = ..., address: _Optional[bytes] = ...) -> None: ...

class TransactionReceipt(_message.Message):
    __slots__ = ("state_root", "cumulative_gas_used", "logs", "blob_gas_used", "blob_gas_price")
    STATE_ROOT_FIELD_NUMBER: _ClassVar[int]
    CUMULATIVE_GAS_USED_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    BLOB_GAS_USED_FIELD_NUMBER: _ClassVar[int]
    BLOB_GAS_PRICE_FIELD_NUMBER: _ClassVar[int]
    state_root: bytes
    cumulative_gas_used: int
    logs: _containers.RepeatedCompositeFieldContainer[Log]
    blob_gas_used: int
    blob_gas_price: BigInt
    def __init__(self, state_root: _Optional[bytes] = ..., cumulative_gas_used: _Optional[int] = ..., logs: _Optional[_Iterable[_Union[Log, _Mapping]]] = ..., blob_gas_used: _Optional[int] = ..., blob_gas_price: _Optional[_Union[BigInt, _Mapping]] = ...) -> None: ...

class Log(_message.Message):
    __slots__ = ("address", "topics", "data", "block_index")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    BLOCK_INDEX_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    topics: _containers.RepeatedScalarFieldContainer[bytes]
    data: bytes
    block_index: int
    def __init__(self, address: _Optional[bytes] = ..., topics: _Optional[_Iterable[bytes]] = ..., data: _Optional[bytes] = ..., block_index: _Optional[int] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("index", "parent_index", "depth", "call_type", "caller", "address", "value", "gas_limit", "gas_consumed", "return_data", "input", "executed_code", "suicide", "state_reverted", "begin_ordinal", "end_ordinal")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PARENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    CALL_TYPE_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    GAS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    GAS_CONSUMED_FIELD_NUMBER: _ClassVar[int]
    RETURN_DATA_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_CODE_FIELD_NUMBER: _ClassVar[int]
    SUICIDE_FIELD_NUMBER: _ClassVar[int]
    STATE_REVERTED_FIELD_NUMBER: _ClassVar[int]
    BEGIN_ORDINAL_FIELD_NUMBER: _ClassVar[int]
    END_ORDINAL_FIELD_NUMBER: _ClassVar[int]
    index: int
    parent_index: int
    depth: int
    call_type: int
    caller: bytes
    address: bytes
    value: BigInt
    gas_limit: int
    gas_consumed: int
    return_data: bytes
    input: bytes
    executed_code: bool
    suicide: bool
    state_reverted: bool
    begin_ordinal: int
    end_ordinal: int
    def __init__(self, index: _Optional[int] = ..., parent_index: _Optional[int] = ..., depth: _Optional[int] = ..., call_type: _Optional[int] = ..., caller: _Optional[bytes] = ..., address: _Optional[bytes] = ..., value: _Optional[_Union[BigInt, _Mapping]] = ..., gas_limit: _Optional[int] = ..., gas_consumed: _Optional[int] = ..., return_data: _Optional[bytes] = ..., input: _Optional[bytes] = ..., executed_code: _Optional[bool] = ..., suicide: _Optional[bool] = ..., state_reverted: _Optional[bool] = ..., begin_ordinal: _Optional[int] = ..., end_ordinal: _Optional[int] = ...) -> None: ...
