"""SQL of tables that are derived from datasets: what is refused, and which columns its rows have.

Nothing is run, and no row is read. Only :mod:`ampd.queries.process`, which lives for one question, imports DataFusion.
"""

from __future__ import annotations

from ampd.queries.planner import SchemaPlanner
from ampd.queries.question import Function, Question, Source

__all__ = ["Function", "Question", "SchemaPlanner", "Source"]
