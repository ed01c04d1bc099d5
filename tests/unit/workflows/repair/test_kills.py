"""Repairs that are killed at random moments: the ledger stays whole, verdicts come out again, the bytes are the same."""

import random
import time

import numpy as np
import pytest
from PIL import Image

from bundles import tiny_mini
from processes import fork_command
from sfumato.workflows.repair.ledger import is_replayed, read_ledger
from sfumato.world.stream import Wish, make_sample

KILLS, LIMIT_S = 12, 600.0


def start(room, out):
    """Start the repair of one hand in a copy of this process."""
    usual = ("--dtype", "fp32", "--steps", "2", "--seed", "3", "--no-report")
    asked = ("repair", "a.png", "--model", tiny_mini(), *usual, "--box", "20,10,56,70:extra", "--out", out, "--resume")
    return fork_command(room, *asked)


def read_whole(path):
    """Return the entries of the ledger after a check: none breaks the chain, every verdict is the same to the bit."""
    ledger = read_ledger(path)
    assert ledger.broken == ()
    assert all(is_replayed(hand) for entry in ledger.entries for hand in entry["hands"])
    # At most the last line before each kill is cut off.
    assert len(ledger.damaged) <= KILLS
    return ledger.entries


@pytest.mark.slow
def test_a_killed_repair_leaves_the_ledger_whole_and_goes_on(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    Image.fromarray(make_sample(910_003, size=96, wish=Wish(shot="hand")).image).save(tmp_path / "a.png")
    began = time.monotonic()
    with start(tmp_path, "whole.png") as first:
        assert first.wait(LIMIT_S) == 0, first.err.decode()
    took = time.monotonic() - began
    (path,) = tmp_path.rglob("ledger.jsonl")
    (entry,) = read_whole(path)
    rng, killed, told = random.Random(16), 0, 1
    for _ in range(KILLS):
        with start(tmp_path, "b.png") as running:
            time.sleep(rng.uniform(0.0, 1.2 * took))
            ended = running.poll()
            running.kill()
            killed += ended is None
            told += ended == 0
        # What a command that ended had told is there.
        assert len(read_whole(path)) >= told
    assert killed > 0
    with start(tmp_path, "b.png") as last:
        assert last.wait(LIMIT_S) == 0, last.err.decode()
    entries = read_whole(path)
    assert len(entries) >= told + 1
    # Evidence, limits and verdicts of the same picture are the same numbers, however often it was stopped.
    assert all(one["hands"] == entry["hands"] for one in entries)
    whole, again = (np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("whole.png", "b.png"))
    assert np.array_equal(whole, again)
