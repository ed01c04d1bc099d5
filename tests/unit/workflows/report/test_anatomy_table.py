"""The hands in a report: verdict, what was tried, before and after; nothing where nobody looked."""

import numpy as np

from sfumato.core.geometry import PixelBox
from sfumato.core.request import AnatomySettings
from sfumato.render.passes.repair import RepairOutcome, RepairRound
from sfumato.workflows.check.check import UnreadHand
from sfumato.workflows.repair.run import AnatomyResult
from sfumato.workflows.report.focus_table import write_anatomy

BOX = PixelBox(0, 0, 20, 30)
CROP = np.zeros((8, 8, 3), np.uint8)


def make_result(**more):
    tried = RepairRound(words="erase a digit", strength=0.35, candidates=4, reasons=("<b> is new",), facts={})
    outcome = RepairOutcome(box=BOX, cause="extra", rounds=(tried,), frame=BOX, **more)
    return AnatomyResult(
        settings=AnatomySettings(mode="repair"),
        hands=(UnreadHand(BOX, "too small"),),
        outcomes=(outcome,),
        licences=(),
        prompted=True,
        parser=None,
    )


def test_a_hand_that_was_repaired_is_shown_before_and_after():
    text = write_anatomy(make_result(verdict="repaired", before=CROP, after=CROP))
    assert text.count("<img") == 2
    assert "erase a digit; &lt;b&gt; is new" in text
    assert "too small" in text


def test_what_was_rolled_back_shows_no_picture():
    text = write_anatomy(make_result(verdict="rolled-back"))
    assert "<img" not in text
    assert "no round was accepted" in text


def test_nobody_looked():
    assert write_anatomy(None) == ""
