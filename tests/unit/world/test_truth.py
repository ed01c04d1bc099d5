"""The truth against the pixels: colours, containment, counts and states."""

import re

import numpy as np
import pytest

from sfumato.world.stream import Sample, Wish, make_sample

SIZE = 160


def _told(seed: int, shot: str = "", **wishes: object) -> Sample:
    return make_sample(seed, size=SIZE, wish=Wish(shot=shot, with_truth=True, **wishes))  # pyright: ignore[reportArgumentType]


def _ramp(colour: tuple[float, float, float]) -> np.ndarray:
    """Return the shades a part's colour may take: darkened to 45 %, lightened by up to 40 %."""
    base = np.array(colour)
    return np.stack(
        [base * (1 - t) for t in np.linspace(0, 0.55, 12)] + [base + (1 - base) * t for t in np.linspace(0, 0.4, 9)]
    )


def _inner(mask: np.ndarray) -> np.ndarray:
    """Leave out the border, whose pixels are mixed with the neighbour's colour."""
    inner = mask.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)
    return inner


@pytest.mark.parametrize("seed", range(40))
def test_pixels_have_the_colour_family_of_their_part(seed: int) -> None:
    sample = _told(seed)
    assert sample.truth is not None
    own = {name: i for i, name in enumerate(sample.truth.paths)}
    checked = 0
    for path, facts in sample.truth.facts.items():
        if "colour" not in facts or path not in own:
            continue
        pixels = sample.image[_inner(sample.truth.ids == own[path])] / 255.0
        if len(pixels) < 12:
            continue
        ramp = _ramp(facts["colour"])  # pyright: ignore[reportArgumentType]
        far = np.abs(pixels[:, None] - ramp[None]).max(-1).min(1)
        assert np.median(far) < 0.12, (path, np.median(far))
        checked += 1
    assert checked or sample.labels["shot"] in ("wide", "place", "texture")


@pytest.mark.parametrize("seed", range(25))
def test_no_part_leaves_its_parent(seed: int) -> None:
    truth = _told(seed).truth
    assert truth is not None
    for name in truth.names():
        parent = name.rpartition("/")[0]
        if parent and truth.box(name):
            assert not (truth.mask(name) & ~truth.mask(parent)).any(), name


@pytest.mark.parametrize("seed", range(12))
def test_eyes_lie_in_the_head_and_digits_on_the_hand(seed: int) -> None:
    truth = _told(seed, "portrait").truth
    assert truth is not None
    head = truth.box("person1/head")
    assert head
    for side in ("left", "right"):
        eye = truth.box(f"person1/head/eye_{side}")
        assert eye
        assert head[0] < eye[0]
        assert eye[2] < head[2]
        assert head[1] < eye[1]
        assert eye[3] < head[3]
    hand = _told(seed, "hand").truth
    assert hand is not None
    palm = _grown(hand.mask("hand1/palm"), 4)
    for digit in ("index", "middle", "little"):
        bottom = hand.mask(f"hand1/{digit}/segment1")
        if bottom.sum() > 12:
            assert (bottom & palm).any(), digit


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    grown = mask.copy()
    for dy in range(-by, by + 1):
        for dx in range(-by, by + 1):
            grown |= np.roll(mask, (dy, dx), (0, 1))
    return grown


_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}


def test_counts_are_what_the_captions_say() -> None:
    people = hands = 0
    for seed in range(300):
        sample = _told(seed, "group" if seed % 2 else "hand")
        assert sample.truth is not None
        roots = {name.split("/")[0] for name in sample.truth.names()}
        for caption in sample.captions:
            said = re.search(r"(one|two|three|four) (?:people|men|women)", caption)
            if said:
                people += 1
                assert _NUMBERS[said[1]] == sum(root.startswith("person") for root in roots), caption
            shown = re.search(r"(one|two|three|four|five) fingers?(?: up)?", caption)
            if shown and "amputated" not in caption:
                hands += 1
                assert _NUMBERS[shown[1]] == _raised(sample), caption
    assert people > 100
    assert hands > 100


def _raised(sample: Sample) -> int:
    assert sample.truth is not None
    digits = [
        n for n, f in sample.truth.facts.items() if n.count("/") == 1 and n.startswith("hand1/") and "expected_px" in f
    ]
    return sum(sample.truth.state(name) != "folded" for name in digits)


def test_styles_have_their_own_number_of_digits() -> None:
    for style, count in (("photo", 5), ("cartoon", 4)):
        sample = _told(11, "hand", style=style)
        assert sample.truth is not None
        digits = [name for name, facts in sample.truth.facts.items() if name.startswith("hand1/") and "state" in facts]
        assert len(digits) == count
        assert sample.truth.facts["hand1"]["count_policy"] == count


def test_an_amputated_finger_is_absent_and_an_exception() -> None:
    for seed in range(4000):
        sample = make_sample(seed, size=16, wish=Wish(shot="hand", with_truth=True))
        exception = sample.scene.hands[0].exception
        if exception and exception.kind == "amputation":
            assert sample.truth is not None
            assert sample.truth.state(f"hand1/{exception.limb}") == "absent"
            assert sample.truth.facts["hand1"]["exception"] == "amputation"
            assert f"amputated {exception.limb} finger" in sample.captions[0]
            return
    pytest.fail("no amputation in 4,000 hands")


def test_truth_as_json_is_complete_and_plain() -> None:
    import json

    truth = _told(4).truth
    assert truth is not None
    told = json.loads(json.dumps(truth.to_json()))
    assert told["width_px"] == SIZE
    assert told["parts"]
    for name, part in told["parts"].items():
        assert (part["box"] is None) == (not truth.mask(name).any())
