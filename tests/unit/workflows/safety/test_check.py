"""Words decide before a picture is drawn, the part decides after; without it the verdict is `not checked`."""

from dataclasses import replace

import numpy as np
import pytest

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize
from sfumato.core.request import ConceptRef, RenderRequest
from sfumato.workflows.safety import check
from sfumato.workflows.safety.check import SafetyVerdict, draw_placeholder, judge_picture
from sfumato.workflows.safety.words import MINORS, SEXUAL, SafetyError, check_prompt, find_category

PIXELS = MemoryPixels(PixelSize(64, 64), np.full((64, 64, 3), 90, np.uint8))


def ask(prompt):
    return RenderRequest(prompt=prompt, size=PixelSize(64, 64))


class FixedScore:
    """A network that always says the same."""

    def __init__(self, score):
        self.score = score

    def measure(self, pictures):
        return [self.score] * len(pictures)


@pytest.mark.parametrize(
    ("prompt", "category"),
    [
        ("a red house in Essex", None),
        ("a sextant, a cocktail, grapes", None),
        ("children in a park", None),
        ("a naked man", SEXUAL),
        ("a NUDE statue", SEXUAL),
        ("n\u00fade, na\u200bked", SEXUAL),
        ("a naked child", MINORS),
        ("nsfw, 15 years old", MINORS),
    ],
)
def test_words_have_a_category(prompt, category):
    assert find_category(prompt) == category


def test_a_long_prompt_takes_no_time_and_one_category_has_no_switch(monkeypatch):
    assert find_category("(" * 20_000 + "a" * 20_000) is None
    monkeypatch.setenv("SFUMATO_SAFETY", "off")
    check_prompt(ask("a naked man"))
    with pytest.raises(SafetyError, match="not drawn"):
        check_prompt(ask("nude child"))
    concept = ConceptRef(path="bo.concept", sha256="0" * 64, region="left", words="a nude man")
    with pytest.raises(SafetyError, match="not drawn"):
        check_prompt(replace(ask("a child on a beach"), concepts=(concept,)))


def test_off_says_nothing_and_without_the_part_nothing_is_checked(monkeypatch, tmp_path):
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path))
    monkeypatch.delenv("SFUMATO_SAFETY", raising=False)
    assert judge_picture(ask("a house"), PIXELS) is None
    monkeypatch.setenv("SFUMATO_SAFETY", "withhold")
    found = judge_picture(ask("a house"), PIXELS)
    assert (found.state, found.score) == ("not checked", None)
    assert "sfumato parts get nsfw" in found.reason
    assert judge_picture(ask("a naked man"), PIXELS).state == "withheld"


@pytest.mark.parametrize(
    ("policy", "score", "state"),
    [("flag", 0.1, "passed"), ("flag", 0.9, "flagged"), ("withhold", 0.9, "withheld"), ("withhold", 0.8, "withheld")],
)
def test_the_score_and_the_policy_decide(monkeypatch, tmp_path, policy, score, state):
    monkeypatch.setenv("SFUMATO_SAFETY", policy)
    monkeypatch.setattr(check, "find_part", lambda _name: tmp_path)
    monkeypatch.setattr(check, "_open", lambda: FixedScore(score))
    found = judge_picture(ask("a house"), PIXELS)
    assert (found.state, found.to_json()["score"], str(found)) == (state, score, f"{policy} {state} {score:.2f}")


def test_a_placeholder_has_the_size_and_is_not_black():
    verdict = SafetyVerdict(policy="withhold", state="withheld", reason="The prompt asks for a sexual picture.")
    for size in ((128, 96), (16, 16), (1024, 512)):
        picture = draw_placeholder(*size, verdict)
        assert picture.size == size
        assert np.asarray(picture).mean() > 100
    assert len(np.unique(np.asarray(draw_placeholder(256, 256, verdict)))) > 2
