"""The same prompt, seed, steps and base by several methods, side by side.

Every picture is an ordinary render with its own request inside; native is drawn at the size of the base the
others grow from and enlarged only to be looked at. Start reading at `compare`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from sfumato.canvas.formats.images import load_picture, save_picture
from sfumato.canvas.workspace.disk_workspace import name_work
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.core.resampling import fit_box
from sfumato.models.contract import ModelContract
from sfumato.models.describe import load_contract
from sfumato.models.load import load_model
from sfumato.models.upscaler.upscaler import Lanczos
from sfumato.render.layout import choose_base_size
from sfumato.render.methods.registry import METHODS
from sfumato.render.plan.choose_method import make_method
from sfumato.render.progress import Progress
from sfumato.render.stages import Plan
from sfumato.workflows.compare.page import describe_seconds, write_comparison
from sfumato.workflows.compare.sheet import Shown, draw_sheet
from sfumato.workflows.files.resume import check_work
from sfumato.workflows.forecast.plan_request import Wishes, plan_from_headers
from sfumato.workflows.generate import Generated, check_folder, generate

NAMES = tuple(sorted(name for name, row in METHODS.items() if row.offered))
SHEET, PAGE = "sheet.png", "compare.html"

OnProgress = Callable[[Progress, int], None]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Hold what a comparison left: the picture of each method, the sheet and the page."""

    folder: Path
    sheet: Path
    page: Path
    made: dict[str, Generated]

    def to_json(self) -> dict[str, object]:
        """Return the comparison as JSON values."""
        methods = {name: one.to_json() for name, one in self.made.items()}
        return {"folder": str(self.folder), "sheet": str(self.sheet), "page": str(self.page), "methods": methods}


def read_methods(text: str) -> tuple[str, ...]:
    """Read names with commas between them.

    Raises:
        RequestError: fewer than two, an unknown one, or one twice.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise RequestError("unknown method", got=", ".join(unknown), do=f"Use {', '.join(NAMES)}.")
    if len(names) < 2 or len(set(names)) < len(names):
        do = "Say --methods cohesive,native."
        raise RequestError("a comparison takes two or more different methods", got=text, do=do)
    return names


def list_requests(request: RenderRequest, names: tuple[str, ...], contract: ModelContract) -> dict[str, RenderRequest]:
    """Return what each method is asked for; native at the size of the base that the others grow from.

    Raises:
        RequestError: the size is not beyond what the model draws at once.
    """
    base = choose_base_size(request.size, contract)
    if base == request.size:
        do = f"Ask for a --size beyond {contract.native}."
        raise RequestError("at native size all methods are the same", got=str(request.size), do=do)
    asked = {name: replace(request, method=make_method(name, contract), batch=1) for name in names}
    return {name: replace(one, size=base) if METHODS[name].draws_whole else one for name, one in asked.items()}


def compare(
    request: RenderRequest, names: tuple[str, ...], wishes: Wishes, *, on_progress: OnProgress | None = None
) -> Compared:
    """Render a request by each method into the folder `wishes.out`, with one load of the model.

    The callback gets each progress and the place of the method.

    Raises:
        RequestError: as `list_requests`, or as `generate`; `wishes.resume` without the cohesive method.
        BudgetError: a method does not fit; found out before anything is rendered.
        StorageError: the folder cannot be written.
    """
    check_resume(names, resume=wishes.resume)
    folder, asked = wishes.out, list_requests(request, names, load_contract(request.model, vae=request.vae))
    check_folder(folder)
    each = {name: _wish(wishes, name) for name in names}
    plans: dict[str, Plan] = {}
    for name in names:
        check_work(each[name].out, asked[name], resume=each[name].resume)
        plans[name] = plan_from_headers(asked[name], each[name])
    model = load_model(request.model, vae=request.vae, device=wishes.device, dtype=wishes.dtype)
    made: dict[str, Generated] = {}
    for place, name in enumerate(names):
        hear = _bind(on_progress, place)
        (made[name],) = generate(asked[name], each[name], on_progress=hear, model=model, plan=plans[name])
    compared = Compared(folder=folder, sheet=folder / SHEET, page=folder / PAGE, made=made)
    _show(compared, request)
    return compared


def check_resume(names: tuple[str, ...], *, resume: bool) -> None:
    """Check that there is something to go on with.

    Raises:
        RequestError: no method that is compared can be resumed.
    """
    if resume and not any(METHODS[name].keeps_work for name in names):
        raise RequestError("only the cohesive method can be resumed", got=", ".join(names), do="Leave --resume out.")


def find_work(folder: Path) -> Path:
    """Return where a comparison in a folder keeps the work that can be gone on with."""
    return name_work(folder / f"{CohesiveMethod.kind}.png")


def _wish(wishes: Wishes, name: str) -> Wishes:
    # Only one of them leaves work that can be gone on with; the others are drawn again.
    return replace(wishes, out=wishes.out / f"{name}.png", resume=wishes.resume and METHODS[name].keeps_work)


def _show(compared: Compared, request: RenderRequest) -> None:
    shown = [
        Shown(title=_title(name, one, request.size), picture=_load(one.path, request.size))
        for name, one in compared.made.items()
    ]
    sheet = draw_sheet(shown, request.prompt)
    save_picture(compared.sheet, sheet, {})
    write_comparison(compared.page, request, compared.made, sheet)


def _title(name: str, made: Generated, size: PixelSize) -> str:
    enlarged = "" if made.plan.size == size else f" {made.plan.size} enlarged"
    return f"{name}{enlarged}, {describe_seconds(made)}"


def _load(path: Path, size: PixelSize) -> Image.Image:
    """Load a picture, enlarged as the others enlarge their base where it is smaller."""
    picture = load_picture(path).convert("RGB")
    own = PixelSize(*picture.size)
    return picture if own == size else Lanczos().enlarge(picture, size, fit_box(own, size))


def _bind(on_progress: OnProgress | None, place: int) -> OnProgress:
    def report(progress: Progress, _index: int) -> None:
        if on_progress is not None:
            on_progress(progress, place)

    return report
