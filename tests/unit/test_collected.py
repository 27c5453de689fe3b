"""What all ranges of a worker have in memory has a bound: who has much is written first."""

from __future__ import annotations

from ampd.extraction.collected import Collected


def test_a_range_is_written_when_all_have_too_much_and_it_has_its_share() -> None:
    collected = Collected(100)
    assert not collected.add("large", 80)
    assert not collected.add("small", 10)
    assert not collected.add("small", 14)  # too much, and hardly any of it is here
    assert collected.add("large", 10)
    collected.forget("large")
    assert not collected.add("large", 70)
    assert collected.add("large", 10)


def test_a_range_alone_is_written_when_it_has_too_much() -> None:
    collected = Collected(100)
    assert not collected.add("only", 100)
    assert collected.add("only", 1)
    collected.forget("only")
    collected.forget("only")
    assert not collected.add("only", 100)
