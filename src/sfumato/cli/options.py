"""The options that `render`, `plan` and `upscale` share, as one value, and how a command gets them.

A command is written as a function of one `RenderOptions`; `takes_options` gives it the signature
that typer reads. Every option is None when it was not given, so that `--from` can tell what to
override. Knows no request. Start reading at `RenderOptions`.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sfumato.cli.editing.options import EDITS, EditOptions
from sfumato.core.defaults import DEFAULTS

_PICTURE, _MODEL, _LARGE, _RUN = "The picture", "The model", "Beyond native size", "Running"


def _option(*names: str, words: str, panel: str, meta: str | None = None) -> Any:
    return typer.Option(*names, help=words, rich_help_panel=panel, metavar=meta, show_default=False)


@dataclass(frozen=True, kw_only=True)
class RenderOptions(EditOptions):
    """Hold what was typed; None (or an empty list) where nothing was."""

    prompt: Annotated[str | None, typer.Argument(help="What to draw.", metavar="PROMPT", show_default=False)] = None
    size: Annotated[
        str | None,
        _option("--size", words="Width x height in pixels; native size if left out.", panel=_PICTURE, meta="WxH"),
    ] = None
    seed: Annotated[
        str | None,
        _option(
            "--seed",
            words=f"Seed of the noise, or random (default {DEFAULTS.seed}; it is told).",
            panel=_PICTURE,
            meta="N",
        ),
    ] = None
    steps: Annotated[
        int | None,
        _option("--steps", words=f"Steps of the sampler (default {DEFAULTS.steps}).", panel=_PICTURE, meta="N"),
    ] = None
    negative: Annotated[str | None, _option("--negative", words="What not to draw.", panel=_PICTURE, meta="TEXT")] = (
        None
    )
    guidance: Annotated[
        float | None,
        _option(
            "--guidance",
            words="Classifier-free guidance; 1 turns it off (default: what suits the model, 7 for most, 4 for mini).",
            panel=_PICTURE,
            meta="X",
        ),
    ] = None
    guidance_rescale: Annotated[
        float | None,
        _option(
            "--guidance-rescale",
            words="Calm the contrast of strong guidance, 0 to 1 (default 0).",
            panel=_PICTURE,
            meta="X",
        ),
    ] = None
    sampler: Annotated[
        str | None,
        _option(
            "--sampler",
            words=f'Sampler, A1111 names too: "DPM++ 2M Karras" (default {DEFAULTS.sampler}).',
            panel=_PICTURE,
            meta="NAME",
        ),
    ] = None
    schedule: Annotated[
        str | None,
        _option(
            "--schedule",
            words=f"Spacing of the steps: karras, model, trailing ... (default {DEFAULTS.schedule}).",
            panel=_PICTURE,
            meta="NAME",
        ),
    ] = None
    batch: Annotated[
        int | None,
        _option(
            "--batch",
            words=f"Pictures to make; picture i uses seed + i (default {DEFAULTS.batch}).",
            panel=_PICTURE,
            meta="N",
        ),
    ] = None
    init: Annotated[
        Path | None, _option("--init", words="Start from this picture (img2img).", panel=_PICTURE, meta="IMG")
    ] = None
    strength: Annotated[
        float | None,
        _option(
            "--strength",
            words=f"How much of --init to change, 0 to 1 (default {DEFAULTS.strength}).",
            panel=_PICTURE,
            meta="X",
        ),
    ] = None
    mask: Annotated[
        Path | None,
        _option(
            "--mask",
            words="Change --init only where this is white, or erased where it has transparency; the rest stays as it is.",
            panel=_PICTURE,
            meta="IMG",
        ),
    ] = None
    model: Annotated[
        str | None,
        _option(
            "--model",
            words=f"mini, a diffusers folder, a .safetensors checkpoint, or its name in "
            f"SFUMATO_MODELS (default {DEFAULTS.model}).",
            panel=_MODEL,
            meta="REF",
        ),
    ] = None
    vae: Annotated[str | None, _option("--vae", words="Another autoencoder.", panel=_MODEL, meta="FILE")] = None
    prediction: Annotated[
        str | None,
        _option(
            "--prediction",
            words="What the model predicts, epsilon or v; where its files do not say.",
            panel=_MODEL,
            meta="NAME",
        ),
    ] = None
    lora: Annotated[
        list[str] | None,
        _option("--lora", words="LoRA file and weight; may be repeated.", panel=_MODEL, meta="FILE[:W]"),
    ] = None
    embedding: Annotated[
        list[str] | None,
        _option(
            "--embedding", words="Textual-inversion file, used by its name; may be repeated.", panel=_MODEL, meta="FILE"
        ),
    ] = None
    concept: Annotated[
        list[str] | None,
        _option(
            "--concept",
            words="Concept that the model was taught, drawn where the prompt says its trigger; may be repeated.",
            panel=_MODEL,
            meta="NAME[:W]",
        ),
    ] = None
    clip_skip: Annotated[
        int | None,
        _option(
            "--clip-skip", words="Layers of the text encoder to leave out, plus 1 (default 1).", panel=_MODEL, meta="N"
        ),
    ] = None
    method: Annotated[
        str | None,
        _option(
            "--method",
            words="native, gobig, multidiffusion or cohesive. Left out: native up to "
            f"{DEFAULTS.native_slack} times the model's native area, {DEFAULTS.large_method} beyond that.",
            panel=_LARGE,
            meta="NAME",
        ),
    ] = None
    upscaler: Annotated[
        str | None,
        _option(
            "--upscaler",
            words="gobig, cohesive: lanczos, or an ESRGAN-family .safetensors file (default lanczos).",
            panel=_LARGE,
            meta="FILE",
        ),
    ] = None
    upscale: Annotated[
        float | None,
        _option("--upscale", words="gobig: most enlargement of one round (default 2).", panel=_LARGE, meta="X"),
    ] = None
    slice_strength: Annotated[
        float | None,
        _option(
            "--slice-strength",
            words="gobig: how much of a slice is drawn anew, 0 to 1 (default 0.35, mini 0.2).",
            panel=_LARGE,
            meta="X",
        ),
    ] = None
    slice_steps: Annotated[
        int | None,
        _option("--slice-steps", words="gobig: steps that a slice's strength is a part of.", panel=_LARGE, meta="N"),
    ] = None
    window: Annotated[
        str | None,
        _option(
            "--window", words="multidiffusion: window in pixels; native size if left out.", panel=_LARGE, meta="WxH"
        ),
    ] = None
    overlap: Annotated[
        float | None,
        _option(
            "--overlap",
            words="Share of a slice or window that its neighbour covers too (gobig 0.25, multidiffusion 0.5, cohesive 0.35).",
            panel=_LARGE,
            meta="X",
        ),
    ] = None
    level_strength: Annotated[
        float | None,
        _option(
            "--level-strength",
            words="cohesive: how much of a level is drawn anew, 0 to 1 (default 0.35).",
            panel=_LARGE,
            meta="X",
        ),
    ] = None
    lock: Annotated[
        float | None,
        _option(
            "--lock",
            words="cohesive: hold of the low band on the level below, 0 to 1 (default 0.7).",
            panel=_LARGE,
            meta="X",
        ),
    ] = None
    detail: Annotated[
        float | None,
        _option(
            "--detail",
            words="cohesive: gain of fine detail for each octave that a level adds, 1 to 1.5 (default 1).",
            panel=_LARGE,
            meta="X",
        ),
    ] = None
    focus: Annotated[
        str | None,
        _option(
            "--focus",
            words="Draw small parts anew at native size, kept only if they fit: off, auto, or kinds like face,person "
            "(default off).",
            panel=_LARGE,
            meta="WORDS",
        ),
    ] = None
    focus_box: Annotated[
        list[str] | None,
        _option(
            "--focus-box",
            words="Draw this box of the picture anew, in pixels; may be repeated.",
            panel=_LARGE,
            meta="X,Y,W,H[:PROMPT]",
        ),
    ] = None
    focus_when: Annotated[
        str | None,
        _option(
            "--focus-when",
            words="Draw the parts of --focus after the render, while its levels are sampled, or both: after, while, both "
            "(default after).",
            panel=_LARGE,
            meta="WORD",
        ),
    ] = None
    anatomy: Annotated[
        str | None,
        _option(
            "--anatomy",
            words=f"Hands: off, check (say what is wrong), or repair what is surely wrong (default {DEFAULTS.anatomy}).",
            panel=_LARGE,
            meta="WORD",
        ),
    ] = None
    unrepaired: Annotated[
        str | None,
        _option(
            "--unrepaired",
            words="A picture in which a hand stays wrong: flag delivers it, withhold writes no file "
            f"(default {DEFAULTS.unrepaired}).",
            panel=_LARGE,
            meta="WORD",
        ),
    ] = None
    budget_gb: Annotated[
        float | None,
        _option(
            "--budget-gb", words="Memory it may use; what is free if left out. Exit 3 beyond it.", panel=_RUN, meta="X"
        ),
    ] = None
    device: Annotated[
        str | None, _option("--device", words="auto, cpu, cuda, cuda:N or mps.", panel=_RUN, meta="NAME")
    ] = None
    dtype: Annotated[
        str | None,
        _option("--dtype", words="Number type of the denoiser: auto, fp32, bf16, fp16.", panel=_RUN, meta="NAME"),
    ] = None
    source: Annotated[
        Path | None,
        _option(
            "--from",
            words="Repeat the request stored in a picture, or the A1111 parameters in it; other options change it. The "
            "pictures of --init and --mask are looked for where they were: their full paths are stored.",
            panel=_RUN,
            meta="FILE",
        ),
    ] = None
    out: Annotated[
        Path | None,
        _option(
            "--out",
            words="Where the picture goes: .png .jpg .webp .tif .dzi, or a folder (default out/, a new name each time).",
            panel=_RUN,
            meta="FILE",
        ),
    ] = None
    preview: Annotated[
        Path | None, _option("--preview", words="Keep a picture of the work in progress here.", panel=_RUN, meta="FILE")
    ] = None
    preview_every: Annotated[
        int | None,
        _option(
            "--preview-every",
            words=f"Steps between two previews (default {DEFAULTS.preview_every}).",
            panel=_RUN,
            meta="N",
        ),
    ] = None
    no_report: Annotated[
        bool,
        typer.Option(
            "--no-report", help="Write no HTML report beside the picture.", rich_help_panel=_RUN, show_default=False
        ),
    ] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a cohesive render that was stopped; the picture is the same to the byte.",
            rich_help_panel=_RUN,
            show_default=False,
        ),
    ] = False
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object last on stdout.", rich_help_panel=_RUN, show_default=False),
    ] = False


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions(RenderOptions):
    """Hold what was typed after `upscale`; what only a drawn base needs stays None."""

    pictures: Annotated[
        list[Path] | None,
        typer.Argument(help="The pictures to enlarge; of a folder, all in it.", metavar="IMG...", show_default=False),
    ] = None
    method: Annotated[
        str | None,
        _option(
            "--method",
            words="lanczos: resampling, nothing is drawn anew. esrgan: a network. cohesive: new detail by the model of "
            "--model. Left out: cohesive with --model, else esrgan where a part was fetched, else lanczos.",
            panel=_LARGE,
            meta="NAME",
        ),
    ] = None
    upscaler: Annotated[
        str | None,
        _option(
            "--upscaler",
            words="x4plus, x4plus-anime, x4compact, lanczos, or an ESRGAN-family file (left out: what suits the picture).",
            panel=_LARGE,
            meta="NAME|FILE",
        ),
    ] = None
    source: Annotated[
        Path | None,
        _option(
            "--from",
            words="Enlarge again as an enlarged picture's stored request says, in place of IMG.",
            panel=_RUN,
            meta="PICTURE",
        ),
    ] = None
    prompt: Annotated[
        str | None,
        _option("--prompt", words="What the picture shows; nothing if left out.", panel=_PICTURE, meta="TEXT"),
    ] = None
    size: Annotated[
        str | None,
        _option(
            "--size",
            words="Width x height in pixels, in place of --scale; the middle of another aspect is taken.",
            panel=_PICTURE,
            meta="WxH",
        ),
    ] = None
    scale: Annotated[
        float | None,
        _option(
            "--scale",
            words=f"How many times larger, in quarters (default {DEFAULTS.scale:g}); of any picture exactly that.",
            panel=_PICTURE,
            meta="X",
        ),
    ] = None
    keep: Annotated[
        float | None,
        _option(
            "--keep",
            words="How much stays of what the picture shows sharply, 0 to 1 (default 1; soft pictures are drawn anew).",
            panel=_LARGE,
            meta="X",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what it would do, like plan: stages, memory, disk, time. Exit 3 if over budget.",
            rich_help_panel=_RUN,
            show_default=False,
        ),
    ] = False


# What draws or holds a base, or belongs to other methods and commands.
UPSCALE_LACKS = frozenset(
    {"init", "strength", "mask", "upscale", "slice_strength", "slice_steps", "window", "anatomy", "unrepaired", *EDITS}
)


@dataclass(frozen=True, kw_only=True)
class CompareOptions(RenderOptions):
    """Hold what was typed after `compare`; every method keeps its own settings."""

    methods: Annotated[
        str | None,
        _option(
            "--methods",
            words="Two or more of cohesive, gobig, multidiffusion and native, with commas between (default all).",
            panel=_LARGE,
            meta="NAMES",
        ),
    ] = None
    models: Annotated[
        str | None,
        _option(
            "--models", words="Two or more models, with commas between, in place of methods.", panel=_MODEL, meta="REFS"
        ),
    ] = None
    out: Annotated[
        Path | None,
        _option(
            "--out", words="Folder for pictures, sheet and page (default out/, a new name).", panel=_RUN, meta="DIR"
        ),
    ] = None


# What starts from a picture, belongs to one method, or makes more than one picture of each.
COMPARE_LACKS = UPSCALE_LACKS.union(
    ("focus", "focus_box", "focus_when", "source", "method", "batch", "upscaler", "overlap", "level_strength", "lock")
).union(("detail", "preview", "preview_every", "no_report"))


def takes_options(
    kind: type[Any], *, without: frozenset[str] = frozenset()
) -> Callable[[Callable[[Any], object]], Callable[..., object]]:
    """Give a function of one dataclass value the signature of the dataclass, field by field, `without` some."""

    def wrap(command: Callable[[Any], object]) -> Callable[..., object]:
        def called(**given: object) -> object:
            return command(kind(**given))

        hints = typing.get_type_hints(kind, include_extras=True)
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        fields = [field for field in dataclasses.fields(kind) if field.name not in without]
        called.__annotations__ = {field.name: hints[field.name] for field in fields}
        called.__signature__ = inspect.Signature([_parameter(field, hints) for field in fields])  # pyright: ignore[reportFunctionMemberAccess]
        return called

    return wrap


def _parameter(field: dataclasses.Field[Any], hints: dict[str, Any]) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
    return inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name])
