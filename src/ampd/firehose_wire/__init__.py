"""What a Firehose server and its clients send each other, as Protocol Buffers: the ``.proto`` files, and the modules
that ``make proto`` makes of them.

They describe the same bytes as ``sf.firehose.v2`` and ``sf.ethereum.type.v2``, and have a package of their own, so that
they can be loaded beside the definitions of others: names do not travel, field numbers do.
"""

from typing import Final

BLOCKS_METHOD: Final = "/sf.firehose.v2.Stream/Blocks"
BLOCK_METHOD: Final = "/sf.firehose.v2.Fetch/Block"
INFO_METHOD: Final = "/sf.firehose.v2.EndpointInfo/Info"

# How an ``Any`` says what it holds.
ETHEREUM_BLOCK: Final = "type.googleapis.com/sf.ethereum.type.v2.Block"

# Where an error's details are, and the one that says for how long the server wants to be left alone.
ERROR_DETAILS: Final = "grpc-status-details-bin"
RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
