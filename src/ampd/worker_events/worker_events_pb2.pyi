from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerEvent(_message.Message):
    __slots__ = ("event_id", "event_type", "event_version", "timestamp", "source", "sync_started", "sync_progress", "sync_completed", "sync_failed")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SYNC_STARTED_FIELD_NUMBER: _ClassVar[int]
    SYNC_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SYNC_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    SYNC_FAILED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    event_type: str
    event_version: str
    timestamp: str
    source: EventSource
    sync_started: SyncStarted
    sync_progress: SyncProgress
    sync_completed: SyncCompleted
    sync_failed: SyncFailed
    def __init__(self, event_id: _Optional[str] = ..., event_type: _Optional[str] = ..., event_version: _Optional[str] = ..., timestamp: _Optional[str] = ..., source: _Optional[_Union[EventSource, _Mapping]] = ..., sync_started: _Optional[_Union[SyncStarted, _Mapping]] = ..., sync_progress: _Optional[_Union[SyncProgress, _Mapping]] = ..., sync_completed: _Optional[_Union[SyncCompleted, _Mapping]] = ..., sync_failed: _Optional[_Union[SyncFailed, _Mapping]] = ...) -> None: ...

class EventSource(_message.Message):
    __slots__ = ("worker_id",)
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    def __init__(self, worker_id: _Optional[str] = ...) -> None: ...

class DatasetInfo(_message.Message):
    __slots__ = ("namespace", "name", "manifest_hash")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_HASH_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    manifest_hash: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., manifest_hash: _Optional[str] = ...) -> None: ...

class ProgressInfo(_message.Message):
    __slots__ = ("start_block", "current_block", "end_block", "files_count", "total_size_bytes")
    START_BLOCK_FIELD_NUMBER: _ClassVar[int]
    CURRENT_BLOCK_FIELD_NUMBER: _ClassVar[int]
    END_BLOCK_FIELD_NUMBER: _ClassVar[int]
    FILES_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    start_block: int
    current_block: int
    end_block: int
    files_count: int
    total_size_bytes: int
    def __init__(self, start_block: _Optional[int] = ..., current_block: _Optional[int] = ..., end_block: _Optional[int] = ..., files_count: _Optional[int] = ..., total_size_bytes: _Optional[int] = ...) -> None: ...

class SyncStarted(_message.Message):
    __slots__ = ("job_id", "dataset", "table_name", "start_block", "end_block")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    START_BLOCK_FIELD_NUMBER: _ClassVar[int]
    END_BLOCK_FIELD_NUMBER: _ClassVar[int]
    job_id: int
    dataset: DatasetInfo
    table_name: str
    start_block: int
    end_block: int
    def __init__(self, job_id: _Optional[int] = ..., dataset: _Optional[_Union[DatasetInfo, _Mapping]] = ..., table_name: _Optional[str] = ..., start_block: _Optional[int] = ..., end_block: _Optional[int] = ...) -> None: ...

class SyncProgress(_message.Message):
    __slots__ = ("job_id", "dataset", "table_name", "progress")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    job_id: int
    dataset: DatasetInfo
    table_name: str
    progress: ProgressInfo
    def __init__(self, job_id: _Optional[int] = ..., dataset: _Optional[_Union[DatasetInfo, _Mapping]] = ..., table_name: _Optional[str] = ..., progress: _Optional[_Union[ProgressInfo, _Mapping]] = ...) -> None: ...

class SyncCompleted(_message.Message):
    __slots__ = ("job_id", "dataset", "table_name", "final_block", "duration_millis")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    FINAL_BLOCK_FIELD_NUMBER: _ClassVar[int]
    DURATION_MILLIS_FIELD_NUMBER: _ClassVar[int]
    job_id: int
    dataset: DatasetInfo
    table_name: str
    final_block: int
    duration_millis: int
    def __init__(self, job_id: _Optional[int] = ..., dataset: _Optional[_Union[DatasetInfo, _Mapping]] = ..., table_name: _Optional[str] = ..., final_block: _Optional[int] = ..., duration_millis: _Optional[int] = ...) -> None: ...

class SyncFailed(_message.Message):
    __slots__ = ("job_id", "dataset", "table_name", "error_message", "error_type")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    job_id: int
    dataset: DatasetInfo
    table_name: str
    error_message: str
    error_type: str
    def __init__(self, job_id: _Optional[int] = ..., dataset: _Optional[_Union[DatasetInfo, _Mapping]] = ..., table_name: _Optional[str] = ..., error_message: _Optional[str] = ..., error_type: _Optional[str] = ...) -> None: ...
