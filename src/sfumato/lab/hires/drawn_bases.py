"""The comparison where there is a truth: the base is drawn by the world, so what the result should show is known.

Eyes, brows and mouths that the base shows are looked for in the result, at their true places and against their true
pattern. Only methods that grow a base take part. Start reading at `compare_drawn_bases`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

from sfumato.core.cards import Card, Measurement, bootstrap_interval
from sfumato.core.geometry import PixelSize
from sfumato.critic.picture.checks import Evidence
from sfumato.critic.picture.colour import to_lab
from sfumato.lab.hires.measures import measure_octaves
from sfumato.lab.hires.methods import COHESIVE, DRAWN, LANCZOS, Studio, list_methods
from sfumato.lab.hires.prompts import ScenePrompt, draw_scene_of, list_prompts
from sfumato.lab.hires.rows import CONTRAST, SMALL_PARTS, make_mean_row, make_share_row, mean_ratio
from sfumato.lab.self_check.synthetic_defects import list_small_parts
from sfumato.render.layout import choose_base_size
from sfumato.world.stream import Wish, make_sample

# What grows a base, and the truth itself for the error of the measures.
METHODS = (DRAWN, LANCZOS, "gobig", COHESIVE)
# Around a part, in px of the result: what it stands out from.
RING_PX = 6
# A part is lost where less of its true pattern is left, as in the self-check.
LEAST_KEPT = 0.5
TRUE_PARTS, KEPT = "small parts lost, by the truth", "pattern of small parts that is left"


@dataclass(frozen=True, eq=False)
class DrawnBase:
    """Hold a drawn base, the same scene drawn at the size of the result, and the masks of its small parts."""

    base: Image.Image
    truth: NDArray[np.uint8]
    parts: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, eq=False)
class GrownBase:
    """Hold what one method made of a drawn base.

    `kept` is the share that is left of each small part, `parts` are [lost, all] by the blob detector, and `octaves`
    pairs the energies of the result and of the truth.
    """

    kept: tuple[float, ...]
    parts: tuple[int, int]
    contrast_db: float
    octaves: tuple[tuple[float, float], ...]


def compare_drawn_bases(
    studio: Studio, size: PixelSize, count: int, *, command: str, on_progress: Callable[[int], None] | None = None
) -> Card:
    """Grow `count` drawn bases by each method and return the card; pictures are kept in the folder of the studio.

    Cost: a render of gobig and one of cohesive for each base.
    """
    found: dict[str, list[GrownBase]] = {name: [] for name in METHODS}
    methods = list_methods(METHODS, studio.model)
    for place, prompt in enumerate(list_prompts(count, seed=studio.seed, aspect=size.width / size.height)):
        drawn = draw_base(prompt, size, choose_base_size(size, studio.model.contract))
        for name in METHODS:
            grown = Image.fromarray(drawn.truth)
            if name != DRAWN:
                record = studio.grow(name, methods[name], prompt, size, drawn.base)
                grown = studio.store.load(record["key"])
            found[name].append(measure_grown(drawn, grown))
        if on_progress is not None:
            on_progress(place + 1)
    rows = [row for name, some in found.items() for row in _describe(name, some)]
    order = list(dict.fromkeys(row.name.partition(": ")[2] for row in rows))
    rows.sort(key=lambda row: order.index(row.name.partition(": ")[2]))
    notes = (
        "the base is drawn, not rendered: nothing of it is a mistake of the model",
        "nobody asked where the model is sure, so cohesive may change every place",
    )
    title = f"drawn bases at {size}, {count} scenes"
    return Card(title=title, rows=tuple(rows), seed=studio.seed, command=command, notes=notes)


def draw_base(prompt: ScenePrompt, size: PixelSize, base: PixelSize) -> DrawnBase:
    """Draw the scene of a prompt at the size of the base and at that of the result, with its truth."""
    wish = Wish(shot=prompt.shot, aspect=size.width / size.height, with_truth=True)
    sample = make_sample(prompt.world_seed, size=size.height, wish=wish)
    return DrawnBase(Image.fromarray(draw_scene_of(prompt, base)), sample.image, list_small_parts(sample, base.height))


def measure_grown(drawn: DrawnBase, grown: Image.Image) -> GrownBase:
    """Measure what a method made of a drawn base."""
    seen = Evidence(grown, drawn.base)
    shown, truth = to_lab(np.asarray(grown.convert("RGB"))), to_lab(drawn.truth)
    kept = tuple(_measure_kept(shown, truth, part) for part in drawn.parts)
    scale = grown.width / drawn.base.width
    octaves = zip(measure_octaves(grown, scale), measure_octaves(Image.fromarray(drawn.truth), scale), strict=True)
    lost = seen.lost_parts
    return GrownBase(kept, (len(lost.parts), lost.of), seen.sharpness.contrast_db, tuple(octaves))


def _measure_kept(shown: NDArray[np.float32], truth: NDArray[np.float32], part: NDArray[np.bool_]) -> float:
    """Return how much of the true pattern of a part stands out from its ring: 1 is all of it."""
    ring = binary_dilation(part, iterations=RING_PX) & ~part
    ours, theirs = (lab[part] - lab[ring].mean(axis=0) for lab in (shown, truth))
    return float((ours * theirs).sum() / np.square(theirs).sum())


def _describe(name: str, some: Sequence[GrownBase]) -> list[Measurement]:
    lost = np.array([(sum(kept < LEAST_KEPT for kept in each.kept), len(each.kept)) for each in some], np.float64)
    pooled = np.array([kept for each in some for kept in each.kept])
    low, high = bootstrap_interval(pooled) if len(pooled) else (np.nan, np.nan)
    left = float(pooled.mean()) if len(pooled) else np.nan
    contrasts = np.array([each.contrast_db for each in some])
    rows = [
        make_share_row(f"{name}: {TRUE_PARTS}", lost),
        Measurement(name=f"{name}: {KEPT}", value=left, unit="", n=len(pooled), low=low, high=high),
        make_share_row(f"{name}: {SMALL_PARTS}", np.array([each.parts for each in some], np.float64)),
        make_mean_row(f"{name}: {CONTRAST}", contrasts[np.isfinite(contrasts)], unit="dB"),
    ]
    title = f"{name}: detail, octave {{}} above the base, over drawn"
    octaves = range(len(some[0].octaves))
    return [*rows, *(mean_ratio(title.format(1 + place), [each.octaves[place] for each in some]) for place in octaves)]
