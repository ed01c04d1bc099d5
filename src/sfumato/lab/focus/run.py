"""Measure focus on faces of mini's world: what drawings of the same scene say of them before, after, and at best.

Compares with (a) nothing, (b) every detection drawn anew at a fixed strength without a test, (c) the tile of a plain 2x.
The judge is `looks`: it draws, and shares no network, picture or limit with what focus decides by. Prints nothing. Start
reading at `run_evaluate_focus`; `rows` says what is counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.errors import RequestError
from sfumato.core.files import write_atomic
from sfumato.core.focus import FocusSettings
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.lab.focus.looks import draw_looks
from sfumato.lab.focus.rows import BEFORE, CLOSE_UP, FOCUS, PLAIN, TRUTH, UNTESTED, WAYS, FaceRecord, describe_records
from sfumato.lab.focus.sampling import (
    FIRST_NUMBER,
    TimedFace,
    compare_times,
    describe_times,
    save_time_sheets,
)
from sfumato.lab.focus.scenes import FocusScene, TrueFace, draw_close_up, draw_scene_of, draw_texture
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.render.passes.focus import run_focus
from sfumato.render.passes.focus_box import draw_part
from sfumato.render.passes.focus_outcome import FocusOutcome
from sfumato.render.passes.focus_part import FocusTarget, find_crop
from sfumato.workflows.focus.run import make_pass

OnProgress = Callable[[str, int, int], None]
Pixels = NDArray[np.uint8]
_Done = TypeVar("_Done")

MOST_SCENES, MOST_SEED = 5000, 1000
SEED_STEP = 10_000
# ADetailer's usual strength; drawn without a hold on the low band, as a plain img2img of the crop is.
UNTESTED_STRENGTH, UNTESTED_STAGE, PLAIN_STAGE = 0.4, 60_000, 60_001
# A face of a crop as focus draws it, in sides of its box; where nothing was found, as if it had been.
CONTEXT = 2.2
# Two boxes that share this of their union are one face.
SAME_FACE = 0.3
SHEET_PX, SHEET_ROWS = 112, 10


@dataclass(frozen=True, kw_only=True)
class FocusEvaluation:
    """Say how many scenes and texture tiles, which, with what model, and where sheets and records go.

    `levels` counts scenes on which focus while sampling is compared with focus afterwards.
    """

    scenes: int = 40
    tiles: int = 100
    seed: int = 1
    model: str = "mini"
    sheets: Path | None = None
    levels: int = 0

    def __post_init__(self) -> None:
        if not (
            0 <= self.levels <= MOST_SCENES
            and (0 if self.levels else 1) <= self.scenes <= MOST_SCENES
            and 0 <= self.tiles <= MOST_SCENES
            and 0 <= self.seed < MOST_SEED
        ):
            do = (
                f"Use 1 to {MOST_SCENES} scenes or levels, at most as many tiles, and a seed from 0 to {MOST_SEED - 1}."
            )
            got = (self.scenes, self.tiles, self.levels, self.seed)
            raise RequestError("an evaluation of this size or seed is not possible", got=got, do=do)

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        model = "" if self.model == "mini" else f" --model {self.model}"
        levels = f" --levels {self.levels}" if self.levels else ""
        return f"sfumato evaluate focus --n {self.scenes} --tiles {self.tiles} --seed {self.seed}{levels}{model}"


def run_evaluate_focus(wanted: FocusEvaluation, *, on_progress: OnProgress | None = None) -> Card:
    """Run focus on every scene and on texture tiles, and return the card.

    Raises:
        ModelError: the model is missing or broken.
        StorageError: a sheet cannot be written.
    """
    report = on_progress or (lambda _what, _done, _all: None)
    model = load_model(wanted.model, device="cpu")
    records, moved, began = list[FaceRecord](), 0, time.monotonic()
    for number in range(wanted.scenes):
        scene = draw_scene_of(wanted.seed * SEED_STEP + number, model)
        judged, outside = judge_scene(scene, model)
        records += judged
        moved += outside
        if wanted.sheets is not None and judged:
            save_focus_sheets(records, wanted.sheets)
        report("scenes", number + 1, wanted.scenes)
    took = time.monotonic() - began
    tried = changed = 0
    for number in range(wanted.tiles):
        outcomes, is_changed = focus_texture(*draw_texture(wanted.seed * SEED_STEP + number, model), model)
        tried, changed = tried + any(one.verdict != "left" for one in outcomes), changed + is_changed
        report("textures", number + 1, wanted.tiles)
    times = list[TimedFace]()
    if wanted.levels:
        first = wanted.seed * SEED_STEP + FIRST_NUMBER

        def tell(done: int, faces: Sequence[TimedFace]) -> None:
            if wanted.sheets is not None:
                save_time_sheets(faces, wanted.sheets)
            report("levels", done, wanted.levels)

        times = compare_times(model, first, wanted.levels, on_progress=tell)
    invented = measure_share(
        "texture tiles that changed: at most so many faces invented", changed, wanted.tiles, aim=0.0
    )
    rows = [
        *(describe_records(records) if wanted.scenes else []),
        *(describe_times(times) if times else []),
        Measurement(name="pixels changed outside the masks", value=moved, unit="px", n=wanted.scenes),
        measure_share("texture tiles where a part was tried", tried, wanted.tiles),
        replace(invented, aim_is="most"),
        Measurement(name="time of a scene, all ways", value=took / max(1, wanted.scenes), unit="s", n=wanted.scenes),
    ]
    notes = (
        "scenes are drawn at 192 to 640 px and decoded by the model's autoencoder: what a render of them looks like",
        "judged by drawings of the same scene with one word changed, without a network; focus itself decides by others",
        "close-up: the same face drawn at native size and decoded, then shrunk; what the autoencoder can show at best",
    )
    return Card(
        title=f"focus on small faces, {model.contract.name}",
        rows=tuple(rows),
        seed=wanted.seed,
        command=wanted.command,
        notes=notes,
    )


def judge_scene(scene: FocusScene, model: LatentModel) -> tuple[list[FaceRecord], int]:
    """Run focus on a scene; return its faces, found or not, and how many pixels changed outside every mask."""
    size = PixelSize(scene.decoded.shape[1], scene.decoded.shape[0])
    pixels, settings = MemoryPixels(size, scene.decoded), FocusSettings(words=("face",))
    request = RenderRequest(prompt=scene.caption, size=size, guidance=model.contract.guidance)
    work = make_pass(request, settings, model.contract)
    result = finish(run_focus(work, pixels, request, model, MemoryWorkspace()))
    after = result.pixels.read(size.box)
    touched = np.zeros(size.shape_hw, np.bool_)
    for outcome in result.outcomes:
        if outcome.frame is not None:
            touched[outcome.frame.slices_hw] = True
    targets = {
        part.box: part
        for level in range(work.levels)
        for part in work.find(pixels, level, ())
        if isinstance(part, FocusTarget)
    }
    records = list[FaceRecord]()
    for face in scene.faces:
        outcome = _find_outcome(face, result.outcomes)
        target = None if outcome is None else targets.get(outcome.box)
        box = face.box if outcome is None else outcome.box
        frame, _ = find_crop(box, CONTEXT, size, model.contract)
        before, untested = scene.decoded[frame.slices_hw], scene.decoded
        if target is not None:
            untested = draw_untested(target, scene.decoded, request, model)
        looks = draw_looks(scene, face, frame)
        crops = {
            BEFORE: before,
            PLAIN: draw_plain(box, scene.decoded, request, model)[frame.slices_hw],
            UNTESTED: untested[frame.slices_hw],
            FOCUS: after[frame.slices_hw],
            CLOSE_UP: draw_close_up(scene, frame, model),
            TRUTH: looks.truth,
        }
        judged = {way: looks.judge(crop) for way, crop in crops.items()}
        records.append(FaceRecord(face=face, outcome=outcome, words=looks.words, crops=crops, looks=judged))
    outside = int((after[~touched] != scene.decoded[~touched]).any(axis=-1).sum())
    return records, outside


def draw_untested(target: FocusTarget, picture: Pixels, request: RenderRequest, model: LatentModel) -> Pixels:
    """Draw a face anew at a fixed strength, and keep it whatever came out; return the picture."""
    size = PixelSize(picture.shape[1], picture.shape[0])
    frame, canvas = find_crop(target.box, target.context, size, model.contract)
    return _draw_over(picture, target, frame, canvas, request, model, stage=UNTESTED_STAGE)


def draw_plain(box: PixelBox, picture: Pixels, request: RenderRequest, model: LatentModel) -> Pixels:
    """Draw the tile of a plain 2x that holds a face: a native canvas over half of its side, told of the whole picture."""
    size, native = PixelSize(picture.shape[1], picture.shape[0]), model.contract.native
    width, height = (min(native.width // 2, size.width), min(native.height // 2, size.height))
    left = min(max(0, (box.left + box.right - width) // 2), size.width - width)
    top = min(max(0, (box.top + box.bottom - height) // 2), size.height - height)
    tile = PixelBox(left, top, left + width, top + height)
    target = FocusTarget(kind="tile", box=tile, core=tile, context=1.0, prompt=request.prompt)
    return _draw_over(picture, target, tile, native, request, model, stage=PLAIN_STAGE)


def _draw_over(
    picture: Pixels,
    target: FocusTarget,
    frame: PixelBox,
    canvas: PixelSize,
    request: RenderRequest,
    model: LatentModel,
    *,
    stage: int,
) -> Pixels:
    steps = draw_part(
        target,
        picture[frame.slices_hw].copy(),
        frame,
        canvas,
        request,
        model,
        strength=UNTESTED_STRENGTH,
        lock=0.0,
        noise_stage=stage,
        window_batch=1,
    )
    after = picture.copy()
    after[frame.slices_hw] = finish(steps).after
    return after


def focus_texture(texture: Pixels, caption: str, model: LatentModel) -> tuple[Sequence[FocusOutcome], bool]:
    """Run focus on a picture of nobody; return what became of its parts, and whether a pixel changed."""
    size = PixelSize(texture.shape[1], texture.shape[0])
    request = RenderRequest(prompt=caption, size=size, guidance=model.contract.guidance)
    work = make_pass(request, FocusSettings(), model.contract)
    result = finish(run_focus(work, MemoryPixels(size, texture), request, model, MemoryWorkspace()))
    return result.outcomes, bool((result.pixels.read(size.box) != texture).any())


def finish(steps: Generator[Any, None, _Done]) -> _Done:
    """Run a generator to its end and return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _find_outcome(face: TrueFace, outcomes: Sequence[FocusOutcome]) -> FocusOutcome | None:
    """Return what became of a face; None where it was not found."""

    def share(one: FocusOutcome) -> float:
        both = one.box.find_overlap(face.box)
        return 0.0 if both is None else both.area / (one.box.area + face.box.area - both.area)

    best = max((one for one in outcomes if one.kind == "face"), key=share, default=None)
    return best if best is not None and share(best) >= SAME_FACE else None


def save_focus_sheets(records: Sequence[FaceRecord], folder: Path) -> None:
    """Save sheets with a row for each face, a column for each way, and what was judged as JSON.

    Raises:
        StorageError: the folder cannot be written.
    """
    for number, start in enumerate(range(0, len(records), SHEET_ROWS), start=1):
        rows = [
            np.concatenate([_enlarge(one.crops[way]) for way in WAYS], axis=1)
            for one in records[start : start + SHEET_ROWS]
        ]
        save_picture(folder / f"focus-{number}.png", Image.fromarray(np.concatenate(rows)), {})
    listed: list[Mapping[str, object]] = [one.to_json() for one in records]
    text = json.dumps({"ways": WAYS, "faces": listed}, indent=1, ensure_ascii=False) + "\n"
    write_atomic(folder / "faces.json", lambda stream: stream.write(text.encode()))


def _enlarge(crop: Pixels) -> Pixels:
    picture = Image.fromarray(np.ascontiguousarray(crop))
    return np.asarray(picture.resize((SHEET_PX, SHEET_PX), Image.Resampling.BICUBIC))
