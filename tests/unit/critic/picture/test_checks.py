"""Verdicts: only measures with a limit speak, on the right side of it, and silence is an answer."""

import math

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize
from sfumato.critic.picture.added_objects import Blob
from sfumato.critic.picture.checks import MEASURES, Evidence, Judged, Verdict, find_limit, judge_picture
from sfumato.critic.picture.limits import LIMITS
from sfumato.critic.picture.picture_reader import StoredPicture
from sfumato.critic.picture.seams import Lines

LINES = Lines((128,), (128,))


def make_picture():
    y, x = np.mgrid[0:256, 0:256]
    waves = [np.sin(x / 11 + k) * np.cos(y / 13 - k) for k in range(3)]
    return np.stack([110 + 12 * wave + 0.15 * y for wave in waves], axis=-1)


def to_image(levels):
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def judge(levels, lines=LINES):
    base = to_image(make_picture()).resize((64, 64), Image.Resampling.BOX)
    return judge_picture(to_image(levels), base, lines)


def test_every_limit_belongs_to_a_measure():
    assert set(LIMITS) <= set(MEASURES)
    assert all((find_limit(name) is None) == (not LIMITS[name].finds) for name in LIMITS)


def test_every_measure_reads_a_number():
    picture = to_image(make_picture())
    seen = Evidence(picture, picture.resize((64, 64), Image.Resampling.BOX), LINES)
    values = {name: measure.read(seen) for name, measure in MEASURES.items()}
    assert all(isinstance(value, float) for value in values.values())
    assert values["added object mass"] == 0.0
    assert values["base consistency"] == 60.0


def test_an_untouched_picture_is_fine():
    assert all(verdict.fine is not False for verdict in judge(make_picture()).verdicts)


def faulty(levels):
    return {verdict.name for verdict in judge(levels).verdicts if verdict.fine is False}


def test_planted_faults_are_called_by_their_measure():
    seamed, noisy, tinted, pasted = (make_picture() for _ in range(4))
    seamed[128:, 128:] += 14
    seamed[:128, :128] += 14
    noisy += 8 * np.random.default_rng(1).standard_normal((256, 256, 1))
    tinted += (30, 0, -30)
    pasted[30:70, 40:60] = 250
    assert "seam ratio" in faulty(seamed)
    assert "grain" in faulty(noisy)
    assert "colour drift" in faulty(tinted)
    assert "added object mass" in faulty(pasted)
    (box,) = [blob.box for blob in judge(pasted).added_objects]
    assert box == pytest.approx((40, 30, 60, 70), abs=5)


def test_moving_windows_have_no_lines_to_judge():
    names = {verdict.name for verdict in judge(make_picture(), lines=None).verdicts}
    assert names.isdisjoint({"seam ratio", "colour step", "median colour step"})
    assert "lattice" in names


def test_a_limit_holds_for_its_side_and_silence_is_an_answer():
    assert Verdict("grain", 2.0, "levels", 1.5, "high").fine is False
    assert Verdict("base consistency", 31.0, "dB", 30.0, "low").fine is True
    silent = Verdict("tile shift", math.nan, "px", 2.0, "high")
    assert silent.fine is None
    assert Judged((silent,), (Blob((1, 2, 3, 4), 9, 300.0),)).to_json() == {
        "measures": {"tile shift": {"value": None, "unit": "px", "limit": 2.0, "bad": "high", "fine": None}},
        "added_objects": [[1, 2, 3, 4]],
        "lost_parts": [],
        "left_out": {},
    }
    assert Verdict("grain", 2.0, "levels", None, "high").fine is None


def test_pixels_in_a_file_are_judged_as_the_picture_is():
    pasted = make_picture()
    pasted[30:70, 40:60] = 250
    base = to_image(make_picture()).resize((64, 64), Image.Resampling.BOX)
    lines = Lines((64, 128), (96,))
    stored = StoredPicture(MemoryPixels(PixelSize(pasted.shape[1], pasted.shape[0]), np.asarray(to_image(pasted))))
    judged = [judge_picture(one, base, lines) for one in (stored, to_image(pasted))]
    assert judged[0].to_json() == judged[1].to_json()
