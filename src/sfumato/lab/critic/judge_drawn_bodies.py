"""Compare what `check` says of drawn people with the world's truth: hands, limbs, third arms, swapped and lost ones.

Each person stands alone and whole; faults are planted in turn. Start reading at `judge_drawn_bodies`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.cards import Measurement, measure_share
from sfumato.core.geometry import PixelSize
from sfumato.critic.anatomy.bodies import NOT_COUNTABLE, JudgedBody, judge_bodies
from sfumato.critic.finders.finder import Finder
from sfumato.workflows.find.find import run_finders
from sfumato.workflows.find.finders import choose_rows, make_finders
from sfumato.world.stream import Sample, Wish, make_sample

BODY_SEEDS, PICTURE_PX = 256_000_000, 256
# Faults of the world, and the cause that a finding of it would name; "" is a body that is right.
FAULTS = {"": "", "third_arm": "extra", "missing_limb": "", "swapped_hands": "wrong-side", "long_bone": "proportion"}
# Hands of fewer px than the drawn finder finds are not counted.
LEAST_HAND_PX = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class BodyAnswer:
    """Hold a drawn person: the fault, the hands that show by truth, and what was said of the person; None: not found."""

    fault: str
    hands: int
    body: JudgedBody | None


def judge_drawn_bodies(count: int, tell: Callable[[str, int, int], None]) -> list[Measurement]:
    """Return the rows: how often limbs are counted, third and swapped hands found, and right bodies left alone."""
    ready = [row for row in choose_rows(drawn=True, kinds=frozenset({"hand", "person"})) if not row.list_missing()]
    finders, answers, seed = make_finders(ready), list[BodyAnswer](), BODY_SEEDS
    for number in range(count):
        tell("drawn people", number, count)
        fault = list(FAULTS)[number % len(FAULTS)]
        while True:
            seed += 1
            wish = Wish(shot="full", style="photo", fault=fault, amount=1.0, with_truth=True)
            sample = make_sample(seed, size=PICTURE_PX, wish=wish)
            is_whole = len(sample.scene.people) == 1 and sample.scene.people[0][0].exception is None
            if is_whole and bool(sample.faults) == bool(fault):
                break
        answers.append(_judge(finders, sample, fault))
    return describe_bodies(answers)


def _judge(finders: Sequence[Finder], sample: Sample, fault: str) -> BodyAnswer:
    size = PixelSize(sample.image.shape[1], sample.image.shape[0])
    bodies = judge_bodies(run_finders(finders, MemoryPixels(size, sample.image.copy())), size)
    largest = max(bodies, key=lambda one: one.person.box.area, default=None)
    return BodyAnswer(fault=fault, hands=count_shown_hands(sample), body=largest)


def count_shown_hands(sample: Sample) -> int:
    """Count the hands of a scene that show and are large enough to be found."""
    truth = sample.truth
    assert truth is not None, "the truth was asked for"
    boxes = [truth.box(path) for path in truth.names() if path.endswith("/hand")]
    return sum(box is not None and max(box[2] - box[0], box[3] - box[1]) >= LEAST_HAND_PX for box in boxes)


def describe_bodies(answers: Sequence[BodyAnswer]) -> list[Measurement]:
    """Return the rows of a set of answers."""
    seen = [(one, one.body) for one in answers if one.body is not None]
    rows = [
        _share("found", [one.body is not None for one in answers]),
        _share("limbs counted", [body.verdict != NOT_COUNTABLE for _, body in seen]),
        _share("number of hands right", [body.hands == one.hands for one, body in seen]),
    ]
    for fault, cause in FAULTS.items():
        if cause:
            told = [
                any(finding.cause == cause for finding in body.findings) for one, body in seen if one.fault == fault
            ]
            rows.append(_share(f"{fault.replace('_', ' ')} told", told))
    right = [bool(body.findings) for one, body in seen if not one.fault]
    return [*rows, replace(_share("anything told of right bodies", right), aim_is="most")]


def _share(name: str, hits: list[bool]) -> Measurement:
    return measure_share(f"drawn people: {name}", sum(hits), len(hits))
