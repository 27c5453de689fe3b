"""Stores of which somebody sees a part only."""

from __future__ import annotations

from copy import copy
from typing import Any, Self


class LimitedStore:
    """A store that can be narrowed to some namespaces; what it says and does then is for whoever sees only these. As it
    stands it shows everything.
    """

    _visible: tuple[str, ...] | None = None

    def limited_to(self, namespaces: tuple[str, ...]) -> Self:
        """Return the same store for somebody who sees only ``namespaces``: in it there is nothing else."""
        limited = copy(self)
        limited._visible = namespaces
        return limited

    def _scope(self) -> dict[str, Any]:
        """Return the parameter of statements that choose what is seen; None: everything."""
        return {"visible": None if self._visible is None else list(self._visible)}
