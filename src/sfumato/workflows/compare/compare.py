"""One prompt by several methods, or with several models: same seed, size and steps, side by side.

Every picture is an ordinary render with its own request inside. By methods, native is drawn at the size of the base
that the others grow from, and enlarged only to be looked at. Start reading at `run_comparison`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from sfumato.canvas.formats.images import save_picture
from sfumato.canvas.workspace.disk_workspace import name_work
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, MultidiffusionMethod, RenderRequest
from sfumato.core.resampling import fit_box
from sfumato.models.describe import load_contract
from sfumato.models.load import load_model
from sfumato.models.upscaler.upscaler import Lanczos
from sfumato.render.layout import choose_base_size
from sfumato.render.methods.registry import METHODS, find_method
from sfumato.render.plan.choose_method import make_method
from sfumato.workflows.compare.page import describe_seconds, write_comparison
from sfumato.workflows.compare.sheet import SheetPicture, draw_sheet
from sfumato.workflows.prepare import check_folder, prepare
from sfumato.workflows.requests import RequestValues, choose_seed, make_request
from sfumato.workflows.run import run_all

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.workflows.job import OnEvent, Picture
    from sfumato.workflows.run_options import RunOptions

NAMES = tuple(sorted(name for name, row in METHODS.items() if row.offered))
SHEET, PAGE = "sheet.png", "compare.html"


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Hold a comparison: a picture for each method or model, one sheet of all, and the folder they were written to."""

    request: RenderRequest
    pictures: dict[str, Picture]
    sheet: Image.Image
    folder: Path | None = None

    @property
    def image(self) -> Image.Image:
        """Return the sheet."""
        return self.sheet

    def to_json(self) -> dict[str, object]:
        """Return the comparison as JSON values."""
        each = {name: one.to_json() for name, one in self.pictures.items()}
        if self.folder is None:
            return {"pictures": each}
        where = {"folder": str(self.folder), "sheet": str(self.folder / SHEET), "page": str(self.folder / PAGE)}
        return {**where, "pictures": each}


def run_comparison(
    values: RequestValues,
    options: RunOptions,
    *,
    methods: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    on_event: OnEvent | None = None,
) -> Comparison:
    """Render one prompt by each of `methods` (default: all), or with each of `models`.

    `options.out` is a folder for pictures, sheet and page; None keeps them in memory.

    Raises:
        RequestError: as `list_requests`; `resume` without the cohesive method.
        BudgetError: one does not fit; found out before anything is rendered.
        StorageError: the folder cannot be written.
    """
    requests = list_requests(values, methods=methods, models=models)
    check_resume(requests, resume=options.resume)
    if options.out is not None:
        check_folder(options.out)
    jobs = {name: prepare(one, _choose_options(options, name, one)) for name, one in requests.items()}
    loaded, reference = None, ""
    made: dict[str, Picture] = {}
    for name, job in jobs.items():
        if loaded is None or job.request.model != reference:
            loaded = load_model(
                job.request.model,
                vae=job.request.vae,
                prediction=job.request.prediction,
                device=options.device,
                dtype=options.dtype,
            )
            reference = job.request.model
        (made[name],) = run_all(job, model=loaded, on_event=on_event)
    size = max((one.size for one in requests.values()), key=lambda one: one.area)
    first = replace(next(iter(requests.values())), size=size)
    shown = _list_shown(made, size)
    sheet = draw_sheet(shown, first.prompt)
    comparison = Comparison(request=first, pictures=made, sheet=sheet, folder=options.out)
    if options.out is not None:
        save_picture(options.out / SHEET, sheet, {})
        write_comparison(options.out / PAGE, first, made, shown)
    return comparison


def list_requests(
    values: RequestValues, *, methods: Sequence[str] | None = None, models: Sequence[str] | None = None
) -> dict[str, RenderRequest]:
    """Return the request of each method or model; all have one seed.

    Raises:
        RequestError: both or fewer than two are named, one is unknown, or the size is what a model draws at once.
    """
    if models:
        if methods:
            raise RequestError("a comparison is of `methods` or of `models`", do="Leave one of them out.")
        _check_names(models, "models")
        seeded = replace(values, seed=choose_seed(values.seed))
        return {
            Path(model).stem: make_request(replace(seeded, model=model), load_contract(model, vae=values.vae))
            for model in models
        }
    names = tuple(methods or NAMES)
    _check_names(names, "methods")
    contract = load_contract(values.model or DEFAULTS.model, vae=values.vae)
    return list_methods(make_request(values, contract), names, contract)


def check_resume(requests: dict[str, RenderRequest], *, resume: bool) -> None:
    """Check that there is something to resume.

    Raises:
        RequestError: no method that is compared can be resumed.
    """
    if resume and not any(find_method(one.method).keeps_work for one in requests.values()):
        got = ", ".join(requests)
        raise RequestError("only the cohesive method can be resumed", got=got, do="Leave `resume` out.")


def find_work(folder: Path) -> Path:
    """Return where a comparison in a folder keeps the work that can be resumed."""
    return name_work(folder / f"{CohesiveMethod.kind}.png")


def _check_names(names: Sequence[str], setting: str) -> None:
    if len(names) < 2 or len(set(names)) < len(names):
        got = ", ".join(names)
        raise RequestError(f"a comparison takes two or more different `{setting}`", got=got, do="Name two of them.")


def list_methods(request: RenderRequest, names: Sequence[str], contract: ModelContract) -> dict[str, RenderRequest]:
    """Return the request of each method; native at the size of the base that the others grow from.

    Raises:
        RequestError: a name is unknown, or the size is what the model draws at once.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise RequestError("unknown method", got=", ".join(unknown), do=f"Use {', '.join(NAMES)}.")
    base = choose_base_size(request.size, contract)
    if base == request.size:
        do = f"Ask for a `size` beyond {contract.native}."
        raise RequestError("at native size all methods are the same", got=str(request.size), do=do)
    each = {name: replace(request, method=make_method(name, contract), batch=1) for name in names}
    return {name: replace(one, size=base) if METHODS[name].draws_whole else one for name, one in each.items()}


def _choose_options(options: RunOptions, name: str, request: RenderRequest) -> RunOptions:
    out = None if options.out is None else options.out / f"{name}.png"
    # Only the cohesive method leaves work that can be resumed; the others are drawn again.
    return replace(options, out=out, resume=options.resume and find_method(request.method).keeps_work)


def _list_shown(made: dict[str, Picture], size: PixelSize) -> list[SheetPicture]:
    calm = [name for name in made if name != MultidiffusionMethod.kind]
    return [
        SheetPicture(
            title=_title(name, one, size),
            picture=_enlarge(one.image.convert("RGB"), size),
            # Clutter differs most from everything: it would choose every crop, and hide how the others differ.
            chooses_crops=name in calm or len(calm) < 2,
        )
        for name, one in made.items()
    ]


def _title(name: str, picture: Picture, size: PixelSize) -> str:
    enlarged = "" if picture.plan.size == size else f" {picture.plan.size} enlarged"
    return f"{name}{enlarged}, {describe_seconds(picture)}"


def _enlarge(picture: Image.Image, size: PixelSize) -> Image.Image:
    """Return a picture at a size, enlarged as the others enlarge their base where it is smaller."""
    own = PixelSize(*picture.size)
    return picture if own == size else Lanczos().enlarge(picture, size, fit_box(own, size))
