"""The repair pass: rounds of candidates, two judges, old bytes where they do not agree, resumable, one more seed at last."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from fakes import GaussianModel
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.canvas.workspace.workspace import Entry, MemoryWorkspace
from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import AnatomySettings, RenderRequest
from sfumato.render.passes.repair import Choice, HandWork, RepairPass, run_repair
from sfumato.render.passes.repair_box import LEAST_NATIVE_PX, RepairStep, choose_context, lay_inside

SIZE = PixelSize(192, 160)
REQUEST = RenderRequest(prompt="a hand", size=SIZE, steps=4, seed=5)
HAND, OTHER = PixelBox(60, 60, 84, 84), PixelBox(120, 100, 140, 120)
HANDS = (HandWork(box=HAND, cause="extra"),)


def make_pixels():
    values = np.random.default_rng(0).integers(0, 256, (*SIZE.shape_hw, 3), dtype=np.uint8)
    return MemoryPixels(SIZE, values)


def read(pixels):
    return pixels.read(pixels.size.box)


@dataclass
class Judges:
    """Choose in rounds from `good` on, agree as `agrees` says, and remember what was seen."""

    good: int = 0
    agrees: bool = True
    rounds: list[list[np.ndarray]] = field(default_factory=list)
    audited: list[np.ndarray] = field(default_factory=list)
    changes: list[np.ndarray] = field(default_factory=list)

    def plan(self, crop, number):
        change = np.zeros(crop.before.shape[:2], np.float32)
        box = crop.work.box.shift(-crop.frame.left, -crop.frame.top)
        change[box.slices_hw] = 1.0
        self.changes.append(change)
        return RepairStep(change=change, start=crop.before, strength=0.4 + 0.1 * number, words=f"round {number}")

    def choose(self, pixels, crop, step, candidates):
        self.rounds.append(list(candidates))
        good = len(self.rounds) > self.good
        reasons = ("bad",) * len(candidates)
        return Choice(index=1 if good else None, reasons=reasons, facts={"seen": len(candidates)})

    def audit(self, pixels, crop, candidate):
        self.audited.append(candidate)
        return Choice(index=0 if self.agrees else None, reasons=("" if self.agrees else "no",))


def run(judges, hands=HANDS, *, pixels=None, space=None, model=None, **more):
    settings = AnatomySettings(mode="repair", candidates=2, **more)
    work = RepairPass(
        settings=settings, find=lambda _: hands, plan=judges.plan, choose=judges.choose, audit=judges.audit
    )
    steps = run_repair(work, pixels or make_pixels(), REQUEST, model or GaussianModel(), space or MemoryWorkspace())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_one_hand_is_put_back_and_only_inside_its_change_map():
    pixels, judges = make_pixels(), Judges()
    left = HandWork(box=OTHER, cause="", reason="ok: nothing is wrong")
    before = read(pixels)
    result = run(judges, (HandWork(box=HAND, cause="extra"), left), pixels=pixels)
    assert {one.verdict for one in result.outcomes} == {"left", "repaired"}
    outside = np.ones(SIZE.shape_hw, bool)
    outside[HAND.slices_hw] = False
    after = read(result.pixels)
    assert np.array_equal(after[outside], before[outside])
    assert (after[HAND.slices_hw] != before[HAND.slices_hw]).any(axis=-1).mean() > 0.5
    assert np.array_equal(read(pixels), before)


def test_the_auditor_sees_the_chosen_candidate_alone():
    judges = Judges(good=1)
    (outcome,) = run(judges).outcomes
    assert [len(one) for one in judges.rounds] == [2, 2]
    (seen,) = judges.audited
    assert np.array_equal(seen, judges.rounds[1][1])
    assert outcome.candidates == 4
    assert outcome.rounds[0].reasons == ("candidate 1: bad", "candidate 2: bad")


def test_where_the_auditor_never_agrees_the_very_picture_comes_back_after_three_rounds_and_a_new_seed():
    pixels, judges = make_pixels(), Judges(agrees=False)
    result = run(judges, pixels=pixels)
    assert result.pixels is pixels
    (outcome,) = result.outcomes
    assert (outcome.verdict, len(outcome.rounds), outcome.after) == ("rolled-back", 4, None)
    assert "another seed" in outcome.rounds[-1].words
    drawn = [candidate for one in judges.rounds for candidate in one]
    assert len({candidate.tobytes() for candidate in drawn}) == len(drawn) == 8
    assert len(run(Judges(agrees=False), new_seed=False).outcomes[0].rounds) == 3


def test_a_round_that_may_change_nothing_is_passed_over():
    judges = Judges()
    frozen = judges.plan
    judges.plan = lambda crop, number: RepairStep(
        change=frozen(crop, number).change * (number == 1), start=crop.before, strength=0.5, words="x"
    )
    (outcome,) = run(judges).outcomes
    assert [one.candidates for one in outcome.rounds] == [0, 2]
    assert outcome.verdict == "repaired"


def test_nothing_to_do_gives_the_very_picture():
    pixels = make_pixels()
    result = run(Judges(), (HandWork(box=HAND, cause="", reason="ok: right"),), pixels=pixels)
    assert result.pixels is pixels


def test_the_same_bytes_come_again_also_after_a_stop(tmp_path):
    hands = (HandWork(box=HAND, cause="extra"), HandWork(box=OTHER, cause="fused"))
    whole = read(run(Judges(good=1), hands).pixels)
    space = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=False)
    space.note(Entry({"picture": "there"}))
    first = run(Judges(good=1), hands[:1], space=space)
    judges = Judges()
    # The first hand is not drawn again; the second one is.
    again = run(judges, hands, space=space)
    assert len(judges.rounds) == 1
    assert again.outcomes[0].to_json() == first.outcomes[0].to_json()
    assert np.array_equal(read(again.pixels)[HAND.slices_hw], whole[HAND.slices_hw])
    space.close()


class BrokenModel(GaussianModel):
    def decode(self, latents):
        raise ModelError("gave no numbers")


def test_a_model_that_fails_leaves_the_picture():
    pixels = make_pixels()
    result = run(Judges(), pixels=pixels, model=BrokenModel())
    assert result.pixels is pixels
    assert "could not be drawn" in result.outcomes[0].reason


@pytest.mark.parametrize(("native", "least"), [(64, 53), (128, LEAST_NATIVE_PX), (512, 284)])
def test_a_hand_gets_enough_of_the_canvas(native, least):
    assert native / choose_context(native) >= least


def test_a_tint_of_the_autoencoder_is_taken_back():
    before = np.full((40, 40, 3), 100, np.uint8)
    change = np.zeros((40, 40), np.float32)
    change[15:25, 15:25] = 1.0
    laid = lay_inside(before, np.full((40, 40, 3), 108, np.uint8), change)
    assert np.abs(laid.astype(int) - before).max() <= 1
