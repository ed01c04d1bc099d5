"""Close-ups of open drawn hands, each with one planted fault and its twin without: what repairs are judged on.

Knows the drawn world alone. Start reading at `list_open_hands`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.world.stream import Sample, Wish, make_sample

FAULTS = ("extra_digit", "missing_digit", "fused_digits", "split_digit")
OPEN = ("open", "five", "relaxed")
AMOUNT, PICTURE_PX = 0.9, 192


def list_open_hands(first: int, count: int) -> Iterator[tuple[str, int]]:
    """Yield so many faults and seeds of open hands in close-up, the faults in turn."""
    seed = first
    for number in range(count):
        fault = FAULTS[number % len(FAULTS)]
        while True:
            seed += 1
            sample = make_sample(seed, size=32, wish=_wish(fault))
            spec = sample.scene.hands[0].spec
            is_open = sample.labels.get("gesture") in OPEN and spec.view != "side"
            if sample.faults and is_open and sample.scene.hands[0].exception is None:
                break
        yield fault, seed


def _wish(fault: str) -> Wish:
    return Wish(shot="hand", style="photo", fault=fault, amount=AMOUNT, with_truth=True)


def draw_hand(seed: int, fault: str) -> Sample:
    """Draw a hand in close-up, with a fault or ("") without."""
    return make_sample(seed, size=PICTURE_PX, wish=_wish(fault))


def find_hand_box(sample: Sample) -> PixelBox:
    """Return the box of the hand in px, as drawn."""
    assert sample.truth is not None, "the truth was asked for"
    box = sample.truth.box("hand1")
    assert box is not None, "a close-up shows its hand"
    return PixelBox(*box).clip(PixelSize(PICTURE_PX, PICTURE_PX))
