"""A JSON-RPC node that serves recorded EVM blocks: the node of the demo, of tests and of benchmarks."""

from ampd.replay_node.chain import ReplayChain, build_chain, load_recorded_chain
from ampd.replay_node.faults import (
    BatchFaultChooser,
    ChangeBatch,
    ChangeResult,
    Delay,
    DropConnection,
    ErrorAnswer,
    Fault,
    FaultChooser,
    HttpAnswer,
    ReplaceResult,
    RpcCall,
)
from ampd.replay_node.forks import ForkingNode, fork_chain
from ampd.replay_node.process import growing, run_replay_node
from ampd.replay_node.recorded import RecordedBlock, read_recorded_blocks
from ampd.replay_node.server import ReplayNode
from ampd.replay_node.template import BlockIdentity

__all__ = [
    "BatchFaultChooser",
    "BlockIdentity",
    "ChangeBatch",
    "ChangeResult",
    "Delay",
    "DropConnection",
    "ErrorAnswer",
    "Fault",
    "FaultChooser",
    "ForkingNode",
    "HttpAnswer",
    "RecordedBlock",
    "ReplaceResult",
    "ReplayChain",
    "ReplayNode",
    "RpcCall",
    "build_chain",
    "fork_chain",
    "growing",
    "load_recorded_chain",
    "read_recorded_blocks",
    "run_replay_node",
]
