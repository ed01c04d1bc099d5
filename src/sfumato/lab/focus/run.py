"""Measure focus on faces of mini's world: what the reader reads of them before, after, and of the drawn truth.

Compares with (a) nothing and (b) every detection drawn anew at a fixed strength without a test. Prints nothing. Start
reading at `run_evaluate_focus`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.cards import Card, Measurement, bootstrap_interval, measure_share
from sfumato.core.errors import RequestError
from sfumato.core.focus import FocusSettings
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.critic.finders.drawn import DrawnFinder
from sfumato.lab.focus.scenes import FocusScene, TrueFace, draw_scene_of, draw_texture
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.render.passes.focus import FocusOutcome, run_focus
from sfumato.render.passes.focus_box import FocusTarget, draw_part, find_crop
from sfumato.workflows.focus.read_face import HEADS, FaceReader, Reading
from sfumato.workflows.focus.run import make_pass

OnProgress = Callable[[str, int, int], None]
Pixels = NDArray[np.uint8]
_Done = TypeVar("_Done")

MOST_SCENES, MOST_SEED = 5000, 1000
SEED_STEP = 10_000
# What stays of a person whatever the mood is; a smile that no prompt names is free.
LASTING = ("kind", "hair", "hair_style", "skin", "glasses", "beard")
# The ways that are compared, in the order of the sheet.
BEFORE, UNTESTED, FOCUS, TRUTH = "before", "without a test", "focus", "drawn truth"
WAYS = (BEFORE, UNTESTED, FOCUS, TRUTH)
# ADetailer's usual strength; drawn without a hold on the low band, as a plain img2img of the crop is.
UNTESTED_STRENGTH, UNTESTED_STAGE = 0.4, 60_000
# Two boxes that share this of their union are one face.
SAME_FACE = 0.3
SHEET_PX, SHEET_ROWS = 112, 12


@dataclass(frozen=True, kw_only=True)
class FocusEvaluation:
    """Say how many scenes, which, with what model, and where sheets go."""

    scenes: int = 40
    seed: int = 1
    model: str = "mini"
    sheets: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.scenes <= MOST_SCENES or not 0 <= self.seed < MOST_SEED:
            do = f"Use 1 to {MOST_SCENES} scenes and a seed from 0 to {MOST_SEED - 1}."
            raise RequestError(
                "an evaluation of this size or seed is not possible", got=(self.scenes, self.seed), do=do
            )

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        model = "" if self.model == "mini" else f" --model {self.model}"
        return f"sfumato evaluate focus --n {self.scenes} --seed {self.seed}{model}"


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """Hold one face: its truth, its outcome, its crop by way, and what was read of each."""

    face: TrueFace
    outcome: FocusOutcome
    crops: dict[str, Pixels]
    readings: dict[str, Reading]

    @property
    def side_px(self) -> int:
        """Return the longer side of the face as it was found."""
        return max(self.outcome.box.width, self.outcome.box.height)

    def count_right(self, way: str, heads: Sequence[str]) -> int:
        """Count the heads that a way has as in the truth."""
        words = self.face.list_words()
        return sum(self.readings[way].words[head] == words[head] for head in heads)

    def measure_distance(self, way: str) -> float:
        """Return how far the features of a way are from those of the drawn truth, as a share of their length."""
        truth = self.readings[TRUTH].features
        return float(np.linalg.norm(self.readings[way].features - truth) / np.linalg.norm(truth))

    def list_harmed(self) -> list[str]:
        """Return the lasting words that were right before and are wrong after."""
        words = self.face.list_words()
        before, after = self.readings[BEFORE].words, self.readings[FOCUS].words
        return [head for head in LASTING if before[head] == words[head] != after[head]]


def run_evaluate_focus(wanted: FocusEvaluation, *, on_progress: OnProgress | None = None) -> Card:
    """Run focus on every scene and as many texture tiles, and return the card.

    Raises:
        ModelError: the model is missing or broken.
        StorageError: a sheet cannot be written.
    """
    report = on_progress or (lambda _what, _done, _all: None)
    model = load_model(wanted.model, device="cpu")
    records, found, faces, moved, began = list[FaceRecord](), 0, 0, 0, time.monotonic()
    for number in range(wanted.scenes):
        scene = draw_scene_of(wanted.seed * SEED_STEP + number, model)
        made, outside = judge_scene(scene, model)
        records += made
        found, faces, moved = found + len(made), faces + len(scene.faces), moved + outside
        report("scenes", number + 1, wanted.scenes)
    took = time.monotonic() - began
    invented = 0
    for number in range(wanted.scenes):
        invented += count_invented(draw_texture(wanted.seed * SEED_STEP + number, model), model)
        report("textures", number + 1, wanted.scenes)
    if wanted.sheets is not None:
        save_focus_sheets(records, wanted.sheets)
    rows = [measure_share("faces that are found and taken or left", found, faces), *describe_records(records)]
    rows.append(Measurement(name="pixels changed outside the masks", value=moved, unit="px", n=wanted.scenes))
    rows.append(measure_share("texture tiles with an invented face", invented, wanted.scenes))
    rows.append(Measurement(name="time of a scene, all ways", value=took / wanted.scenes, unit="s", n=wanted.scenes))
    notes = (
        "scenes are drawn at 192 to 640 px and decoded by the model's autoencoder: what a render of them looks like",
        "read by the reader that also sits in the judge; the truth is drawn, and read at the same size",
        "nothing here looks for two eyes and a mouth: no part of mini's critic can yet",
    )
    return Card(
        title=f"focus on small faces, {model.contract.name}",
        rows=tuple(rows),
        seed=wanted.seed,
        command=wanted.command,
        notes=notes,
    )


def judge_scene(scene: FocusScene, model: LatentModel) -> tuple[list[FaceRecord], int]:
    """Run focus on a scene; return its faces that were found, and how many pixels changed outside every mask."""
    size = PixelSize(scene.decoded.shape[1], scene.decoded.shape[0])
    pixels, settings, reader = MemoryPixels(size, scene.decoded), FocusSettings(words=("face",)), FaceReader()
    request = RenderRequest(prompt=scene.caption, size=size, guidance=model.contract.guidance)
    work = make_pass(request, settings, model.contract)
    result = finish(run_focus(work, pixels, request, model, MemoryWorkspace()))
    after = result.pixels.read(size.box)
    touched, records = np.zeros(size.shape_hw, np.bool_), list[FaceRecord]()
    for outcome in result.outcomes:
        if outcome.frame is not None:
            touched[outcome.frame.slices_hw] = True
    targets = {
        part.box: part
        for level in range(work.levels)
        for part in work.find(pixels, level, ())
        if isinstance(part, FocusTarget)
    }
    for outcome in result.outcomes:
        face = _find_face(outcome.box, scene.faces)
        target = targets.get(outcome.box)
        if outcome.kind != "face" or face is None or target is None or outcome.frame is None:
            continue
        frame = outcome.frame
        crops = {
            BEFORE: scene.decoded[frame.slices_hw],
            UNTESTED: _draw_untested(target, scene.decoded, request, model),
            FOCUS: after[frame.slices_hw],
            TRUTH: scene.drawn[frame.slices_hw],
        }
        records.append(FaceRecord(face, outcome, crops, {way: reader.read(crop) for way, crop in crops.items()}))
    outside = int((after[~touched] != scene.decoded[~touched]).any(axis=-1).sum())
    return records, outside


def _draw_untested(target: FocusTarget, picture: Pixels, request: RenderRequest, model: LatentModel) -> Pixels:
    """Draw a face anew at a fixed strength, and keep it whatever came out."""
    size = PixelSize(picture.shape[1], picture.shape[0])
    frame, canvas = find_crop(target.box, target.context, size, model.contract)
    steps = draw_part(
        target,
        picture[frame.slices_hw].copy(),
        frame,
        canvas,
        request,
        model,
        strength=UNTESTED_STRENGTH,
        lock=0.0,
        noise_stage=UNTESTED_STAGE,
        window_batch=1,
    )
    return finish(steps).after


def count_invented(scene: FocusScene, model: LatentModel) -> bool:
    """Tell whether a picture of nobody holds a face after focus."""
    size = PixelSize(scene.decoded.shape[1], scene.decoded.shape[0])
    request = RenderRequest(prompt=scene.caption, size=size, guidance=model.contract.guidance)
    work = make_pass(request, FocusSettings(), model.contract)
    result = finish(run_focus(work, MemoryPixels(size, scene.decoded), request, model, MemoryWorkspace()))
    return any(one.kind == "face" for one in DrawnFinder().find(result.pixels))


def finish(steps: Generator[Any, None, _Done]) -> _Done:
    """Run a generator to its end and return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _find_face(box: PixelBox, faces: Sequence[TrueFace]) -> TrueFace | None:
    def share(face: TrueFace) -> float:
        both = box.find_overlap(face.box)
        return 0.0 if both is None else both.area / (box.area + face.box.area - both.area)

    best = max(faces, key=share, default=None)
    return best if best is not None and share(best) >= SAME_FACE else None


def describe_records(records: Sequence[FaceRecord]) -> list[Measurement]:
    """Return the rows on faces: what became of them, what is right by way, how far from the truth, what was harmed."""
    kept = [one for one in records if one.outcome.verdict == "kept"]
    tried = [one for one in records if one.outcome.verdict != "left"]
    rows = [measure_share("tried faces that are kept", len(kept), len(tried))]
    if tried:
        tries, seconds = (
            float(np.mean([getattr(one.outcome, name) for one in tried])) for name in ("tries", "seconds")
        )
        rows.append(Measurement(name="tries of a face", value=tries, unit="", n=len(tried)))
        rows.append(Measurement(name="time of a face", value=seconds, unit="s", n=len(tried)))
    for title, heads in (("all eight words", HEADS), ("six lasting words", LASTING)):
        for way in WAYS:
            values = [100.0 * one.count_right(way, heads) / len(heads) for one in records]
            rows.append(_measure_mean(f"{title} right, {way}", values, "%"))
    for low, high in ((0, 16), (16, 24), (24, 48)):
        chosen = [one for one in records if low <= one.side_px < high]
        for way in (BEFORE, UNTESTED, FOCUS):
            values = [one.measure_distance(way) for one in chosen]
            rows.append(_measure_mean(f"distance to the truth, {low} to {high} px, {way}", values, ""))
    harmed = [one for one in kept if one.list_harmed()]
    rows.append(measure_share("kept faces with a lasting word made wrong", len(harmed), len(kept)))
    right = sum(one.count_right(BEFORE, LASTING) for one in kept)
    rows.append(measure_share("lasting words made wrong", sum(len(one.list_harmed()) for one in kept), right))
    return rows


def _measure_mean(name: str, values: Sequence[float], unit: str) -> Measurement:
    low, high = bootstrap_interval(values)
    mean = float(np.mean(values)) if values else float("nan")
    return Measurement(name=name, value=mean, unit=unit, n=len(values), low=low, high=high)


def save_focus_sheets(records: Sequence[FaceRecord], folder: Path) -> None:
    """Save sheets with a row for each face: before, without a test, focus, drawn truth.

    Raises:
        StorageError: the folder cannot be written.
    """
    for number, start in enumerate(range(0, len(records), SHEET_ROWS), start=1):
        rows = [
            np.concatenate([_enlarge(one.crops[way]) for way in WAYS], axis=1)
            for one in records[start : start + SHEET_ROWS]
        ]
        save_picture(folder / f"focus-{number}.png", Image.fromarray(np.concatenate(rows)), {})


def _enlarge(crop: Pixels) -> Pixels:
    picture = Image.fromarray(np.ascontiguousarray(crop))
    return np.asarray(picture.resize((SHEET_PX, SHEET_PX), Image.Resampling.BICUBIC))
