"""Sfumato from Python: what `import sfumato` gives.

Every function takes the defaults of the command line (`core.defaults`) and returns values; no file is written unless
`out` is named. Servers use `prepare`, `run` and `deliver` directly. Start reading at `load`, then `Model.render`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sfumato.core.defaults import DEFAULTS, Defaults
from sfumato.core.errors import (
    BudgetError,
    InterruptedRender,
    ModelError,
    RequestError,
    SfumatoError,
    StorageError,
    UnsafeFileError,
)
from sfumato.core.focus import FocusBox
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import ConceptRef, HandBox, LoraRef, RenderRequest
from sfumato.core.request_parts.arithmetic import Arithmetic
from sfumato.models.contract import ModelContract
from sfumato.models.describe import load_contract
from sfumato.models.files.library import Kind as WeightsKind
from sfumato.models.files.library import find_model_file
from sfumato.models.load import load_model
from sfumato.nn.samplers import list_samplers, make_sampler
from sfumato.nn.schedules import list_schedules
from sfumato.workflows.check.check import CheckedPicture, check_picture
from sfumato.workflows.checkpoints import list_models
from sfumato.workflows.compare.compare import Comparison, run_comparison
from sfumato.workflows.deliver import deliver
from sfumato.workflows.edit.sources import store_picture
from sfumato.workflows.enlarge.enlarge import EnlargedPicture, check_method, enlarge, read_size_of
from sfumato.workflows.find.find import find_things
from sfumato.workflows.job import (
    Event,
    Job,
    OnEvent,
    Picture,
    PictureEvent,
    PlanEvent,
    ProgressEvent,
    WarningEvent,
)
from sfumato.workflows.prepare import find_unknown_words, list_words, prepare
from sfumato.workflows.requests import (
    choose_upscale_size,
    make_focus_request,
    make_repair_request,
    make_request,
    make_upscale_request,
)
from sfumato.workflows.run import run, run_all
from sfumato.workflows.run_options import RunOptions
from sfumato.workflows.series.axes import GridAxis
from sfumato.workflows.series.series import SeriesPlan, run_series
from sfumato.workflows.values import ControlUnit, PictureLike, RequestValues, SizeLike, make_values

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.stages import Plan

__all__ = [
    "DEFAULTS",
    "Arithmetic",
    "BudgetError",
    "CheckedPicture",
    "Comparison",
    "ConceptRef",
    "ControlUnit",
    "Defaults",
    "EnlargedPicture",
    "Event",
    "FocusBox",
    "Found",
    "GridAxis",
    "HandBox",
    "InterruptedRender",
    "Job",
    "LoraRef",
    "Model",
    "ModelError",
    "OnEvent",
    "Picture",
    "PictureEvent",
    "PixelBox",
    "PixelSize",
    "PlanEvent",
    "ProgressEvent",
    "RenderRequest",
    "RequestError",
    "RequestValues",
    "RunOptions",
    "SeriesPlan",
    "SfumatoError",
    "StorageError",
    "UnsafeFileError",
    "WarningEvent",
    "WeightsKind",
    "check",
    "compare",
    "deliver",
    "find",
    "find_model_file",
    "find_unknown_words",
    "focus",
    "list_models",
    "list_samplers",
    "list_schedules",
    "list_words",
    "load",
    "load_contract",
    "make_request",
    "make_sampler",
    "make_values",
    "plan",
    "prepare",
    "render",
    "repair",
    "run",
    "run_series",
    "upscale",
]

ShouldStop = Callable[[], bool]


class Model:
    """A loaded checkpoint that renders.

    Two threads may share one model: their renders take turns, because adapters are attached to its networks while a
    picture is drawn. Settings of one render never stay on the model. For renders at the same time, load it twice.
    """

    def __init__(self, latent_model: LatentModel, ref: str, *, vae: str | None, prediction: str | None) -> None:
        """Wrap a loaded model; use `load`."""
        self._latent_model, self._ref, self._vae, self._prediction = latent_model, ref, vae, prediction

    @property
    def contract(self) -> ModelContract:
        """Return what is known of the model: family, native size, defaults of its own."""
        return self._latent_model.contract

    @property
    def arithmetic(self) -> Arithmetic:
        """Return how the model computes: number type, attention, packing. Pictures store it."""
        return self._latent_model.policy.arithmetic

    @property
    def native_size(self) -> tuple[int, int]:
        """Return the size in px that the model draws at once."""
        return self.contract.native.width, self.contract.native.height

    def __repr__(self) -> str:
        """Show the checkpoint, its family and its native size."""
        return f"Model({self._ref!r}, family={self.contract.family!r}, native_size={self.native_size})"

    def render(
        self,
        prompt: str = "",
        *,
        size: SizeLike | None = None,
        seed: int | None = None,
        steps: int | None = None,
        negative: str | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        method: str | None = None,
        init: PictureLike | None = None,
        strength: float | None = None,
        mask: PictureLike | None = None,
        loras: Sequence[str | LoraRef] | None = None,
        embeddings: Sequence[str] | None = None,
        concept: str | Sequence[str] | None = None,
        request: RenderRequest | None = None,
        out: Path | str | None = None,
        report: bool = False,
        resume: bool = False,
        budget_gb: float | None = None,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Any,
    ) -> Picture:
        """Render one picture.

        `size` is (width, height) in px or "1024x576"; `seed` is random where it is left out, and told by
        `Picture.seed`. `init` and `mask` are files or PIL images. `concept` is a name or folder, "NAME:WEIGHT" too, or
        several; a prompt without its trigger draws as the base does. `request` repeats a stored request; other settings
        change it. `settings` are further names of `RequestValues` (lock, detail, window ...). `out` is a file;
        without it the picture stays in memory. `on_event` gets every event; `should_stop` is asked between steps.

        Raises:
            RequestError: a setting is wrong or has no effect.
            BudgetError: it does not fit the memory; says the largest size that fits.
            InterruptedRender: `should_stop` said so.
            ModelError, StorageError, UnsafeFileError: as their names say.
        """
        values = make_values(
            {
                "prompt": prompt or None,
                "size": size,
                "seed": seed,
                "steps": steps,
                "negative": negative,
                "guidance": guidance,
                "sampler": sampler,
                "method": method,
                "init": init,
                "strength": strength,
                "mask": mask,
                "loras": tuple(loras) if loras else None,
                "embeddings": tuple(embeddings) if embeddings else None,
                "concepts": ((concept,) if isinstance(concept, str) else tuple(concept)) if concept else None,
                "model": self._ref,
                **settings,
            }
        )
        made = self._own(make_request(values, self.contract, stored=request))
        options = _make_options(out, report=report, resume=resume, budget_gb=budget_gb)
        (picture,) = self.run(replace(made, batch=1), options, on_event=on_event, should_stop=should_stop)
        return picture

    def upscale(
        self,
        image: PictureLike,
        *,
        scale: float | None = None,
        size: SizeLike | None = None,
        prompt: str | None = None,
        out: Path | str | None = None,
        report: bool = False,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Any,
    ) -> Picture:
        """Enlarge a picture by the cohesive method, which draws new detail in the style of this model.

        `scale` is a number of quarters (default 2); `size` takes its place. `prompt` says what the picture shows.

        Raises: as `render`.
        """
        values = make_values({"prompt": prompt, "size": size, "model": self._ref, **settings})
        made = self._own(make_upscale_request(values, image, self.contract, scale=scale))
        (picture,) = self.run(made, _make_options(out, report=report), on_event=on_event, should_stop=should_stop)
        return picture

    def focus(
        self,
        image: PictureLike,
        focus: str | None = None,
        *,
        boxes: Sequence[str | FocusBox] | None = None,
        prompt: str | None = None,
        request: RenderRequest | None = None,
        out: Path | str | None = None,
        report: bool = False,
        resume: bool = False,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Any,
    ) -> Picture:
        """Draw small parts of a picture anew at native size; what does not fit is dropped, the rest stays to the bit.

        `focus` is auto (the default without `boxes`) or kinds with commas between; `boxes` are "X,Y,W,H:PROMPT" in px.
        `prompt` says what the picture shows; `request` is the one that made it, for its words and steps. What became
        of each part is in `Picture.focus`.

        Raises: as `render`.
        """
        boxes = tuple(boxes) if boxes else None
        values = make_values({"prompt": prompt, "focus": focus, "focus_boxes": boxes, **settings})
        made = self._own(make_focus_request(values, image, self.contract, stored=request))
        options = _make_options(out, report=report, resume=resume)
        (picture,) = self.run(made, options, on_event=on_event, should_stop=should_stop)
        return picture

    def repair(
        self,
        image: PictureLike,
        *,
        boxes: Sequence[str | HandBox] | None = None,
        prompt: str | None = None,
        request: RenderRequest | None = None,
        out: Path | str | None = None,
        report: bool = False,
        resume: bool = False,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Any,
    ) -> Picture:
        """Draw hands that are surely wrong anew, each put back only if two judges agree; else no pixel changes.

        `boxes` are hands, "X,Y,W,H" or "X,Y,W,H:CAUSE" in px, instead of finding them. `prompt` says what the picture
        shows; `request` is the one that made it. What was seen and done is in `Picture.anatomy` and in the ledger.

        Raises: as `render`; ModelError too where `unrepaired` is withhold and a hand stays wrong.
        """
        values = make_values({"prompt": prompt, "hand_boxes": tuple(boxes) if boxes else None, **settings})
        made = self._own(make_repair_request(values, image, self.contract, stored=request))
        options = _make_options(out, report=report, resume=resume)
        (picture,) = self.run(made, options, on_event=on_event, should_stop=should_stop)
        return picture

    def plan(self, prompt: str = "", **settings: Any) -> Plan:
        """Return what `render` would do with the same settings: stages, memory, disk, seconds.

        Raises: as `render`, before anything is drawn.
        """
        values = make_values({"prompt": prompt or None, "model": self._ref, **settings})
        made = self._own(make_request(values, self.contract, needs_prompt=False))
        return prepare(made, RunOptions(), model=self._latent_model).plan

    def run(
        self,
        request: RenderRequest,
        options: RunOptions,
        *,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None = None,
    ) -> tuple[Picture, ...]:
        """Run a whole request, batches included, with explicit options.

        Raises: as `render`.
        """
        job = prepare(request, options, model=self._latent_model)
        return run_all(job, model=self._latent_model, on_event=on_event, should_stop=should_stop)

    def _own(self, request: RenderRequest) -> RenderRequest:
        return replace(request, model=self._ref, vae=self._vae, prediction=self._prediction)


def load(
    model: str | Path = DEFAULTS.model,
    *,
    vae: str | Path | None = None,
    prediction: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    arithmetic: Arithmetic | None = None,
) -> Model:
    """Open `mini`, a diffusers folder, or a single .safetensors checkpoint.

    `vae` replaces the autoencoder. `prediction` is "epsilon" or "v", where the files do not say it. `device` is auto,
    cpu, cuda, cuda:N or mps; `dtype` auto, fp32, bf16 or fp16; left out, they are as SFUMATO_DEVICE and SFUMATO_DTYPE
    say. `arithmetic` is that of a stored request, to repeat its bytes.

    Raises:
        UnsafeFileError: a file is refused before anything in it is used.
        ModelError: it is no checkpoint that can be opened.
    """
    latent_model = load_model(model, vae=vae, prediction=prediction, device=device, dtype=dtype, arithmetic=arithmetic)
    return Model(latent_model, str(model), vae=str(vae) if vae else None, prediction=prediction)


def render(
    prompt: str = "", *, model: str | Path = DEFAULTS.model, vae: str | Path | None = None, **settings: Any
) -> Picture:
    """Load a model and render one picture; takes every setting of `Model.render`. For several pictures use `load`.

    Raises: as `Model.render`.
    """
    stored = settings.get("request")
    arithmetic = stored.arithmetic if isinstance(stored, RenderRequest) else None
    return load(model, vae=vae, arithmetic=arithmetic).render(prompt, **settings)


def upscale(
    image: PictureLike,
    *,
    scale: float | None = None,
    size: SizeLike | None = None,
    upscaler: str | None = None,
    method: str | None = None,
    model: str | Path | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    **settings: Any,
) -> Picture | EnlargedPicture:
    """Enlarge a picture: by a model that is named, else by an upscaling network, else by Lanczos.

    `image` is a file or a PIL image, `scale` a number of quarters (default 2). `upscaler` is `x4plus`, `x4compact`,
    `lanczos` or a file; left out, the fetched part that suits the picture is used, and Lanczos where there is none.
    `method` is lanczos, esrgan or cohesive. With a `model` its cohesive method adds detail, see `Model.upscale`.

    Raises: as `Model.render`.
    """
    if model is not None:
        if method not in (None, "cohesive"):
            raise RequestError(f"`model` has no effect with {method}", do="Leave `method` out, or say cohesive.")
        more: dict[str, Any] = {} if upscaler is None else {"upscaler": upscaler}
        # A single picture in memory has nothing to resume.
        return load(model).upscale(image, scale=scale, size=size, out=out, **more, **settings)
    if method == "cohesive":
        raise RequestError("cohesive needs a `model` that knows what the picture shows", do="Name your checkpoint.")
    if settings:
        names = ", ".join(sorted(settings))
        raise RequestError("these settings need a model", got=names, do="Name a `model`, or leave them out.")
    check_method(method, upscaler)
    path = store_picture(image) if isinstance(image, Image.Image) else Path(image)
    target = choose_upscale_size(read_size_of(path), size, scale)
    place = None if out is None else Path(out)
    return enlarge(path, target, method=method, upscaler=upscaler, out=place, resume=resume)


def focus(image: PictureLike, focus: str | None = None, *, model: str | Path, **settings: Any) -> Picture:
    """Load a model and draw small parts of a picture anew; takes every setting of `Model.focus`.

    Raises: as `Model.render`.
    """
    return load(model).focus(image, focus, **settings)


def repair(image: PictureLike, *, model: str | Path, **settings: Any) -> Picture:
    """Load a model and draw hands that are surely wrong anew; takes every setting of `Model.repair`.

    Raises: as `Model.repair`.
    """
    return load(model).repair(image, **settings)


def plan(
    prompt: str = "", *, model: str | Path = DEFAULTS.model, budget_gb: float | None = None, **settings: Any
) -> Plan:
    """Return what a render would do and cost, from the headers of its model; no network is loaded.

    Raises: as `Model.render`, before anything is drawn.
    """
    values = make_values({"prompt": prompt or None, "model": str(model), **settings})
    request = make_request(values, load_contract(model, vae=values.vae), needs_prompt=False)
    return prepare(request, _make_options(None, budget_gb=budget_gb)).plan


def find(picture: PictureLike, *, kinds: Sequence[str] = (), by: str = "") -> list[Found]:
    """Find faces, eyes, mouths, hands and people in a picture; the surest first.

    `picture` is a file or a PIL image. `kinds` keeps only these kinds, `by` names one finder. Real pictures need parts,
    which `sfumato parts get` fetches; a finder whose parts are absent does not look.

    Raises:
        RequestError: no such picture, or no finder knows a kind.
        UnsafeFileError: the picture has too many pixels.
        ModelError: the parts of every finder are absent; says the command.
    """
    return list(find_things(picture, kinds=kinds, by=by).found)


def check(
    picture: PictureLike, *, prompt: str | None = None, boxes: Sequence[PixelBox] = (), by: str = ""
) -> CheckedPicture:
    """Say of each hand in a picture how many digits show, whether something is wrong, and how sure that is.

    `prompt` is what was asked for; left out, the one that the file stores. `boxes` are hands, in px, instead of finding
    them; `by` names one finder. A hand that nobody can count is `not-countable`; no hand is repaired.

    Raises:
        RequestError: no such picture, or a box outside of it.
        UnsafeFileError: the picture has too many pixels.
        ModelError: the parts of every finder of hands are absent; says the command.
    """
    return check_picture(picture, prompt=prompt, boxes=boxes, by=by)


def compare(
    prompt: str,
    *,
    methods: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    out: Path | str | None = None,
    on_event: OnEvent | None = None,
    **settings: Any,
) -> Comparison:
    """Render one prompt by several methods, or with several models: same seed, size and steps, and one sheet.

    Raises: as `Model.render`.
    """
    values = make_values({"prompt": prompt, **settings})
    options = RunOptions(out=None if out is None else Path(out))
    return run_comparison(values, options, methods=methods, models=models, on_event=on_event)


def _make_options(
    out: Path | str | None, *, report: bool = False, resume: bool = False, budget_gb: float | None = None
) -> RunOptions:
    return RunOptions(
        out=None if out is None else Path(out),
        report=report,
        resume=resume,
        budget_bytes=None if budget_gb is None else max(1, round(budget_gb * 1024**3)),
    )
