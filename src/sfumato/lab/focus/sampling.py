"""Focus while a picture is sampled beside focus afterwards, alone and together, on levels that grow from drawn scenes.

What lies below the level is a drawing of half the size as the autoencoder shows it, so the truth of the level is known: the
same scene drawn at its size. Knows scenes and the judge by drawings. Start reading at `compare_times`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.cards import Measurement, bootstrap_interval, measure_share
from sfumato.core.files import write_atomic
from sfumato.core.focus import WHILE, FocusSettings
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.lab.focus.looks import FaceLook, draw_looks
from sfumato.lab.focus.rows import ATTRIBUTES, BEFORE, CLOSE_UP, FOCUS, FaceRecord
from sfumato.lab.focus.scenes import FocusScene, draw_close_up, draw_scene_of
from sfumato.lab.reader.autoencoder_round_trip import pass_autoencoder
from sfumato.render.cohesive.input_picture import SourcePicture
from sfumato.render.engine import run_plan
from sfumato.render.passes.focus import run_focus
from sfumato.render.passes.focus_part import find_crop
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import Inputs
from sfumato.workflows.focus.run import make_pass
from sfumato.workflows.focus.while_sampling import make_while_sampling

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import RenderResult

Pixels = NDArray[np.uint8]
# The ways that are compared, in the order of the sheet.
LEVEL, WINDOWS, AFTERWARDS, TOGETHER = "level alone", "while", "after", "both"
TIME_WAYS = (LEVEL, WINDOWS, AFTERWARDS, TOGETHER)
# Seeds of these scenes begin here in the seeds of an evaluation; larger scenes cost too much of the processor.
FIRST_NUMBER, MOST_HEIGHT_PX = 5000, 320
# A level of this enlargement grows from the drawing of half the size.
ENLARGEMENT = 2
_CONTEXT, _SHEET_PX, _SHEET_ROWS = 2.2, 112, 10


@dataclass(frozen=True, eq=False, kw_only=True)
class TimedFace:
    """Hold one face of a level: its crops and what was judged of them by way, and the seconds of each render."""

    head_px: int
    record: FaceRecord
    looks: Mapping[str, FaceLook]
    crops: Mapping[str, Pixels]
    seconds: Mapping[str, float]
    windows: int

    def to_json(self) -> dict[str, object]:
        """Return the record without its crops."""
        ways = {
            way: {"margins": {key: round(value, 3) for key, value in look.margins.items()}, "whole": look.is_whole}
            for way, look in self.looks.items()
        }
        harmed = {way: self.read_as(way).list_harmed(FOCUS) for way in TIME_WAYS[1:]}
        return {"head_px": self.head_px, "windows": self.windows, "ways": ways, "harmed": harmed}

    def read_as(self, way: str) -> FaceRecord:
        """Return the record in which `before` is the level alone, and `focus` a way."""
        looks = {**self.record.looks, BEFORE: self.looks[LEVEL], FOCUS: self.looks[way]}
        return replace(self.record, looks=looks)


def compare_times(
    model: LatentModel, seed: int, scenes: int, *, on_progress: Callable[[int, Sequence[TimedFace]], None] | None = None
) -> list[TimedFace]:
    """Grow so many drawn scenes by one level in every way, and judge their faces."""
    found, number, done = list[TimedFace](), seed, 0
    while done < scenes:
        scene = draw_scene_of(number, model)
        number += 1
        if scene.drawn.shape[0] > MOST_HEIGHT_PX or not scene.faces:
            continue
        found += _judge_scene(scene, model)
        done += 1
        if on_progress is not None:
            on_progress(done, found)
    return found


def _judge_scene(scene: FocusScene, model: LatentModel) -> list[TimedFace]:
    size = PixelSize(scene.drawn.shape[1], scene.drawn.shape[0])
    pictures, seconds, windows = dict[str, Pixels](), dict[str, float](), 0
    for way, focus in ((LEVEL, None), (WINDOWS, FocusSettings(words=("face", "head"), when=WHILE))):
        began = time.process_time()
        result = grow_level(scene, model, focus)
        pictures[way], seconds[way] = result.pixels.read(size.box), time.process_time() - began
        windows = len(result.focus)
    for way, below in ((AFTERWARDS, LEVEL), (TOGETHER, WINDOWS)):
        began = time.process_time()
        pictures[way] = _focus_after(scene, pictures[below], model)
        seconds[way] = seconds[below] + time.process_time() - began
    found = list[TimedFace]()
    for face in scene.faces:
        frame, _ = find_crop(face.box, _CONTEXT, size, model.contract)
        drawings = draw_looks(scene, face, frame)
        crops = {way: picture[frame.slices_hw] for way, picture in pictures.items()}
        close = draw_close_up(scene, frame, model)
        looks = {way: drawings.judge(crop) for way, crop in crops.items()}
        record = FaceRecord(
            face=face,
            outcome=None,
            words=drawings.words,
            crops={CLOSE_UP: close},
            looks={CLOSE_UP: drawings.judge(close)},
        )
        shown = {**crops, CLOSE_UP: close, "drawn": drawings.truth}
        found.append(
            TimedFace(head_px=face.head_px, record=record, looks=looks, crops=shown, seconds=seconds, windows=windows)
        )
    return found


def grow_level(scene: FocusScene, model: LatentModel, focus: FocusSettings | None) -> RenderResult:
    """Grow a drawing of half the size of a scene by one level."""
    size = PixelSize(scene.drawn.shape[1], scene.drawn.shape[0])
    small = PixelSize(size.width // ENLARGEMENT, size.height // ENLARGEMENT)
    drawing = Image.fromarray(scene.drawn).resize((small.width, small.height), Image.Resampling.BOX)
    below = pass_autoencoder(model, np.asarray(drawing)[None])[0]
    request = RenderRequest(
        prompt=scene.caption,
        size=size,
        guidance=model.contract.guidance,
        # Nothing of what lies below is kept as sharp: it stands for what a model drew.
        method=CohesiveMethod(keep=0.0, predict=False),
        source=PictureSource(path="drawn", sha256="0" * 64, size=small),
        focus=focus,
    )
    inputs = Inputs(source=SourcePicture(small, lambda: _walk(below)), focus=make_while_sampling(request, model))
    plan = plan_render(request, model.contract, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    return _finish(run_plan(plan, request, model, inputs, MemoryWorkspace()))


def _focus_after(scene: FocusScene, picture: Pixels, model: LatentModel) -> Pixels:
    size = PixelSize(picture.shape[1], picture.shape[0])
    request = RenderRequest(prompt=scene.caption, size=size, guidance=model.contract.guidance)
    work = make_pass(request, FocusSettings(words=("face", "head")), model.contract)
    done = _finish(run_focus(work, MemoryPixels(size, picture.copy()), request, model, MemoryWorkspace()))
    return done.pixels.read(size.box)


def _walk(picture: Pixels) -> Iterator[Pixels]:
    yield picture


def _finish(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def describe_times(faces: Sequence[TimedFace]) -> list[Measurement]:
    """Return the rows of the comparison: what is right by way, what came and went against the level alone, seconds."""
    rows = [measure_share("faces with a window", sum(one.windows > 0 for one in faces), len(faces))]
    for way in (*TIME_WAYS, CLOSE_UP):
        counts = [one.read_as(way if way != CLOSE_UP else LEVEL) for one in faces]
        name = CLOSE_UP if way == CLOSE_UP else FOCUS
        right, asked = (sum(record.count_right(name, ATTRIBUTES)[place] for record in counts) for place in (0, 1))
        rows.append(measure_share(f"sampling: hair, glasses, smile, age right, {way}", right, asked))
    for way in TIME_WAYS:
        whole = sum(one.looks[way].is_whole for one in faces)
        rows.append(measure_share(f"sampling: two eyes and a mouth, {way}", whole, len(faces)))
    for way in TIME_WAYS:
        own = sum(one.looks[way].is_own for one in faces)
        rows.append(measure_share(f"sampling: nearest to its own person, {way}", own, len(faces)))
    for way in TIME_WAYS[1:]:
        harmed = sum(bool(one.read_as(way).list_harmed(FOCUS)) for one in faces)
        rows.append(measure_share(f"sampling: right in the level, wrong, {way}", harmed, len(faces)))
    for way in TIME_WAYS:
        spent = [one.seconds[way] for one in faces]
        low, high = bootstrap_interval(spent)
        mean = float(np.mean(spent)) if spent else float("nan")
        rows.append(
            Measurement(name=f"sampling: processor time, {way}", value=mean, unit="s", n=len(spent), low=low, high=high)
        )
    return rows


def save_time_sheets(faces: Sequence[TimedFace], folder: Path) -> None:
    """Save sheets with a row for each face and a column for each way, close-up and drawing last; and what was judged.

    Raises:
        StorageError: the folder cannot be written.
    """
    for number, start in enumerate(range(0, len(faces), _SHEET_ROWS), start=1):
        rows = [
            np.concatenate(
                [
                    np.asarray(Image.fromarray(crop).resize((_SHEET_PX, _SHEET_PX), Image.Resampling.BICUBIC))
                    for crop in one.crops.values()
                ],
                axis=1,
            )
            for one in faces[start : start + _SHEET_ROWS]
        ]
        save_picture(folder / f"sampling-{number}.png", Image.fromarray(np.concatenate(rows)), {})
    listed = [one.to_json() for one in faces]
    write_atomic(folder / "sampling.json", lambda stream: stream.write(json.dumps(listed, indent=1).encode()))
