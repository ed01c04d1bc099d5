"""Judge `mini` by a reader trained on the world: one card, the reader's own error first.

Joins prompts, model, reader and card; prints nothing. Start reading at `run_evaluate_mini`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sfumato.canvas.formats.images import save_picture
from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.errors import RequestError
from sfumato.critic.reader.questions import Word
from sfumato.critic.reader.reader import Reader, load_reader
from sfumato.lab.frechet import Cloud, make_cloud
from sfumato.lab.mini.caption_claims import find_claims
from sfumato.lab.mini.pictures import Sampling, make_pictures
from sfumato.lab.mini.prompts import PromptSet, draw_open_hands, draw_prompts
from sfumato.lab.mini.rows import (
    Cell,
    drop_claims,
    find_illegible,
    measure_claims,
    measure_distance,
    measure_psnr_rows,
    measure_reader,
    measure_sureness,
)
from sfumato.lab.reader.autoencoder_round_trip import pass_autoencoder
from sfumato.lab.reader.pictures import CALIBRATION_SEEDS, JUDGING_SEEDS, PICTURE_PX, Drawn, draw_mix
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model

COLUMNS = 8
GAP_PX = 4
# Pillow's built-in letters are about 6 px wide and 11 px high.
LETTER_PX, LINE_PX, LINES = 6, 11, 6


def save_sheets(
    folder: Path, prompts: Sequence[str], shots: Sequence[Word], rows: Mapping[str, NDArray[np.uint8]]
) -> tuple[Path, ...]:
    """Save a PNG per shot with its first eight prompts; `rows` maps a title to pictures [N, H, W, 3].

    Raises:
        StorageError: the folder cannot be written.
    """
    saved: list[Path] = []
    for shot in sorted({str(s) for s in shots}):
        picks = [i for i, s in enumerate(shots) if s == shot][:COLUMNS]
        sheet = draw_sheet([prompts[i] for i in picks], {title: pictures[picks] for title, pictures in rows.items()})
        path = folder / f"{shot}.png"
        save_picture(path, sheet, {})
        saved.append(path)
    return tuple(saved)


def draw_sheet(prompts: Sequence[str], rows: Mapping[str, NDArray[np.uint8]]) -> Image.Image:
    """Lay out rows of pictures under their titles, and the prompts below."""
    side = next(iter(rows.values())).shape[1]
    cell, band = side + GAP_PX, side + GAP_PX + LINE_PX
    sheet = Image.new("RGB", (cell * len(prompts), band * len(rows) + LINES * LINE_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (title, pictures) in enumerate(rows.items()):
        pen.text((2, number * band), title, fill="black")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (column * cell, number * band + LINE_PX))
    for column, prompt in enumerate(prompts):
        lines = textwrap.wrap(prompt, max(1, side // LETTER_PX))[:LINES]
        pen.multiline_text((column * cell + 2, band * len(rows)), "\n".join(lines), fill="black", spacing=0)
    return sheet


# 512 prompts put the interval of a 95 % share at two points and cost minutes on two cores.
PROMPTS = 512
STEP_COUNTS = (20, 50)
# Drawn pictures that the reader is judged on and that features are compared with.
REFERENCE_PICTURES = 2048
# What the reader gets wrong more often than this on drawn pictures, it may not judge on generated ones.
LEAST_LEGIBLE, FEWEST_CLAIMS = 0.90, 20
# Prompt seeds of two evaluation seeds lie 100,000 apart.
MOST_PROMPTS, MOST_SEED = 20_000, 40

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Say what to judge and how thoroughly; `sheets` gets PNGs to look at.

    `hands` open-hand prompts are asked beside the `prompts` of the mix.
    """

    model: str = "mini"
    reader: Path | None = None
    prompts: int = PROMPTS
    hands: int = 128
    reference: int = REFERENCE_PICTURES
    step_counts: tuple[int, ...] = STEP_COUNTS
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 1
    sheets: Path | None = None
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        numbers = (self.prompts, self.hands, self.reference)
        if not all(2 <= number <= MOST_PROMPTS for number in numbers) or not 0 <= self.seed < MOST_SEED:
            do = f"Use 2 to {MOST_PROMPTS} prompts and a seed from 0 to {MOST_SEED - 1}."
            raise RequestError("an evaluation of this size or seed is not possible", got=(*numbers, self.seed), do=do)

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        words = ["sfumato evaluate mini", f"--n {self.prompts}", f"--seed {self.seed}"]
        words += [f"--model {self.model}"] if self.model != "mini" else []
        return " ".join(words)


@dataclass(frozen=True, eq=False)
class _ReaderTools:
    """A reader with what it may judge, and the cloud of drawn pictures."""

    reader: Reader
    illegible: dict[Cell, float]
    cloud: Cloud
    seed: int


def run_evaluate_mini(
    wanted: Evaluation,
    *,
    model: LatentModel | None = None,
    reader: Reader | None = None,
    on_progress: OnProgress | None = None,
) -> Card:
    """Measure a model against the captions of held-out scenes and return the card.

    `on_progress` gets (what, done, all).

    Raises:
        ModelError: the model or the reader is missing or broken.
        RequestError: the model's native size is not what the reader reads.
    """
    report = on_progress or (lambda _what, _done, _all: None)
    reader = reader or load_reader(wanted.reader or find_reader())
    model = model or load_model(wanted.model, device=wanted.device, dtype=wanted.dtype)
    _check_size(model)
    drawn = draw_mix(JUDGING_SEEDS, wanted.reference)
    rows, judge = _judge_reader(wanted, reader, drawn)
    report("reader", 1, 1)
    prompts, hands = draw_prompts(wanted.prompts, seed=wanted.seed), draw_open_hands(wanted.hands, seed=wanted.seed)
    decoded = pass_autoencoder(model, prompts.drawn)
    rows += _judge_autoencoder(model, judge, (prompts, hands), decoded)
    report("autoencoder", 1, 1)
    floor = "distance of as many other drawn pictures: no model can be nearer"
    rows.append(_distance(judge, "FID, drawn against drawn (floor)", prompts.drawn, note=floor))
    rows.append(_distance(judge, "FID, drawn through the autoencoder", decoded))
    sheets = {"drawn": prompts.drawn}
    for steps in wanted.step_counts:
        pictures, found = _judge_steps(wanted, steps, model, judge, prompts=prompts, hands=hands, report=report)
        sheets[f"{steps} steps"] = pictures
        rows += found
    if wanted.sheets is not None:
        save_sheets(wanted.sheets, prompts.prompts, _shots(prompts.labels), sheets)
    return Card(
        title=f"{wanted.model} against the captions of held-out scenes",
        rows=tuple(rows),
        seed=wanted.seed,
        command=wanted.command,
        notes=_notes(wanted, model, judge),
    )


def find_reader() -> Path:
    """Return the folder of the reader that is shipped beside the embedded model."""
    return Path(str(resources.files("sfumato"))) / "data" / "mini" / "reader"


def _check_size(model: LatentModel) -> None:
    native = model.contract.native
    if (native.width, native.height) != (PICTURE_PX, PICTURE_PX):
        raise RequestError(f"the reader judges models of {PICTURE_PX}x{PICTURE_PX} px", got=str(native))


def _judge_reader(wanted: Evaluation, reader: Reader, drawn: Drawn) -> tuple[list[Measurement], _ReaderTools]:
    vocabulary = reader.vocabulary
    answers = np.stack([vocabulary.encode(labels) for labels in drawn.labels])
    readings = reader.read(drawn.pictures)
    hands = draw_mix(JUDGING_SEEDS + MOST_PROMPTS, wanted.hands, shot="hand")
    faulty = draw_mix(JUDGING_SEEDS + 2 * MOST_PROMPTS, wanted.hands, faults=True)
    rows: list[Measurement] = []
    for what, some in ((", right close-up hands", hands), (", hands with a planted fault", faulty)):
        known = np.stack([vocabulary.encode(labels) for labels in some.labels])
        rows += measure_reader(reader.read(some.pictures), known, ("digits",), what=what)
    rows += measure_reader(readings, answers, [name for name in vocabulary.names if name != "digits"])
    rows.append(measure_sureness(readings, answers))
    cells = _find_illegible(reader, max(2, wanted.reference // 2))
    return rows, _ReaderTools(reader, cells, make_cloud(readings.features), wanted.seed)


def _find_illegible(reader: Reader, count: int) -> dict[Cell, float]:
    """Look at the calibration pictures, so that the choice of what to judge cannot flatter the judged ones."""
    drawn = draw_mix(CALIBRATION_SEEDS + MOST_PROMPTS, count)
    claims = [find_claims(s.captions[0], labels) for s, labels in zip(drawn.samples, drawn.labels, strict=True)]
    readings = reader.read(drawn.pictures)
    return find_illegible(readings, claims, _shots(drawn.labels), least=LEAST_LEGIBLE, few=FEWEST_CLAIMS)


def _judge_autoencoder(
    model: LatentModel, judge: _ReaderTools, asked: tuple[PromptSet, PromptSet], decoded: NDArray[np.uint8]
) -> list[Measurement]:
    prompts, hands = asked
    error = np.square(decoded.astype(np.float64) - prompts.drawn).mean(axis=(1, 2, 3)).clip(min=1e-6)
    rows = measure_psnr_rows(10 * np.log10(255.0**2 / error), _shots(prompts.labels))
    rows += _claims(judge, "ceiling, drawn through the autoencoder", decoded, prompts, aims=False)
    rows.append(_digits(judge, "ceiling, drawn through the autoencoder", pass_autoencoder(model, hands.drawn), hands))
    return rows


def _judge_steps(
    wanted: Evaluation,
    steps: int,
    model: LatentModel,
    judge: _ReaderTools,
    *,
    prompts: PromptSet,
    hands: PromptSet,
    report: OnProgress,
) -> tuple[NDArray[np.uint8], list[Measurement]]:
    name = f"{steps} steps"
    how = replace(wanted.sampling, steps=steps, seed=wanted.seed)
    pictures = make_pictures(model, prompts.prompts, how, on_done=lambda done, of: report(name, done, of))
    shown = make_pictures(model, hands.prompts, how, on_done=lambda done, of: report(f"{name}, hands", done, of))
    rows = _claims(judge, name, pictures, prompts)
    rows.append(_digits(judge, name, shown, hands))
    rows.append(_distance(judge, f"{name}: FID on the reader's features", pictures))
    return pictures, rows


def _claims(
    judge: _ReaderTools, name: str, pictures: NDArray[np.uint8], asked: PromptSet, *, aims: bool = True
) -> list[Measurement]:
    kept = drop_claims(asked.claims, _shots(asked.labels), judge.illegible)
    return measure_claims(name, judge.reader.read(pictures), kept, aims=aims)


def _digits(judge: _ReaderTools, name: str, pictures: NDArray[np.uint8], hands: PromptSet) -> Measurement:
    readings = judge.reader.read(pictures)
    hits = sum(readings.word(i, "digits") == claimed["digits"] for i, claimed in enumerate(hands.claims))
    return measure_share(f"{name}: digits right on open-hand prompts", hits, len(hands))


def _distance(judge: _ReaderTools, name: str, pictures: NDArray[np.uint8], *, note: str = "") -> Measurement:
    return measure_distance(name, judge.reader.read(pictures).features, judge.cloud, seed=judge.seed, note=note)


def _shots(labels: Sequence[dict[str, str | int]]) -> list[str | int]:
    return [each["shot"] for each in labels]


def _notes(wanted: Evaluation, model: LatentModel, judge: _ReaderTools) -> tuple[str, ...]:
    how, width = wanted.sampling, judge.reader.shape.feature_width
    notes = [
        f"sampler {how.sampler}, schedule {how.schedule}, guidance {how.find_guidance(model.contract):g}",
        f"denoiser in {str(model.dtype).removeprefix('torch.')}",
        "a claim is counted only where the caption states it; the reader's own error bounds what any row can say",
        f"FID is on this reader's {width} features against {wanted.reference} drawn pictures: compare only within this card",
    ]
    unread = [
        f"{head} in {shot} ({100 * share:.0f} %)" for (head, shot), share in sorted(judge.illegible.items(), key=str)
    ]
    if unread:
        notes.append(
            f"not judged, because the reader is below {100 * LEAST_LEGIBLE:.0f} % on drawn pictures: "
            + ", ".join(unread)
        )
    return tuple(notes)
