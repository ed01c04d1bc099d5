"""Other ways to repair a hand beside ours, on the same drawn hands: planted faults, and their twins that are right.

| way | what it does |
| --- | --- |
| ours | `workflows.repair`: works on what the critic calls goof, and puts back what two judges accept |
| redraw every hand | as detailers do: the box of every hand is drawn anew at one strength, and always put back |
| template redraw | a right hand of the world is laid where the palm lies, then drawn over, and always put back |
| best of k | the box is drawn anew k times; the critic keeps the least faulty, the hand as it was among them |

The digits are read before and after by the reader of `evaluate mini`, which neither chooses nor accepts in any way. Its own
error stands first. Start reading at `judge_baselines`.

Source: the ways are those of ADetailer (github.com/Bing-su/adetailer) and of Qin et al. 2025, "HandCraft"; no code of them.
"""

from __future__ import annotations

import cmath
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.cards import Measurement, measure_share
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import REPAIR, AnatomySettings, HandBox, PictureMethod, PictureSource, RenderRequest
from sfumato.critic.anatomy.judge import judge_square
from sfumato.critic.anatomy.labels import PALM
from sfumato.critic.anatomy.parser import SHIPPED, Parser
from sfumato.critic.finders.drawn import DrawnFinder
from sfumato.critic.reader.reader import Reader, load_reader
from sfumato.lab.critic.close_ups import PICTURE_PX, draw_hand, find_hand_box, list_open_hands
from sfumato.lab.critic.judge_plans import HAND_PX, see_hand
from sfumato.models.latent_model import LatentModel
from sfumato.render.passes.focus_part import find_crop
from sfumato.render.passes.repair import REPAIR_STAGES, RepairOutcome
from sfumato.render.passes.repair_box import RepairStep, choose_context, draw_candidate
from sfumato.render.progress import RenderResult
from sfumato.workflows.focus.judge import measure_union
from sfumato.workflows.repair.copy_fingers import find_palm, find_up, list_fingers
from sfumato.workflows.repair.hand_masks import CELLS, SeenHand, erase, find_skin, place_cells
from sfumato.workflows.repair.run import mend_result
from sfumato.world.ink import Ink
from sfumato.world.people.draw_hand import draw_hand as draw_shape
from sfumato.world.people.hand import HandSpec, make_hand
from sfumato.world.stream import Sample
from sfumato.world.truth import PartTree

Picture = NDArray[np.uint8]
T = TypeVar("T")

BASELINE_SEEDS = 259_000_000
OURS, REDRAW, TEMPLATE, BEST = "ours", "redraw every hand", "template redraw", "best of k"
# The strength that detailers have by default; a template has to be drawn over more strongly; so have candidates to differ.
REDRAW_STRENGTH, TEMPLATE_STRENGTH, BEST_STRENGTH = 0.4, 0.6, 0.55
# A mask reaches so far beyond its box and fades so softly, px of a native picture of 512; two finds are one from here on.
MASK_GROWTH, MASK_FADE, SAME_THING = 4 / 512, 4 / 512, 0.3
# From the middle of the palm to the tip of the middle finger, and to the wrist, in lengths of the world's hand.
TIP_REACH, WRIST_REACH = 0.68, 0.27
WHOLE_HAND = 5


@dataclass(frozen=True, kw_only=True)
class RepairedHand:
    """Hold what a way did to one hand: wrong before and after as the reader says, by truth faulty or not, and its cost."""

    faulty: bool
    wrong_before: bool
    wrong_after: bool
    new_goof: bool
    seconds: float


def judge_baselines(
    model: LatentModel, parser: Parser, count: int, k: int, tell: Callable[[str, int, int], None]
) -> list[Measurement]:
    """Return for each way what it repaired, harmed and added, and its processor seconds a hand."""
    reader, done = load_reader(SHIPPED.parent / "reader"), dict[str, list[RepairedHand]]()
    errors = list[bool]()
    for number, (fault, seed) in enumerate(list_open_hands(BASELINE_SEEDS, count)):
        for planted in (fault, ""):
            sample = draw_hand(seed, planted)
            seen = see_hand(parser, sample.image, find_hand_box(sample))
            wrong = is_wrong(reader, sample.image)
            errors.append(wrong != bool(planted))
            for way in (OURS, REDRAW, TEMPLATE, BEST):
                tell(f"baselines, {way}", number, count)
                began = time.process_time()
                after = mend_by(way, model, parser, sample, seen, seed, k)
                seconds = time.process_time() - began
                done.setdefault(way, []).append(
                    RepairedHand(
                        faulty=bool(planted),
                        wrong_before=wrong,
                        wrong_after=is_wrong(reader, after),
                        new_goof=has_new_thing(sample.image, after),
                        seconds=seconds,
                    )
                )
    error = replace(measure_share("baselines: the reader is wrong before", sum(errors), len(errors)), aim_is="most")
    return [error, *(row for way, hands in done.items() for row in describe_way(way, hands))]


def describe_way(way: str, hands: Sequence[RepairedHand]) -> list[Measurement]:
    """Return the rows of one way. Hands that the reader misread before say nothing of what was done to them."""
    faulty = [one for one in hands if one.faulty and one.wrong_before]
    right = [one for one in hands if not one.faulty and not one.wrong_before]
    mended, harmed = [not one.wrong_after for one in faulty], [one.wrong_after for one in right]
    rows = [
        measure_share(f"{way}: repaired, of faulty hands", sum(mended), len(mended)),
        replace(measure_share(f"{way}: harm, of right hands", sum(harmed), len(harmed)), aim_is="most"),
        replace(
            measure_share(f"{way}: new things beside", sum(one.new_goof for one in hands), len(hands)), aim_is="most"
        ),
    ]
    low, high = np.percentile([one.seconds for one in hands], (2.5, 97.5))
    seconds = float(np.mean([one.seconds for one in hands]))
    name = f"{way}: processor time of a hand"
    return [*rows, Measurement(name=name, value=seconds, unit="s", n=len(hands), low=float(low), high=float(high))]


def mend_by(way: str, model: LatentModel, parser: Parser, sample: Sample, seen: SeenHand, seed: int, k: int) -> Picture:
    """Return a close-up, uint8 [h, w, 3], after a way worked on its hand."""
    if way == OURS:
        return repair_sample(model, sample, seed)[0]
    if way == REDRAW:
        return _draw(model, sample, seen, seed, _make_step(seen, seen.before, REDRAW_STRENGTH), 0)
    if way == TEMPLATE:
        return _draw(model, sample, seen, seed, _make_step(seen, lay_template(seen), TEMPLATE_STRENGTH), 0)
    step = _make_step(seen, seen.before, BEST_STRENGTH)
    tries = [sample.image, *(_draw(model, sample, seen, seed, step, number) for number in range(k))]
    box, square = seen.judged.box, seen.judged.square
    return min(tries, key=lambda one: judge_square(parser, MemoryPixels(HAND_PX, one), box, square).verdict.goof)


def repair_sample(model: LatentModel, sample: Sample, seed: int) -> tuple[NDArray[np.uint8], RepairOutcome]:
    """Repair the hand of a drawn picture; return the picture after, and what became of the hand."""
    size, box = PixelSize(PICTURE_PX, PICTURE_PX), find_hand_box(sample)
    hand = HandBox(left=box.left, top=box.top, width=box.width, height=box.height)
    request = RenderRequest(
        prompt=sample.caption,
        size=size,
        seed=seed,
        guidance=model.contract.guidance,
        source=PictureSource(path="hand", sha256="0" * 64, size=size),
        method=PictureMethod(),
        anatomy=AnatomySettings(mode=REPAIR, boxes=(hand,)),
    )
    result = RenderResult(shown=MemoryPixels(size, sample.image.copy()), base=None, trace=())
    steps = mend_result(result, request=request, model=model, space=MemoryWorkspace(), window_batch=1)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            mended, anatomy = end.value
            return mended.pixels.read(size.box), anatomy.outcomes[0]


def _make_step(seen: SeenHand, start: Picture, strength: float) -> RepairStep:
    """Return the step that frees the whole box of a hand."""
    side, box = max(start.shape[:2]), seen.judged.box
    grown = max(1, round(MASK_GROWTH * side))
    mask = np.zeros(start.shape[:2], np.float32)
    mask[PixelBox(box.left - grown, box.top - grown, box.right + grown, box.bottom + grown).clip(HAND_PX).slices_hw] = 1
    change = np.asarray(ndimage.gaussian_filter(mask, max(1.0, MASK_FADE * side)), np.float32)
    change[change < 0.02] = 0.0
    return RepairStep(change=change, start=start, strength=strength, words="draw the box anew")


def _draw(model: LatentModel, sample: Sample, seen: SeenHand, seed: int, step: RepairStep, number: int) -> Picture:
    """Draw the crop of a hand anew and put it back."""
    request = RenderRequest(prompt=sample.caption, size=HAND_PX, seed=seed, guidance=model.contract.guidance)
    context = choose_context(model.contract.native.width)
    frame, canvas = find_crop(seen.judged.box, context, HAND_PX, model.contract)
    rows, columns = frame.slices_hw
    part = replace(step, change=step.change[rows, columns], start=step.start[rows, columns])
    drawn = _drain(
        draw_candidate(
            part, sample.image[rows, columns], canvas, request, model, prompt=sample.caption,
            noise_stage=REPAIR_STAGES + number, window_batch=1,
        )
    )  # fmt: skip
    after = sample.image.copy()
    after[rows, columns] = drawn
    return after


def _drain(steps: Generator[object, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def lay_template(seen: SeenHand) -> Picture:
    """Return a close-up with an open right hand of the world where the parser sees the palm; as it was without a palm."""
    centre, fingers, parts = find_palm(seen), list_fingers(seen), seen.judged.maps.parts
    if centre is None or not fingers:
        return seen.before
    x, y = seen.judged.square.to_picture(np.array([[(centre[1] + 0.5) / CELLS, (centre[0] + 0.5) / CELLS]]))[0]
    cell_px, high = seen.judged.square.side / CELLS, seen.before.shape[0]
    reach = max(float(np.hypot(*(np.argwhere(one.cells) - centre).T).max()) for one in fingers)
    size, up = reach * cell_px / TIP_REACH / high, find_up(seen) + seen.judged.square.angle
    # In the picture y points down: up is -1j, turned clockwise.
    along = cmath.rect(1.0, up - math.pi / 2)
    single = [one.way for one in fingers if not one.is_thumb] or [0.0]
    clockwise = any(one.is_thumb and one.way > float(np.mean(single)) for one in fingers)
    spec = HandSpec(side="right" if clockwise else "left", view="palm", gesture="open")
    hand = make_hand(spec, complex(float(x), float(y)) / high - WRIST_REACH * size * along, along, size)
    flesh = place_cells(seen, parts[PALM] > 0.5)
    red, green, blue = (float(level) / 255 for level in np.median(seen.before[flesh], axis=0))
    ink = Ink(seen.before.shape[1], high, "photo", with_ids=True)
    draw_shape(ink, PartTree(), hand, (red, green, blue), "hand")
    digits = place_cells(seen, find_skin(seen)) & _box_of(seen)
    empty = erase(seen, digits, digits)
    return np.where((ink.part_ids() > 0)[..., None], ink.picture(), empty)


def _box_of(seen: SeenHand) -> NDArray[np.bool_]:
    mask = np.zeros(seen.before.shape[:2], np.bool_)
    mask[seen.judged.box.slices_hw] = True
    return mask


def is_wrong(reader: Reader, picture: Picture) -> bool:
    """Tell whether the reader sees another number of digits than five in a close-up."""
    px = reader.shape.picture_px
    small = np.asarray(Image.fromarray(picture).resize((px, px), Image.Resampling.LANCZOS))
    return reader.read(small[None]).word(0, "digits") != WHOLE_HAND


@lru_cache(maxsize=1)
def _open_finder() -> DrawnFinder:
    return DrawnFinder()


def has_new_thing(before: Picture, after: Picture) -> bool:
    """Tell whether a finder sees a hand, face or person after that it did not see before."""
    if np.array_equal(before, after):
        return False
    seen, found = (
        _open_finder().find(MemoryPixels(PixelSize(PICTURE_PX, PICTURE_PX), one.copy())) for one in (before, after)
    )
    return any(
        all(one.kind != other.kind or measure_union(one.box, other.box) < SAME_THING for other in seen) for one in found
    )
