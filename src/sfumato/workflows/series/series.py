"""Draw a series: each picture of a grid, a prompt matrix, a file of prompts, or a folder of starting pictures.

One seed for all, so that only what varies differs; one model stays loaded while it is the same. Start reading at
`run_series`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.models.describe import load_contract
from sfumato.models.load import load_model
from sfumato.workflows.enlarge.enlarge import list_pictures
from sfumato.workflows.job import Job, OnEvent, Picture
from sfumato.workflows.prepare import check_folder, prepare
from sfumato.workflows.requests import choose_seed, make_request
from sfumato.workflows.run import run_all
from sfumato.workflows.run_options import RunOptions
from sfumato.workflows.series.axes import MOST_VARIANTS, GridAxis, Variant, list_matrix, list_prompts, list_variants
from sfumato.workflows.series.grid import draw_grid
from sfumato.workflows.values import RequestValues, make_values

SHEET = "sheet.png"
LONGEST_PROMPTS_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class SeriesPlan:
    """Say what varies: `axes` of a grid, a `matrix` of the prompt's bars, `prompts` a line each, or a folder of `inits`."""

    axes: tuple[GridAxis, ...] = ()
    matrix: bool = False
    prompts: str | None = None
    inits: Path | None = None

    def __post_init__(self) -> None:
        said = [bool(self.axes), self.matrix, self.prompts is not None, self.inits is not None]
        if sum(said) != 1:
            do = "Give `axis`, `matrix`, `prompts` or `init_folder`, one of them."
            raise RequestError("a series varies in one way", got=f"{sum(said)} ways", do=do)

    @property
    def columns(self) -> int | None:
        """Return how many pictures stand in a row of the sheet; None for about a square."""
        return len(self.axes[0].values) if self.axes else None


@dataclass(frozen=True, eq=False, kw_only=True)
class Series:
    """Hold the pictures of a series with what varies in each, and their sheet."""

    pictures: tuple[Picture, ...]
    variants: tuple[Variant, ...]
    sheet: Image.Image
    folder: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the series as JSON values."""
        rows = zip(self.pictures, self.variants, strict=True)
        return {
            "folder": None if self.folder is None else str(self.folder),
            "sheet": None if self.folder is None else str(self.folder / SHEET),
            "pictures": [{**one.to_json(), "labels": list(variant.labels)} for one, variant in rows],
        }


def run_series(
    values: RequestValues,
    plan: SeriesPlan,
    options: RunOptions,
    *,
    on_event: OnEvent | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Series:
    """Draw a series. `options.out` is a folder for pictures and sheet; None keeps them in memory.

    Raises:
        RequestError: as `list_series` and `make_request`, for any picture, before the first is drawn.
        BudgetError: one does not fit.
        InterruptedRender: stopped; finished pictures stay.
    """
    variants = list_series(values, plan)
    if options.out is not None:
        check_folder(options.out)
    jobs = [_prepare(variant, options, number) for number, variant in enumerate(variants)]
    loaded, key, done = None, None, list[Picture]()
    for job in jobs:
        request = job.request
        wanted = (request.model, request.vae, request.prediction)
        if loaded is None or wanted != key:
            loaded = None
            loaded = load_model(
                request.model,
                vae=request.vae,
                prediction=request.prediction,
                device=options.device,
                dtype=options.dtype,
            )
            key = wanted
        done += run_all(job, model=loaded, on_event=on_event, should_stop=should_stop)
    sheet = draw_series([one.image for one in done], variants, plan)
    if options.out is not None:
        save_picture(options.out / SHEET, sheet, {})
    return Series(pictures=tuple(done), variants=tuple(variants), sheet=sheet, folder=options.out)


def list_series(values: RequestValues, plan: SeriesPlan) -> list[Variant]:
    """Return the settings of each picture of a series; all have one seed, and one picture each.

    Raises:
        RequestError: too many pictures, or what varies is wrong.
    """
    if values.batch not in (None, 1):
        raise RequestError("`batch` has no effect in a series", got=values.batch, do="Vary `seed` instead.")
    settings = {one.name: found for one in fields(values) if (found := getattr(values, one.name)) is not None}
    settings["seed"] = choose_seed(values.seed)
    if plan.matrix:
        return list_matrix(settings)
    if plan.prompts is not None:
        return list_prompts(settings, plan.prompts)
    if plan.inits is not None:
        found = list_pictures([plan.inits])
        if len(found) > MOST_VARIANTS:
            raise RequestError("the folder has too many pictures", got=len(found), do=f"At most {MOST_VARIANTS}.")
        return [Variant(settings={**settings, "init": path}, labels=(path.stem,)) for path in found]
    return list_variants(settings, plan.axes)


def draw_series(pictures: Sequence[Image.Image], variants: Sequence[Variant], plan: SeriesPlan) -> Image.Image:
    """Return the sheet of a series: labels over columns and beside rows of a grid, else over each picture of one row."""
    columns = plan.columns
    if columns is None:
        labels = tuple(one.labels[0] for one in variants)
        return draw_grid(pictures, columns=len(pictures) if len(pictures) <= 8 else None, column_labels=labels[:8])
    rows = tuple(", ".join(one.labels[1:]) for one in variants[::columns]) if len(plan.axes) > 1 else ()
    heads = tuple(one.labels[0] for one in variants[:columns])
    return draw_grid(pictures, columns=columns, column_labels=heads, row_labels=rows)


def _prepare(variant: Variant, options: RunOptions, number: int) -> Job:
    values = make_values(dict(variant.settings))
    contract = load_contract(values.model or DEFAULTS.model, vae=values.vae, prediction=values.prediction)
    out = None if options.out is None else options.out / f"{number:03d}.png"
    return prepare(make_request(values, contract), replace(options, out=out))
