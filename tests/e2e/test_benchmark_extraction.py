"""The benchmark of extraction runs on a few blocks, with the peers that are installed, and counts their rows. Its
figures are not judged here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
BLOCKS = 10
ALONE = {
    *("decode_mb_per_s", "decode_write_mb_per_s", "decode_blocks_per_s", "arrow_reader_mb_per_s"),
    *("decode_to_arrow_reader", "decode_write_to_arrow_reader"),
}
RATIOS = {
    "cryo": {"speed_ratio_vs_cryo", "cpu_ratio_vs_cryo"},
    "ethereum_etl": {"speed_ratio_vs_etl"},
}


@pytest.mark.long
def test_a_short_benchmark_measures_ours_and_the_peers_that_are_installed_and_says_which_are_missing() -> None:
    short = ("--blocks", str(BLOCKS), "--rounds", "1", "--no-verified")
    command = [sys.executable, str(BENCHMARKS / "extraction.py"), *short]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr

    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["blocks"] == BLOCKS
    assert figures["ours"].keys() >= {"blocks_per_s", "cpu_s", "peak_mb", "transactions_per_s", "json_mb_per_s"}
    assert all(figures[name] > 0 for name in ALONE)
    missing = figures.get("missing", {})
    for peer, ratios in RATIOS.items():
        measured = [figures[name] for name in ratios]
        if peer in missing:
            assert missing[peer]
            assert [figures[peer], *measured] == [None] * (1 + len(measured))
        else:
            assert figures[peer].keys() >= {"blocks_per_s", "cpu_s", "peak_mb"}
            assert all(value > 0 for value in measured)


def test_a_peer_that_cannot_be_installed_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers  # noqa: PLC0415 - a program beside the package, not a part of it

    monkeypatch.setattr(peers, "HOME", tmp_path)
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "peer-nobody.txt").write_text("no such name!\n", encoding="utf-8")
    peer = peers.Peer("nobody")
    assert peer.missing() == "not installed: run `make bench-peers`"
    peer.install()
    assert (peer.missing() or "").startswith("cannot be installed: ")
    assert "no such name!" in (peer.missing() or "")
