import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Step(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_UNSET: _ClassVar[Step]
    STEP_NEW: _ClassVar[Step]
    STEP_UNDO: _ClassVar[Step]
    STEP_FINAL: _ClassVar[Step]
STEP_UNSET: Step
STEP_NEW: Step
STEP_UNDO: Step
STEP_FINAL: Step

class BlocksRequest(_message.Message):
    __slots__ = ("start_block_num", "cursor", "stop_block_num", "final_blocks_only", "transforms")
    START_BLOCK_NUM_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    STOP_BLOCK_NUM_FIELD_NUMBER: _ClassVar[int]
    FINAL_BLOCKS_ONLY_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMS_FIELD_NUMBER: _ClassVar[int]
    start_block_num: int
    cursor: str
    stop_block_num: int
    final_blocks_only: bool
    transforms: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, start_block_num: _Optional[int] = ..., cursor: _Optional[str] = ..., stop_block_num: _Optional[int] = ..., final_blocks_only: _Optional[bool] = ..., transforms: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class BlocksResponse(_message.Message):
    __slots__ = ("block", "step", "cursor", "metadata")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    block: _any_pb2.Any
    step: Step
    cursor: str
    metadata: BlockMetadata
    def __init__(self, block: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., step: _Optional[_Union[Step, str]] = ..., cursor: _Optional[str] = ..., metadata: _Optional[_Union[BlockMetadata, _Mapping]] = ...) -> None: ...

class BlockMetadata(_message.Message):
    __slots__ = ("num", "id", "parent_num", "parent_id", "lib_num", "time")
    NUM_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_NUM_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    LIB_NUM_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    num: int
    id: str
    parent_num: int
    parent_id: str
    lib_num: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, num: _Optional[int] = ..., id: _Optional[str] = ..., parent_num: _Optional[int] = ..., parent_id: _Optional[str] = ..., lib_num: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BlockRequest(_message.Message):
    __slots__ = ("block_number", "block_hash_and_number", "cursor", "transforms")
    class Number(_message.Message):
        __slots__ = ("num",)
        NUM_FIELD_NUMBER: _ClassVar[int]
        num: int
        def __init__(self, num: _Optional[int] = ...) -> None: ...
    class HashAndNumber(_message.Message):
        __slots__ = ("num", "hash")
        NUM_FIELD_NUMBER: _ClassVar[int]
        HASH_FIELD_NUMBER: _ClassVar[int]
        num: int
        hash: str
        def __init__(self, num: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...
    class Cursor(_message.Message):
        __slots__ = ("cursor",)
        CURSOR_FIELD_NUMBER: _ClassVar[int]
        cursor: str
        def __init__(self, cursor: _Optional[str] = ...) -> None: ...
    BLOCK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HASH_AND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMS_FIELD_NUMBER: _ClassVar[int]
    block_number: BlockRequest.Number
    block_hash_and_number: BlockRequest.HashAndNumber
    cursor: BlockRequest.Cursor
    transforms: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, block_number: _Optional[_Union[BlockRequest.Number, _Mapping]] = ..., block_hash_and_number: _Optional[_Union[BlockRequest.HashAndNumber, _Mapping]] = ..., cursor: _Optional[_Union[BlockRequest.Cursor, _Mapping]] = ..., transforms: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class BlockResponse(_message.Message):
    __slots__ = ("block", "metadata")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    block: _any_pb2.Any
    metadata: BlockMetadata
    def __init__(self, block: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., metadata: _Optional[_Union[BlockMetadata, _Mapping]] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("chain_name", "chain_name_aliases", "first_streamable_block_num", "first_streamable_block_id")
    CHAIN_NAME_FIELD_NUMBER: _ClassVar[int]
    CHAIN_NAME_ALIASES_FIELD_NUMBER: _ClassVar[int]
    FIRST_STREAMABLE_BLOCK_NUM_FIELD_NUMBER: _ClassVar[int]
    FIRST_STREAMABLE_BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    chain_name: str
    chain_name_aliases: _containers.RepeatedScalarFieldContainer[str]
    first_streamable_block_num: int
    first_streamable_block_id: str
    def __init__(self, chain_name: _Optional[str] = ..., chain_name_aliases: _Optional[_Iterable[str]] = ..., first_streamable_block_num: _Optional[int] = ..., first_streamable_block_id: _Optional[str] = ...) -> None: ...

class ErrorStatus(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class RetryInfo(_message.Message):
    __slots__ = ("retry_delay",)
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    retry_delay: _duration_pb2.Duration
    def __init__(self, retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RecordedBlock(_message.Message):
    __slots__ = ("number", "id", "previous_id", "timestamp", "lib_num", "payload")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    LIB_NUM_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    number: int
    id: str
    previous_id: str
    timestamp: _timestamp_pb2.Timestamp
    lib_num: int
    payload: bytes
    def __init__(self, number: _Optional[int] = ..., id: _Optional[str] = ..., previous_id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lib_num: _Optional[int] = ..., payload: _Optional[bytes] = ...) -> None: ...
