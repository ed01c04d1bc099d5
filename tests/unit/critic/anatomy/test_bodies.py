"""Bodies: limbs are framed, extra hands and wrong sides are told, and whoever is cut off is not countable."""

import pytest

from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.anatomy.bodies import COUNT, judge_bodies

SIZE = PixelSize(400, 800)
# Seen from the front: the person's left is at the right of the picture.
JOINTS = {
    11: (240, 200), 13: (280, 300), 15: (290, 400), 12: (160, 200), 14: (120, 300), 16: (110, 400),
    23: (225, 420), 25: (228, 560), 27: (230, 700), 24: (175, 420), 26: (172, 560), 28: (170, 700),
}  # fmt: skip


def make_person(hidden=(), **moved):
    joints = {**JOINTS, **{int(name[1:]): place for name, place in moved.items()}}
    points = tuple(joints.get(number, (200.0, 120.0)) for number in range(COUNT))
    seen = tuple(0.1 if number in hidden else 0.9 for number in range(COUNT))
    return Found(kind="person", box=PixelBox(80, 60, 330, 760), confidence=0.99, by="persons", points=points, seen=seen)


def make_hand(x, y, *, side="", sure=0.99):
    return Found(
        kind="hand", box=PixelBox(x - 20, y - 10, x + 20, y + 40), confidence=sure, by="hands",
        points=((float(x), float(y)),) * 21, side=side,
    )  # fmt: skip


BOTH = (make_hand(290, 405, side="left"), make_hand(110, 405, side="right"))


def judge(*found):
    (body,) = judge_bodies((make_person(), *found), SIZE)
    return body


def test_two_arms_two_legs_and_their_hands_are_right():
    body = judge(*BOTH)
    assert (body.verdict, body.hands, body.findings) == ("ok", 2, ())
    assert body.to_json()["arms"] == ["left", "right"]


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        (make_hand(200, 300), "extra"),
        (make_hand(297, 412), None),
        (make_hand(200, 300, sure=0.9), None),
        (make_hand(390, 30), None),
    ],
    ids=["on the chest", "the same hand twice", "unsure", "beside the person"],
)
def test_a_third_hand_is_told_and_nobody_is_called_wrong(more, cause):
    body = judge(*BOTH, more)
    assert [one.cause for one in body.findings] == ([cause] if cause else [])
    assert body.verdict == ("abstain" if cause else "ok")


def test_a_hand_of_the_other_side_is_told():
    body = judge(make_hand(290, 405, side="right"), BOTH[1])
    assert [(one.cause, one.part) for one in body.findings] == [("wrong-side", "hand")]
    assert body.verdict == "abstain"


def test_who_is_cut_off_or_has_no_joints_is_not_countable():
    cut = make_person(p27=(230, 900), p28=(170, 900))
    (body,) = judge_bodies((cut, *BOTH), SIZE)
    assert (body.verdict, body.legs) == ("not-countable", ())
    (body,) = judge_bodies((make_person(hidden=(25, 26)), *BOTH), SIZE)
    assert (body.verdict, body.arms, body.legs) == ("not-countable", ("left", "right"), ())
    bare = Found(kind="person", box=PixelBox(0, 0, 50, 100), confidence=0.9, by="drawn")
    (body,) = judge_bodies((bare,), SIZE)
    assert body.verdict == "not-countable"


def test_three_hands_on_somebody_without_joints_are_told():
    bare = Found(kind="person", box=PixelBox(80, 60, 330, 760), confidence=0.9, by="drawn")
    hands = (*BOTH, make_hand(200, 300))
    (body,) = judge_bodies((bare, *hands), SIZE)
    assert [one.cause for one in body.findings] == ["extra"]
    assert (body.verdict, body.hands) == ("abstain", 3)
    (body,) = judge_bodies((bare, *BOTH, make_hand(200, 300, sure=0.9)), SIZE)
    assert body.verdict == "not-countable"
    # With somebody else there, the hand may be theirs.
    other = Found(kind="person", box=PixelBox(180, 60, 390, 760), confidence=0.9, by="drawn")
    assert all(body.verdict == "not-countable" for body in judge_bodies((bare, other, *hands), SIZE))


def test_an_arm_far_longer_than_its_twin_is_told():
    long = make_person(p13=(325, 420), p15=(320, 750))
    (body,) = judge_bodies((long,), SIZE)
    assert [one.cause for one in body.findings] == ["proportion"]
