from __future__ import annotations

import pytest

from ampd.errors import AmpError
from ampd.extraction.plan import resolve_end_block


@pytest.mark.parametrize(
    ("wanted", "end"), [(None, None), ("120", 120), ("latest", 150), ("-0", 150), ("-30", 120), ("99999", 99999)]
)
def test_an_end_block_is_a_number_the_latest_or_so_many_before_it(wanted: str | None, end: int | None) -> None:
    assert resolve_end_block(wanted, start_block=100, latest=150) == end


@pytest.mark.parametrize("wanted", ["99", "-51"])
def test_an_end_before_the_start_is_refused_for_good(wanted: str) -> None:
    with pytest.raises(AmpError, match="before the dataset's start block 100") as refused:
        resolve_end_block(wanted, start_block=100, latest=150)
    assert not refused.value.recoverable


def test_a_chain_without_blocks_is_asked_again_later() -> None:
    with pytest.raises(AmpError) as refused:
        resolve_end_block("latest", start_block=0, latest=None)
    assert refused.value.recoverable
