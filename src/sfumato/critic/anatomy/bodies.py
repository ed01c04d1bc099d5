"""Bodies: which limbs of a person show, which hands hang on them, and what is surely wrong; not sure is an answer.

A pose network always lays two arms and two legs on a person, so it frames limbs and never counts them. What it cannot
make up are hands: one that was found apart from it and hangs on no wrist of anybody is one too many, or somebody else's.
And a hand says by its own points which side it is. Knows finds and their points; no network. Start reading at
`judge_bodies`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.core.found import Found
from sfumato.core.geometry import PixelSize

# Points of a pose by number: shoulder, elbow, wrist; hip, knee, ankle; those of the person's left side first.
ARMS = {"left": (11, 13, 15), "right": (12, 14, 16)}
LEGS = {"left": (23, 25, 27), "right": (24, 26, 28)}
EYES, COUNT = {"left": 2, "right": 5}, 33
OK, GOOF, ABSTAIN, NOT_COUNTABLE = "ok", "goof", "abstain", "not-countable"
# A joint counts where the network says at least so surely that it is visible.
LEAST_SEEN = 0.5
# A hand hangs on a wrist that lies within so many sides of its box from its own wrist.
REACH = 0.8
# A hand this sure counts as one too many; two boxes that share this of the smaller are one hand seen twice.
LEAST_SURE, SAME_HAND = 0.97, 0.25
# A limb whose points lie nearer together than this share of the trunk points at the camera: its side says nothing.
LEAST_LENGTH = 0.25
# Both bones of a kind differ at most by this factor where both lie flat; beyond it nobody can tell turned from wrong.
MOST_UNEVEN = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFinding:
    """Say what seems wrong with a body: a cause, the part, and in words what was seen."""

    cause: str
    part: str
    words: str

    def to_json(self) -> dict[str, object]:
        """Return the form of `sfumato check --json`."""
        return {"cause": self.cause, "part": self.part, "words": self.words}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBody:
    """Hold one person: the limbs that show by side, the hands that hang on them, and a verdict with its reason.

    `arms` and `legs` name the sides of which every joint is seen, in the picture and in the box of the person.
    """

    person: Found
    arms: tuple[str, ...]
    legs: tuple[str, ...]
    hands: int
    verdict: str
    reason: str
    findings: tuple[BodyFinding, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the form of `sfumato check --json`."""
        box = self.person.box
        return {
            "box": [box.left, box.top, box.width, box.height],
            "confidence": round(self.person.confidence, 4),
            "arms": list(self.arms),
            "legs": list(self.legs),
            "hands": self.hands,
            "verdict": self.verdict,
            "reason": self.reason,
            "findings": [one.to_json() for one in self.findings],
        }


def judge_bodies(found: Sequence[Found], size: PixelSize) -> tuple[JudgedBody, ...]:
    """Judge every person among some finds; hands among them are given to the person on whose wrist they hang."""
    people = [one for one in found if one.kind == "person"]
    hands = _list_hands(found)
    owners = [_find_owner(hand, people) for hand in hands]
    loose = [hand for hand, owner in zip(hands, owners, strict=True) if owner is None and _is_near(hand, people)]
    bodies = list[JudgedBody]()
    for number, person in enumerate(people):
        own = [(hand, owner[1]) for hand, owner in zip(hands, owners, strict=True) if owner and owner[0] == number]
        beside = [hand for hand in loose if _lies_in(hand, person)]
        bodies.append(_judge(person, own, beside, alone=len(people) == 1, size=size))
    return tuple(bodies)


def _judge(
    person: Found, own: Sequence[tuple[Found, str]], beside: Sequence[Found], *, alone: bool, size: PixelSize
) -> JudgedBody:
    if len(person.points) < COUNT:
        extra = _count_hands(beside) if alone else ()
        verdict, reason = (
            (ABSTAIN, extra[0].words) if extra else (NOT_COUNTABLE, "nobody sees the joints of this person")
        )
        return JudgedBody(
            person=person, arms=(), legs=(), hands=len(beside), verdict=verdict, reason=reason, findings=extra
        )
    arms, legs = _list_shown(person, ARMS, size), _list_shown(person, LEGS, size)
    findings = [*_find_extra(own, beside), *_find_sides(own), *_find_proportions(person, arms, legs)]
    verdict, reason = _decide(arms, legs, findings, alone=alone)
    return JudgedBody(
        person=person,
        arms=arms,
        legs=legs,
        hands=len(own) + len(beside),
        verdict=verdict,
        reason=reason,
        findings=tuple(findings),
    )


def _decide(
    arms: Sequence[str], legs: Sequence[str], findings: Sequence[BodyFinding], *, alone: bool
) -> tuple[str, str]:
    """Return the verdict and why. Nothing is called a goof yet: no limit was calibrated on bodies with faults."""
    if findings:
        who = "" if alone else ", or it belongs to somebody else"
        return ABSTAIN, f"{findings[0].words}{who}"
    if len(arms) == 2 and len(legs) == 2:
        return OK, "two arms and two legs show, and nothing seems wrong"
    shown = f"{len(arms)} of 2 arms and {len(legs)} of 2 legs"
    return NOT_COUNTABLE, f"{shown} are seen: what is cut off or hidden proves nothing"


def _list_hands(found: Sequence[Found]) -> list[Found]:
    """Return the hands among finds, each once, the surest first."""
    kept = list[Found]()
    for hand in sorted((one for one in found if one.kind == "hand"), key=lambda one: -one.confidence):
        if not any(_share(hand, other) > SAME_HAND for other in kept):
            kept.append(hand)
    return kept


def _share(one: Found, other: Found) -> float:
    both = one.box.find_overlap(other.box)
    return 0.0 if both is None else both.area / min(one.box.area, other.box.area)


def _find_owner(hand: Found, people: Sequence[Found]) -> tuple[int, str] | None:
    """Return the number of the person and the side of the wrist that is nearest to a hand, None where none is near."""
    near = [
        (math.dist(_find_wrist(hand), person.points[wrist]), number, side)
        for number, person in enumerate(people)
        if len(person.points) >= COUNT
        for side, (_, _, wrist) in ARMS.items()
    ]
    if not near:
        return None
    distance, number, side = min(near)
    return (number, side) if distance <= REACH * max(hand.box.width, hand.box.height) else None


def _find_wrist(hand: Found) -> tuple[float, float]:
    """Return the wrist of a hand; its middle where nobody laid points on it."""
    return hand.points[0] if hand.points else _find_middle(hand)


def _find_middle(one: Found) -> tuple[float, float]:
    return (one.box.left + one.box.right) / 2, (one.box.top + one.box.bottom) / 2


def _is_near(hand: Found, people: Sequence[Found]) -> bool:
    return any(_lies_in(hand, person) for person in people)


def _lies_in(hand: Found, person: Found) -> bool:
    x, y = _find_middle(hand)
    return person.box.left <= x < person.box.right and person.box.top <= y < person.box.bottom


def _list_shown(person: Found, limbs: dict[str, tuple[int, int, int]], size: PixelSize) -> tuple[str, ...]:
    """Return the sides whose three joints are seen, in the picture and in the person's box."""
    box = person.box
    if len(person.seen) < COUNT:
        return ()
    return tuple(
        side
        for side, joints in limbs.items()
        if all(
            person.seen[joint] >= LEAST_SEEN
            and max(0, box.left) <= person.points[joint][0] < min(size.width, box.right)
            and max(0, box.top) <= person.points[joint][1] < min(size.height, box.bottom)
            for joint in joints
        )
    )


def _find_extra(own: Sequence[tuple[Found, str]], beside: Sequence[Found]) -> list[BodyFinding]:
    """Find hands beyond one on each wrist: two on one wrist, or one on none of a person whose both wrists have theirs."""
    sure = [side for hand, side in own if hand.confidence >= LEAST_SURE]
    doubled = [side for side in ARMS if sure.count(side) > 1]
    found = [
        BodyFinding(cause="extra", part="hand", words=f"{sure.count(side)} hands hang on the {side} wrist")
        for side in doubled
    ]
    loose = sum(hand.confidence >= LEAST_SURE for hand in beside)
    if loose and {side for _, side in own} == set(ARMS):
        words = f"{loose} more hand{'s' if loose > 1 else ''} beside one on each wrist"
        found.append(BodyFinding(cause="extra", part="arm", words=words))
    return found


def _count_hands(beside: Sequence[Found]) -> tuple[BodyFinding, ...]:
    """Find more than two sure hands on somebody who is alone in the picture and whose joints nobody sees."""
    sure = sum(hand.confidence >= LEAST_SURE for hand in beside)
    return (BodyFinding(cause="extra", part="arm", words=f"{sure} hands on one person"),) if sure > 2 else ()


def _find_sides(own: Sequence[tuple[Found, str]]) -> list[BodyFinding]:
    """Find hands that say they are of the other side than the wrist that they hang on."""
    return [
        BodyFinding(cause="wrong-side", part="hand", words=f"a {hand.side} hand hangs on the {side} wrist")
        for hand, side in own
        if hand.side and hand.side != side and hand.confidence >= LEAST_SURE
    ]


def _find_proportions(person: Found, arms: Sequence[str], legs: Sequence[str]) -> list[BodyFinding]:
    """Find a bone that is far longer than its twin on the other side, where both lie flat in the picture."""
    points = person.points
    trunk = math.dist(_mean(points[11], points[12]), _mean(points[23], points[24]))
    found = list[BodyFinding]()
    for part, limbs, shown in (("arm", ARMS, arms), ("leg", LEGS, legs)):
        if len(shown) < 2:
            continue
        lengths = [
            sum(math.dist(points[a], points[b]) for a, b in itertools.pairwise(joints)) for joints in limbs.values()
        ]
        if min(lengths) >= LEAST_LENGTH * trunk and max(lengths) > MOST_UNEVEN * min(lengths):
            words = f"one {part} is {max(lengths) / min(lengths):.1f} times as long as the other"
            found.append(BodyFinding(cause="proportion", part=part, words=words))
    return found


def _mean(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2
