"""Bounds of numbers in the specification, exact: FastAPI turns them into floats, of which 2^63 - 1 is none, and leaves
those of unions under names that JSON Schema does not know.
"""

from __future__ import annotations

from typing import Any, Final

from ampd.admin_api.bodies.strict import MAX_INT64

_BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
# What pydantic calls them.
_FOREIGN: Final = frozenset({"ge", "le", "gt", "lt"})


def make_bounds_exact(node: Any) -> None:
    """Mend the bounds in a specification, or in a part of it."""
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        make_bounds_exact(item)
    if isinstance(node, dict) and ("type" in node or "anyOf" in node):
        for name in _FOREIGN & node.keys():
            del node[name]
        for name in _BOUNDS & node.keys():
            node[name] = _exact(node[name])


def _exact(bound: float) -> float:
    return max(-MAX_INT64, min(int(bound), MAX_INT64)) if float(bound).is_integer() else bound
