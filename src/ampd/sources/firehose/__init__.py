"""Blocks from Firehose servers: a stream of blocks over gRPC, with the calls that their transactions made."""

from ampd.sources.firehose.endpoint import Endpoint
from ampd.sources.firehose.source import FirehoseSource

__all__ = ["Endpoint", "FirehoseSource"]
