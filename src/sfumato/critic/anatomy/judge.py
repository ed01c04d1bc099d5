"""Judges hands in a picture: cuts each upright, reads it with the parser, gathers evidence, and gives the verdict.

Knows stores of pixels and what finders found. Start reading at `judge_hands`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.pixels import PixelStore
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox
from sfumato.critic.anatomy.evidence import HandEvidence, gather_evidence
from sfumato.critic.anatomy.labels import CROP_PX
from sfumato.critic.anatomy.parser import HandMaps, Parser
from sfumato.critic.anatomy.verdict import HandVerdict, judge_evidence
from sfumato.critic.finders.crops import TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels

# The parser learned on crops 1.1 to 1.9 times the longer side of the hand.
CROP_GROWTH = 1.4
# Points of a hand, in the order of the finder of real hands: the root of the middle finger lies above the wrist.
WRIST, MIDDLE_ROOT = 0, 9


@dataclass(frozen=True, eq=False)
class JudgedHand:
    """Hold one hand: where it is, the square that was read, what was seen, and the verdict."""

    box: PixelBox
    square: TurnedSquare
    maps: HandMaps
    evidence: HandEvidence
    verdict: HandVerdict

    def to_json(self) -> dict[str, object]:
        """Return the form of `sfumato check --json`."""
        box, verdict = self.box, self.verdict
        return {
            "box": [box.left, box.top, box.width, box.height],
            "digits": verdict.digits,
            "digits_sure": round(verdict.count_sure, 4),
            "parts": [digit.to_json() for digit in self.evidence.digits],
            "countable": round(verdict.countable, 4),
            "verdict": verdict.word,
            "sure": round(verdict.sure, 4),
            "reason": verdict.reason,
            "findings": [finding.to_json() for finding in verdict.findings],
        }


def judge_hands(
    parser: Parser,
    pixels: PixelStore,
    hands: Sequence[Found],
    *,
    licences: Sequence[str] = (),
    prompted: bool = False,
) -> tuple[JudgedHand, ...]:
    """Judge the hands that a finder found in a picture, in their order."""
    if not hands:
        return ()
    squares = [frame_hand(hand) for hand in hands]
    seen = parser.read(cut_hands(pixels, squares))
    judged = []
    for hand, square, maps in zip(hands, squares, seen, strict=True):
        evidence = gather_evidence(maps)
        verdict = judge_evidence(evidence, parser.beliefs, licences=licences, prompted=prompted)
        judged.append(JudgedHand(hand.box, square, maps, evidence, verdict))
    return tuple(judged)


def judge_square(parser: Parser, pixels: PixelStore, box: PixelBox, square: TurnedSquare) -> JudgedHand:
    """Judge what a square of a picture shows, as if a prompt had allowed nothing: for comparing before and after."""
    (maps,) = parser.read(cut_hands(pixels, [square]))
    evidence = gather_evidence(maps)
    return JudgedHand(box, square, maps, evidence, judge_evidence(evidence, parser.beliefs, prompted=True))


def cut_hands(pixels: PixelStore, squares: Sequence[TurnedSquare]) -> NDArray[np.uint8]:
    """Return the squares as the parser wants them, uint8 [N, 128, 128, 3]."""
    return cut_squares(PictureLevels(pixels), squares, CROP_PX)


def frame_hand(hand: Found) -> TurnedSquare:
    """Return the square around a hand, turned so that its fingers point up where the finder says which way they point."""
    box = hand.box
    angle = 0.0
    if len(hand.points) > MIDDLE_ROOT:
        across, down = (hand.points[MIDDLE_ROOT][axis] - hand.points[WRIST][axis] for axis in (0, 1))
        angle = math.atan2(across, -down)
    side = CROP_GROWTH * max(box.width, box.height)
    return TurnedSquare((box.left + box.right) / 2, (box.top + box.bottom) / 2, side, angle)
