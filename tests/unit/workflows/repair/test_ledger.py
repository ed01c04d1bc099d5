"""The ledger: only appended to, every verdict comes out again to the bit, a line that was cut off is skipped and told."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox
from sfumato.critic.anatomy.belief import Beliefs
from sfumato.critic.anatomy.evidence import HandEvidence, log_softmax
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.critic.anatomy.verdict import judge_evidence
from sfumato.critic.finders.crops import TurnedSquare
from sfumato.workflows.repair.ledger import append_entry, describe_hand, is_replayed, read_ledger, replay_verdict
from sfumato.workflows.repair.refunds import RefundPolicy, list_refunds


def make_hand(seed, *, countable=4.0):
    rng = np.random.default_rng(seed)
    evidence = HandEvidence(
        digits=(),
        count_logs=log_softmax(rng.normal(size=8) * 3),
        middles=int(rng.integers(3, 7)),
        tips=int(rng.integers(3, 7)),
        cause_logs=log_softmax(rng.normal(size=5) * 3),
        countable=countable,
        right=0.1,
        cartoon=-2.0,
        hand=float(rng.normal() + 3),
    )
    verdict = judge_evidence(evidence, Beliefs(), prompted=True)
    box = PixelBox(seed, 0, seed + 40, 40)
    return JudgedHand(box, TurnedSquare(20, 20, 56, 0.0), None, evidence, verdict)


def make_facts(*hands, delivered="delivered", name="a.png", repairs=()):
    return {
        "picture": {"name": name, "request_sha256": name},
        "hands": [describe_hand(hand, Beliefs(), (), prompted=True) for hand in hands],
        "repairs": list(repairs),
        "cost": {"seconds": 2.0, "evaluations": 40},
        "delivered": delivered,
    }


def test_every_verdict_comes_out_again_to_the_bit(tmp_path):
    path = tmp_path / "ledger.jsonl"
    hands = [make_hand(seed) for seed in range(40)]
    append_entry(make_facts(*hands), path)
    (entry,) = read_ledger(path).entries
    assert all(is_replayed(hand) for hand in entry["hands"])
    assert [replay_verdict(hand) for hand in entry["hands"]] == [hand.verdict for hand in hands]
    changed = json.loads(json.dumps(entry["hands"][0]))
    changed["evidence"]["count_logs"][5] += 1e-6
    assert not is_replayed(changed)
    del changed["evidence"]["tips"]
    with pytest.raises(RequestError):
        replay_verdict(changed)


def test_the_chain_shows_what_was_changed_or_cut_off(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for number in range(3):
        append_entry(make_facts(name=f"{number}.png"), path)
    assert (read_ledger(path).broken, read_ledger(path).damaged) == ((), ())
    assert path.stat().st_mode & 0o077 == 0
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"1.png", b"9.png") + lines[2])
    assert read_ledger(path).broken == (3,)
    path.write_bytes(lines[0] + lines[1] + lines[2][:50])
    ledger = read_ledger(path)
    assert (len(ledger.entries), ledger.damaged) == (2, (3,))
    append_entry(make_facts(name="after.png"), path)
    ledger = read_ledger(path)
    assert (len(ledger.entries), ledger.damaged, ledger.broken) == (3, (3,), ())


WRITER = """
import sys
from pathlib import Path
from sfumato.workflows.repair.ledger import append_entry
for n in range(1_000_000):
    append_entry({"hands": [], "repairs": [], "text": "x" * 3000, "n": n}, Path(sys.argv[1]))
    print(n + 1, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_was_told(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        told = [writer.stdout.readline() for _ in range(20)]
        time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        assert told[-1].strip() == "20"
    ledger = read_ledger(path)
    assert len(ledger.entries) >= 60
    assert ledger.broken == ()


def find_goof():
    return next(hand for hand in map(make_hand, range(500)) if hand.verdict.word == "goof" and hand.verdict.goof > 0.95)


def test_refunds_follow_the_policy_and_say_how_many_are_expected_to_be_wrong():
    goof = find_goof()
    right = next(hand for hand in map(make_hand, range(500)) if hand.verdict.word == "ok")
    box = [goof.box.left, 0, 40, 40]
    entries = [
        {"id": "a", **make_facts(goof, name="a")},
        {"id": "b", **make_facts(right, name="b")},
        {"id": "c", **make_facts(goof, name="c", repairs=[{"box": box, "verdict": "repaired"}])},
        {"id": "d", **make_facts(goof, name="d", delivered="withheld")},
        {"id": "e", **make_facts(right, name="b")},
    ]
    found = list_refunds(entries, RefundPolicy(price=0.5, unit="second", share=0.5)).to_json()
    assert {one["id"]: one["refund"] for one in found["refunds"]} == {"a": 0.5, "e": 0.0, "c": 0.0, "d": 1.0}
    assert (found["pictures"], found["refunded"], found["price"]) == (4, 2, 4.0)
    assert found["expected_false_refunds"] == pytest.approx(2 * (1 - goof.verdict.goof), abs=1e-3)
    assert found["expected_missed_refunds"] == pytest.approx(right.verdict.goof, abs=1e-3)
    sure = list_refunds(entries[:1], RefundPolicy(least=1.0)).to_json()
    assert sure["refunded"] == 0


@pytest.mark.parametrize("wrong", [{"least": 2.0}, {"share": -1.0}, {"unit": "hour"}, {"price": float("nan")}])
def test_a_policy_out_of_range_is_refused(wrong):
    with pytest.raises(RequestError):
        RefundPolicy(**wrong)
