"""3-D hands from a seed: the same bytes, masks where the joints are, faults that change the hand and nothing else."""

import numpy as np
import pytest
from scipy import ndimage

from sfumato.core.errors import RequestError
from sfumato.world.hands3d.labels import DIGIT_NAMES, JOINT_NAMES, PART_PATHS, digit_of_part, nail_id, segment_id
from sfumato.world.hands3d.pose import RAISED
from sfumato.world.hands3d.stream import MIXES_3D, HandWish, make_hand_picture
from tiny_hand import make_tiny_hand

SIZE = 96
OPEN = {"gesture": "open", "view": "back"}


@pytest.fixture(scope="module")
def mesh():
    return make_tiny_hand()


@pytest.fixture(scope="module")
def pairs(mesh):
    """A sound and a faulty hand of a few seeds, by fault."""
    faults = ("extra_digit", "missing_digit", "fused_digits")
    return {
        fault: [
            tuple(make_hand_picture(mesh, seed, size=SIZE, wish=HandWish(fault=word, **OPEN)) for word in ("", fault))
            for seed in (1, 2)
        ]
        for fault in faults
    }


def test_same_seed_same_bytes_and_another_seed_others(mesh):
    wish = HandWish(mix="any")
    first, again, other = (make_hand_picture(mesh, seed, size=64, wish=wish) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.parts, again.parts)
    assert np.array_equal(first.joints, again.joints)
    assert first.captions == again.captions
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("side", ["left", "right"])
def test_masks_lie_where_the_joints_are(mesh, side):
    for seed in (3, 4):
        hand = make_hand_picture(mesh, seed, size=SIZE, wish=HandWish(side=side, **OPEN))
        digits = digit_of_part()[hand.parts]
        assert hand.countable
        for number, digit in enumerate(hand.digits, 1):
            x, y = hand.joints[4 * number]
            assert digits[int(y), int(x)] == number, (seed, digit.name)
            assert digit.area_px == (digits == number).sum()
            # From base to tip the segments come in order.
            shown = [np.argwhere(hand.parts == segment_id(number, segment)) for segment in (1, 2, 3)]
            centres = [pixels.mean(0) for pixels in shown if len(pixels)]
            assert len(centres) >= 2 or number == 1
            ways = [np.linalg.norm(centre[::-1] - (x, y)) for centre in centres]
            assert ways == sorted(ways, reverse=True), (seed, digit.name)


def test_a_right_hand_is_the_mirrored_left(mesh):
    left, right = (
        make_hand_picture(mesh, 8, size=SIZE, wish=HandWish(side=side, **OPEN)) for side in ("left", "right")
    )
    assert np.array_equal(left.parts, right.parts[:, ::-1])
    thumb, little = left.joints[4], left.joints[20]
    assert thumb[0] > little[0]  # the back of a left hand has its thumb on the right


def test_nails_show_on_the_back_only(mesh):
    back, palm = (
        make_hand_picture(mesh, 2, size=SIZE, wish=HandWish(gesture="open", view=view)) for view in ("back", "palm")
    )
    nails = [nail_id(digit) for digit in range(2, 6)]
    assert all((back.parts == nail).any() for nail in nails)
    assert not np.isin(palm.parts, nails).any()


def test_digits_are_counted(pairs):
    counts = {"extra_digit": 6, "missing_digit": 4, "fused_digits": 5}
    for fault, hands in pairs.items():
        for sound, faulty in hands:
            assert sound.labels["digits_of_hand"] == 5
            assert faulty.labels["digits_of_hand"] == counts[fault]
            assert faulty.fault is not None
            assert faulty.fault.kind == fault
            shown = {DIGIT_NAMES[digit - 1] for digit in np.unique(digit_of_part()[faulty.parts]) if digit}
            assert shown == {digit.name for digit in faulty.digits if digit.state != "absent"}
            assert len(faulty.joints) == (25 if fault == "extra_digit" else 21)


def test_a_fault_changes_the_hand_and_nothing_else(pairs):
    for hands in pairs.values():
        for sound, faulty in hands:
            hand = ndimage.binary_dilation((sound.parts > 0) | (faulty.parts > 0), iterations=2)
            assert np.array_equal(sound.image[~hand], faulty.image[~hand])
            assert (sound.image != faulty.image).any()
            assert sound.captions == faulty.captions


def test_a_missing_digit_has_no_joints_and_no_pixels(pairs):
    for _, faulty in pairs["missing_digit"]:
        lost = [number for number, digit in enumerate(faulty.digits, 1) if digit.state == "absent"]
        assert len(lost) == 1
        assert np.isnan(faulty.joints[4 * lost[0] - 3 : 4 * lost[0] + 1]).all()
        assert np.isfinite(np.delete(faulty.joints, np.s_[4 * lost[0] - 3 : 4 * lost[0] + 1], 0)).all()


def test_fused_digits_touch_along_their_length(pairs):
    for sound, faulty in pairs["fused_digits"]:
        first, second = (DIGIT_NAMES.index(name) + 1 for name in faulty.fault.parts)
        borders = []
        for hand in (sound, faulty):
            digits = digit_of_part()[hand.parts]
            near = ndimage.binary_dilation(digits == first, iterations=2)
            borders.append((near & (digits == second)).sum())
        assert borders[1] > borders[0]


def test_folded_digits_and_crops_are_not_countable(mesh):
    fist = make_hand_picture(mesh, 3, size=SIZE, wish=HandWish(gesture="fist"))
    assert not fist.countable
    states = [digit.state for seed in range(60, 72) for digit in _cropped(mesh, seed)]
    assert "out-of-frame" in states


def _cropped(mesh, seed):
    hand = make_hand_picture(mesh, seed, size=32, wish=HandWish(mix="any", gesture="open"))
    if any(digit.state == "out-of-frame" for digit in hand.digits):
        assert not hand.countable
    return hand.digits


@pytest.mark.parametrize("gesture", sorted(RAISED))
def test_a_gesture_holds_out_its_digits(mesh, gesture):
    hand = make_hand_picture(mesh, 7, size=64, wish=HandWish(gesture=gesture, view="back"))
    assert hand.labels["gesture"] == gesture
    for number, digit in enumerate(hand.digits[1:], 2):
        assert (digit.state == "visible") == (number in RAISED[gesture]), digit.name


def test_truth_has_the_words_of_the_drawn_world(pairs):
    sound, faulty = pairs["extra_digit"][0]
    truth = sound.truth()
    assert truth.state("hand1/index") == "visible"
    assert truth.state("hand1/extra1") == "absent"
    own = [number for number, path in enumerate(PART_PATHS) if path.startswith("hand1/")]
    assert truth.mask("hand1").sum() == np.isin(sound.parts, own).sum()
    assert faulty.truth().facts["hand1"]["fault_parts"] == ["extra1"]
    assert len(JOINT_NAMES) == 25


@pytest.mark.parametrize(
    "wish",
    [
        {"mix": "x"},
        {"gesture": "x"},
        {"side": "x"},
        {"view": "side"},
        {"skin": "x"},
        {"fault": "third_arm"},
        {"amount": 0.0},
    ],
)
def test_words_that_do_not_exist_are_refused(mesh, wish):
    with pytest.raises(RequestError):
        make_hand_picture(mesh, 1, wish=HandWish(**wish))


@pytest.mark.parametrize("size", [8, 4096])
def test_sizes_have_limits(mesh, size):
    with pytest.raises(RequestError, match="out of range"):
        make_hand_picture(mesh, 1, size=size)


def test_every_gesture_of_every_mix_has_words(mesh):
    for mix, gestures in MIXES_3D.items():
        for gesture in gestures:
            hand = make_hand_picture(mesh, 4, size=32, wish=HandWish(mix=mix, gesture=gesture))
            assert all("hand" in caption or "fist" in caption for caption in hand.captions)
