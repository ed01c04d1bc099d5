"""Planted faults do what they say, and say what they did."""

import numpy as np
import pytest

from sfumato.world.people.goofs import BODY_FAULTS, FAULTS, HAND_FAULTS
from sfumato.world.stream import Sample, Wish, make_sample


def _pair(kind: str, seed: int, amount: float = 1.0) -> tuple[Sample, Sample]:
    shot = "hand" if kind in HAND_FAULTS else "full"
    right = make_sample(seed, size=160, wish=Wish(shot=shot, with_truth=True))
    wrong = make_sample(seed, size=160, wish=Wish(shot=shot, fault=kind, amount=amount, with_truth=True))
    return right, wrong


def _faulty(kind: str, wanted: int = 6) -> list[tuple[Sample, Sample]]:
    pairs: list[tuple[Sample, Sample]] = []
    for seed in range(200):
        pair = _pair(kind, seed)
        if pair[1].faults:
            pairs.append(pair)
        if len(pairs) == wanted:
            return pairs
    pytest.fail(f"{kind} found nowhere to go")


def _digits(sample: Sample) -> set[str]:
    assert sample.truth is not None
    return {name for name, facts in sample.truth.facts.items() if name.startswith("hand1/") and "expected_px" in facts}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_changes_pixels_and_is_told(kind: str) -> None:
    for right, wrong in _faulty(kind):
        fault = wrong.faults[0]
        assert fault.kind == kind
        assert not np.array_equal(right.image, wrong.image)
        assert wrong.truth is not None
        assert wrong.truth.facts[fault.where]["fault"] == kind
        assert wrong.captions == right.captions


def test_hand_faults_change_the_digits_as_named() -> None:
    for right, wrong in _faulty("extra_digit"):
        assert _digits(wrong) - _digits(right) == {"hand1/extra1"}
    for right, wrong in _faulty("missing_digit"):
        (lost,) = _digits(right) - _digits(wrong)
        assert lost.split("/")[1] in wrong.faults[0].parts
    for right, wrong in _faulty("split_digit"):
        assert _digits(wrong) - _digits(right) == {"hand1/split1"}
    for _, wrong in _faulty("fused_digits"):
        assert wrong.truth is not None
        assert wrong.truth.mask("hand1/web").any()


def test_fusion_grows_with_its_amount() -> None:
    seed = next(s for s in range(200) if _pair("fused_digits", s)[1].faults)
    areas = []
    for amount in (0.2, 0.6, 1.0):
        truth = _pair("fused_digits", seed, amount)[1].truth
        assert truth is not None
        areas.append(truth.mask("hand1/web").sum())
    assert areas[0] < areas[1] < areas[2]


def test_limb_faults_change_the_limbs_as_named() -> None:
    for _, wrong in _faulty("third_arm"):
        assert wrong.truth is not None
        assert wrong.truth.mask("person1/arm_extra").any()
    for _, wrong in _faulty("third_leg"):
        assert wrong.truth is not None
        assert wrong.truth.mask("person1/leg_extra").any()
    for _, wrong in _faulty("missing_limb"):
        assert wrong.truth is not None
        assert not wrong.truth.mask(f"person1/{wrong.faults[0].parts[0]}").any()
    for _, wrong in _faulty("detached_hand"):
        assert _gap_px(wrong) >= 2
    for right, wrong in _faulty("long_bone"):
        part = f"person1/{wrong.faults[0].parts[0]}"
        assert right.truth is not None
        assert wrong.truth is not None
        assert wrong.truth.mask(part).sum() > 1.1 * right.truth.mask(part).sum() or _cut_off(wrong, part)


def _gap_px(sample: Sample) -> int:
    """Measure the least distance in pixels between the torn-off hand and the rest of its arm."""
    assert sample.truth is not None
    hand = np.argwhere(sample.truth.mask(f"person1/{sample.faults[0].parts[0]}"))
    arm = sample.faults[0].parts[0].split("/")[0]
    rest = np.argwhere(sample.truth.mask(f"person1/{arm}/lower"))
    if not len(hand) or not len(rest):
        return 99
    return int(np.sqrt(((hand[:, None] - rest[None]) ** 2).sum(-1).min()))


def _cut_off(sample: Sample, part: str) -> bool:
    assert sample.truth is not None
    box = sample.truth.box(part)
    return box is None or box[0] == 0 or box[1] == 0 or box[2] == 160 or box[3] == 160


def test_swapped_hands_turn_the_thumbs() -> None:
    for right, wrong in _faulty("swapped_hands", 3):
        assert right.truth is not None
        assert wrong.truth is not None
        hand = "person1/arm_left/hand"
        assert right.truth.facts[hand]["side"] == "left"
        assert wrong.truth.facts[hand]["side"] == "right"


def test_exceptions_are_never_faults() -> None:
    exceptions = 0
    for seed in range(60):
        for kind in BODY_FAULTS:
            sample = make_sample(seed, size=16, wish=Wish(shot="full", fault=kind))
            if sample.scene.people[0][0].exception is not None:
                exceptions += 1
                assert not sample.faults
    assert exceptions
