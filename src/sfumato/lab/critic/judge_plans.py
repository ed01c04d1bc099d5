"""Judge what a repair plans, without any model: is the right place freed, do right digits stay, is the start a hand.

The twin without the fault says where a digit lacks. The start of the first round alone, laid into the picture, says how
much is left to a model. Start reading at `judge_plans`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.cards import Measurement, measure_share
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.anatomy.judge import JudgedHand, judge_hands, judge_square
from sfumato.critic.anatomy.parser import Parser
from sfumato.lab.critic.close_ups import PICTURE_PX, draw_hand, find_hand_box, list_open_hands
from sfumato.render.passes.repair_box import RepairStep, lay_inside
from sfumato.workflows.repair.hand_masks import SeenHand
from sfumato.workflows.repair.plan_round import plan_round
from sfumato.world.stream import Sample

Mask = NDArray[np.bool_]

PLAN_SEEDS = 258_000_000
CAUSES = ("missing", "fused")
STRENGTHS = (0.35, 0.55, 0.75)
# A place is freed where so much of the digit that lacks lies in the change map; right digits stay where so much of them does.
LEAST_FREED, LEAST_KEPT = 0.7, 0.9
HAND_PX = PixelSize(PICTURE_PX, PICTURE_PX)


def judge_plans(parser: Parser, count: int, tell: Callable[[str, int, int], None]) -> list[Measurement]:
    """Return how often the first round of a missing or fused digit frees the right place and keeps the others."""
    found: dict[str, list[bool]] = {}
    hands = [(fault, seed) for fault, seed in list_open_hands(PLAN_SEEDS, 2 * count) if fault.split("_")[0] in CAUSES]
    for number, (fault, seed) in enumerate(hands):
        tell("plans", number, len(hands))
        cause = fault.split("_")[0]
        sample, twin = draw_hand(seed, fault), draw_hand(seed, "")
        seen = see_hand(parser, sample.image, find_hand_box(sample))
        step = plan_round(seen, cause, 0, STRENGTHS)
        freed, kept = measure_plan(step, sample, twin)
        after = lay_inside(seen.before, step.start, step.change)
        told = judge_square(parser, MemoryPixels(HAND_PX, after), seen.judged.box, seen.judged.square)
        found.setdefault(f"{cause}: the place that lacks is freed", []).append(freed >= LEAST_FREED)
        found.setdefault(f"{cause}: right digits stay", []).append(kept >= LEAST_KEPT)
        found.setdefault(f"{cause}: the critic counts five at the start", []).append(told.verdict.digits == 5)
    return [
        replace(measure_share(f"plans, {name}", sum(hits), len(hits)), aim_is="least") for name, hits in found.items()
    ]


def see_hand(parser: Parser, image: NDArray[np.uint8], box: PixelBox) -> SeenHand:
    """Return a hand of a close-up as a repair sees it; the whole picture is its crop."""
    pixels = MemoryPixels(PixelSize(image.shape[1], image.shape[0]), image.copy())
    hand: JudgedHand
    (hand,) = judge_hands(parser, pixels, [Found(kind="hand", box=box, confidence=1.0, by="truth")], prompted=True)
    return SeenHand(judged=hand, frame=pixels.size.box, before=pixels.read(pixels.size.box))


def measure_plan(step: RepairStep, sample: Sample, twin: Sample) -> tuple[float, float]:
    """Return the share of the lacking digits of the twin that is freed, and the share of right digits that is frozen."""
    (fault,) = sample.faults
    lacks = _mark_digits(twin, fault.parts)
    assert sample.truth is not None, "the truth was asked for"
    digits = {path.split("/")[1] for path in sample.truth.paths if path.startswith("hand1/")} - {"palm", "web"}
    right = _mark_digits(sample, tuple(digits - set(fault.parts)))
    return float((step.change[lacks] > 0.5).mean()), float((step.change[right] == 0).mean())


def _mark_digits(sample: Sample, names: tuple[str, ...]) -> Mask:
    assert sample.truth is not None, "the truth was asked for"
    masks = [sample.truth.mask(f"hand1/{name}") for name in names]
    return np.asarray(np.logical_or.reduce(masks), np.bool_)
