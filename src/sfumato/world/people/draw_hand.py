"""Draws a hand: palm, digits by segment, nails, creases. Start reading at `draw_hand`."""

from __future__ import annotations

import cmath
import math

from sfumato.world.ink import Ink, oval_path, poly_path, tube_path
from sfumato.world.palette import METAL, Colour, darken, lighten, mix
from sfumato.world.people.hand import Digit, HandShape
from sfumato.world.truth import PartTree

NAIL_PINK: Colour = (0.98, 0.80, 0.78)


def draw_hand(ink: Ink, tree: PartTree, hand: HandShape, colour: Colour, path: str) -> None:
    """Draw a hand of one colour (skin, glove or metal) and enter its parts under `path`."""
    before = ink.edge_scale
    ink.edge_scale = min(1.0, 0.25 + 1.3 * hand.size) if ink.is_cartoon else 1.0
    tree.add(path, side=hand.spec.side, view=hand.spec.view, gesture=hand.spec.gesture, count_policy=hand.spec.count)
    ink.fill(poly_path(hand.palm, 0.32), colour, tree.add(f"{path}/palm", colour=colour), shade="round")
    if hand.size > 0.05:
        for a, b, c in hand.creases:
            ink.line((a, b, c), darken(colour, 0.22), 0.010 * hand.size)
    raised = [digit for digit in hand.digits if not digit.folded]
    folded = [digit for digit in hand.digits if digit.folded]
    for digit in sorted(raised, key=lambda d: d.name == "thumb"):
        _draw_digit(ink, tree, hand, digit, colour, path)
    for digit in sorted(folded, key=lambda d: d.name == "thumb"):
        _draw_digit(ink, tree, hand, digit, colour, path)
    for start, end, radius in hand.webs:
        ink.fill(tube_path(start, end, radius, radius), colour, tree.add(f"{path}/web", colour=colour), edge=False)
    _note_missing(tree, hand, path)
    ink.edge_scale = before


def _note_missing(tree: PartTree, hand: HandShape, path: str) -> None:
    for name in hand.spec.missing:
        tree.facts.setdefault(f"{path}/{name}", {})["state"] = "absent"


def _draw_digit(ink: Ink, tree: PartTree, hand: HandShape, digit: Digit, colour: Colour, path: str) -> None:
    name = f"{path}/{digit.name}"
    bones = digit.bones()
    area = sum(abs(b - a) * (ra + rb) for a, b, ra, rb in bones)
    tip = digit.joints[-1]
    tree.facts.setdefault(name, {}).update(
        state="folded" if digit.folded else "visible", area=area, tip=(tip.real, tip.imag), colour=colour
    )
    for bone in bones:
        ink.outline(tube_path(*bone), colour)
    # Folded digits show their outer segments last, on top of the palm.
    for number, bone in enumerate(bones, digit.first_segment):
        ink.tube(*bone, colour, tree.add(f"{name}/segment{number}", colour=colour), edge=False)
    if not digit.folded:
        _join_to_palm(ink, tree, digit, colour, path)
    if hand.size > 0.10:
        _draw_joints(ink, hand, digit, colour)
    if digit.nail and colour != METAL:
        _draw_nail(ink, digit, colour, tree.add(f"{name}/nail"))


def _join_to_palm(ink: Ink, tree: PartTree, digit: Digit, colour: Colour, path: str) -> None:
    """Cover the outline where a digit grows out of the palm."""
    base, toward = digit.joints[0], digit.joints[1] - digit.joints[0]
    toward /= abs(toward) or 1.0
    r = digit.radii[0]
    patch = tube_path(base - toward * r * 0.9, base + toward * r * 0.25, r * 0.90, r * 0.97)
    ink.fill(patch, mix(colour, lighten(colour, 0.2), 0.25) if not ink.is_cartoon else colour, None, edge=False)
    ink.mark(tube_path(base - toward * r * 0.9, base - toward * r * 0.2, r * 0.90, r * 0.9), tree.add(f"{path}/palm"))


def _draw_joints(ink: Ink, hand: HandShape, digit: Digit, colour: Colour) -> None:
    if digit.folded or ink.is_cartoon:
        return
    for joint, radius in zip(digit.joints[1:-1], digit.radii[1:-1], strict=True):
        axis = digit.joints[-1] - digit.joints[0]
        across = axis / abs(axis) * 1j * radius * 0.55
        bow = axis / abs(axis) * radius * (0.25 if hand.spec.view == "palm" else -0.25)
        ink.line((joint - across, joint + bow, joint + across), darken(colour, 0.24), 0.008 * hand.size)


def _draw_nail(ink: Ink, digit: Digit, colour: Colour, part: int) -> None:
    tip, before = digit.joints[-1], digit.joints[-2]
    axis = (tip - before) / (abs(tip - before) or 1.0)
    r = digit.radii[-1]
    centre = tip + axis * r * 0.15
    nail = oval_path(centre, r * 0.52, r * 0.72, cmath.phase(axis) + math.pi / 2)
    ink.fill(nail, mix(lighten(colour, 0.35), NAIL_PINK, 0.6), part, edge=False)
