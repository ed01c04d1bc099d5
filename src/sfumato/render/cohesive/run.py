"""The cohesive engine: a native picture grown level by level, every window of every step held to the whole.

A level enlarges the picture below and walks the end of the noise schedule on a canvas twice as large.
Windows only predict; predictions are fused and locked to the level below, and then the sampler takes one
step on the whole canvas. Every canvas lies in a workspace and passes by in bands. Start reading at
`run_cohesive`; a level is `level.Level`.

Sources: fused predictions, Barbero Jimenez 2023, Mixture of Diffusers; partial start, Meng et al. 2022, SDEdit.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.phrases import split_phrases
from sfumato.core.request import PictureSource
from sfumato.render.cohesive.certainty import measure_predictability
from sfumato.render.cohesive.change_map import ChangeMap
from sfumato.render.cohesive.input_picture import (
    choose_shown_size,
    drop_source,
    find_words,
    lay_out,
    open_source,
    shrink_source,
)
from sfumato.render.cohesive.kept_detail import KnownDetail, measure_sharpness
from sfumato.render.cohesive.level import Level, name_pixels
from sfumato.render.cohesive.reference import Below
from sfumato.render.cohesive.stages import find_phrased, settings_of
from sfumato.render.cohesive.update import find_margin
from sfumato.render.focus_windows.records import show_at
from sfumato.render.focus_windows.windows import FocusWindows
from sfumato.render.layout import show_whole
from sfumato.render.methods.native import run_latents
from sfumato.render.passes.focus_outcome import FocusOutcome
from sfumato.render.progress import RenderResult
from sfumato.render.sampling.base_journal import BaseNotes
from sfumato.render.sampling.phrase_maps import PhraseMaps, make_phrase_maps
from sfumato.render.sampling.pixels import to_picture, to_tensor

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray
    from torch import Tensor

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.resampling import FloatBox
    from sfumato.render.progress import Inputs, Progress, Stopwatch
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Plan, Stage

# The part of a workspace that holds a finished base.
BASE_PART = "base"
# The share of a level's strength that places get which nobody is sure of.
LEAST_CHANGE = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Base:
    """Hold the native picture, and for its cells where the phrases of the prompt are and how free they are, where known.

    Of a given picture it is what the target shows, shrunk to about native size; `sharp` says how much of its
    detail is kept, 0 to 1.
    """

    picture: Image.Image
    phrases: PhraseMaps | None = None
    change_map: Tensor | None = None
    sharp: float = 0.0


def run_cohesive(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Draw the base and grow it level by level, on from where the workspace says.

    A given picture takes the place of the base: it is laid out and looked at, and the first level grows from it.

    Raises:
        ModelError: a window or the sampler gave numbers that are no picture.
        StorageError: the disk refuses; what was noted can be resumed.
    """
    base, entry = load_base(work, plan.stages, space), _find_level_entry(space)
    if inputs.source is not None and (entry is None or _is_read_again(base, entry)):
        # Also where the base is known: what was laid out before a power cut may not be on the disk.
        lay_out(inputs.source, space)
    elif inputs.source is not None and not _is_beginning(entry):
        # What is noted lies behind what reads it.
        drop_source(space)
    if base is None:
        notes = BaseNotes(space, work.model.device)
        run = _run_base(work, plan.stages, inputs, notes, watch)
        base = yield from (run if inputs.source is None else _run_source(work, plan.stages, notes, watch))
        _save_base(space, base)
        space.note(Entry({"stage": 0, "phase": "done"}), durable=True)
    else:
        watch.go_on(plan.stages[0], plan.stages[0].ticks)
    watch.close(plan.stages[0])
    open_below = partial(_open_base, work, base, space)
    drawn = list[FocusOutcome]()
    for index, stage in enumerate(plan.stages[1:], start=1):
        part = find_part(plan.stages[0].canvas, stage)
        phrased = replace(work, phrases=replace(base.phrases, part=part) if base.phrases else None)
        change_map = _make_change_map(work, stage, part, base.change_map)
        known = find_known(work, base, plan.stages, index, space)
        windows = None
        if inputs.focus is not None:
            windows = FocusWindows(work=work, stage=stage, level=index, space=space, focus=inputs.focus)
        level = Level(
            work=phrased,
            stage=stage,
            index=index,
            space=space,
            base=base.picture,
            change_map=change_map,
            known=known,
            focus=windows,
        )
        if entry is None or not level.is_done(entry):
            yield from level.run(open_below, watch, entry)
            if known is not None:
                open_below().drop()
        else:
            watch.go_on(stage, stage.ticks)
        open_below = level.open_result
        if windows is not None:
            drawn += [show_at(one, stage.canvas, plan.stages[-1].canvas) for one in windows.find_outcomes()]
        watch.close(stage)
    return RenderResult(shown=open_below().pixels, base=base.picture, trace=watch.trace, focus=tuple(drawn))


def _find_level_entry(space: Workspace) -> Entry | None:
    """Return what a level noted; None where only the base is done, which lies in its own part."""
    entry = space.find_entry()
    return None if entry is None or entry.words["stage"] == 0 else entry


def _is_beginning(entry: Entry | None) -> bool:
    """Tell whether an entry was noted while the first level was being prepared from what it grows from."""
    return entry is not None and (entry.words["stage"], entry.words["phase"]) == (1, "prepare")


def _is_read_again(base: Base | None, entry: Entry) -> bool:
    """Tell whether the given picture is still to be read where an entry goes on: the first level keeps its detail."""
    if base is None or base.sharp == 0.0:
        return False
    return entry.words["stage"] == 1 and entry.words["phase"] != "done"


def find_known(work: Work, base: Base, stages: tuple[Stage, ...], index: int, space: Workspace) -> KnownDetail | None:
    """Return what a level keeps the detail of: what it grows from, if that began as a given picture that is sharp."""
    if base.sharp == 0.0:
        return None
    box = stages[index].taken
    if index == 1:
        return KnownDetail(share=base.sharp, open_below=lambda: _open_base(work, base, space).pixels, box=box)
    name, size = name_pixels(index - 1), stages[index - 1].canvas
    return KnownDetail(share=base.sharp, open_below=lambda: space.open_pixels(name, size), box=box)


def _run_base(
    work: Work, stages: tuple[Stage, ...], inputs: Inputs, notes: BaseNotes, watch: Stopwatch
) -> Generator[Progress, None, Base]:
    """Draw the base and find where the phrases of the prompt are in it; nowhere where a prompt changes or has parts."""
    base, text = stages[0], find_phrased(work.request)
    with ExitStack() as open_maps:
        maps = None
        if text is not None:
            whole, _ = work.prompts.at_step(0, base.steps, base.canvas)
            maps = open_maps.enter_context(work.model.watch_words(whole, base.canvas))
            notes.listen(maps)
        clean = yield from run_latents(work, base, inputs, watch, notes)
    pixels, phrases, change_map = work.model.decode(clean), None, None
    if maps is not None and text is not None:

        def read(word: str) -> Tensor:
            return maps.read(work.model.text.find_words(text.segments, word))

        phrases = make_phrase_maps(text.segments[0], read, find_part(base.canvas, stages[-1]))
    if settings_of(work.request).predict:
        change_map = measure_predictability(work, clean, pixels, phrases, notes.recall)
    return Base(picture=to_picture(pixels), phrases=phrases, change_map=change_map)


def _run_source(
    work: Work, stages: tuple[Stage, ...], notes: BaseNotes, watch: Stopwatch
) -> Generator[Progress, None, Base]:
    """Look at the given picture as a base is looked at: words, and what may be drawn anew."""
    native, target, text = stages[0].canvas, stages[-1].canvas, find_phrased(work.request)
    pixels, phrases, change_map = open_source(_source_size(work), notes.space), None, None
    small = to_tensor(shrink_source(pixels, target, native))
    clean = work.model.encode_image(small).to(work.model.device)
    if text is not None:
        spans, looked = text.segments[0], text
        masks = notes.recall("masks", lambda: find_words(work, clean, native, looked).masks)
        phrases = PhraseMaps(split_phrases(spans), masks)
    if settings_of(work.request).predict:
        change_map = measure_predictability(work, clean, small, phrases, notes.recall)
    picture = shrink_source(pixels, target, choose_shown_size(pixels.size, target, native))
    keep = settings_of(work.request).keep
    sharp = keep * measure_sharpness(pixels) if keep > 0.0 else 0.0
    yield watch.tick(stages[0], stages[0].ticks, lambda: picture)
    return Base(picture=picture, phrases=phrases, change_map=change_map, sharp=sharp)


def find_part(base: PixelSize, stage: Stage) -> FloatBox:
    """Return the share of the base that a stage shows: left, top, right, bottom from 0 to 1."""
    left, top, right, bottom = stage.shown or show_whole(base).shown
    return (left / base.width, top / base.height, right / base.width, bottom / base.height)


def _make_change_map(work: Work, stage: Stage, part: FloatBox, share: Tensor | None) -> ChangeMap | None:
    if share is None:
        return None
    cells = stage.canvas.to_latent(work.model.contract.factor)
    strength = settings_of(work.request).strength * (LEAST_CHANGE + (1.0 - LEAST_CHANGE) * share)
    return ChangeMap(
        first_steps=stage.steps - (stage.steps * strength).floor().clamp_min(1.0),
        share=share,
        part=part,
        canvas=cells,
        margin_cells=find_margin(stage.overlap_cells),
    )


def _open_base(work: Work, base: Base, space: Workspace) -> Below:
    """Return what the first level grows from: the base, or the given picture itself."""
    if isinstance(work.request.source, PictureSource):
        return Below(pixels=open_source(_source_size(work), space), drop=partial(drop_source, space))
    return Below(pixels=MemoryPixels(PixelSize(*base.picture.size), np.asarray(base.picture)))


def _save_base(space: Workspace, base: Base) -> None:
    arrays: dict[str, NDArray[np.generic]] = {"picture": np.asarray(base.picture), "sharp": np.array(base.sharp)}
    if base.phrases is not None:
        arrays["masks"] = base.phrases.masks.cpu().numpy()
    if base.change_map is not None:
        arrays["change_map"] = base.change_map.cpu().numpy()
    space.save_part(BASE_PART, arrays)


def load_base(work: Work, stages: tuple[Stage, ...], space: Workspace) -> Base | None:
    """Return the base that a workspace keeps, None where there is none yet."""
    arrays, text = space.load_part(BASE_PART), find_phrased(work.request)
    if arrays is None:
        return None
    phrases = None
    if "masks" in arrays and text is not None:
        part = find_part(stages[0].canvas, stages[-1])
        phrases = PhraseMaps(split_phrases(text.segments[0]), torch.from_numpy(arrays["masks"]), part)
    change_map = torch.from_numpy(arrays["change_map"]).to(work.model.device) if "change_map" in arrays else None
    sharp = float(arrays["sharp"])
    return Base(picture=Image.fromarray(arrays["picture"]), phrases=phrases, change_map=change_map, sharp=sharp)


def _source_size(work: Work) -> PixelSize:
    source = work.request.source
    assert isinstance(source, PictureSource), "only a given picture has a size of its own"
    return source.size
