"""`sfumato render`, `plan` and `upscale`: parse, plan or run, print.

Imports the workflows only when a command runs. Start reading at `render`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.cli.options import UPSCALE_LACKS, PlanOptions, RenderOptions, UpscaleOptions, takes_options
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.workflows.job import Event, Picture
    from sfumato.workflows.run_options import RunOptions

# Options of `upscale` that say something of a model's drawing.
_NEEDS_MODEL = (
    "prompt",
    "negative",
    "steps",
    "guidance",
    "sampler",
    "schedule",
    "seed",
    "keep",
    "lock",
    "detail",
    "vae",
    "concept",
)


@takes_options(RenderOptions)
def render(options: RenderOptions) -> None:
    """Render a prompt to a picture, with a report beside it.

    Without a checkpoint of your own it uses mini, a small model that draws people, hands, houses, animals and
    landscapes: "a photograph of a red house in a green meadow". docs/world.md lists what it knows.
    """
    from sfumato.cli.read_options import check_options, make_request, place_output

    check_options(options)
    request = make_request(options)
    request, run_options = place_output(options, request, request.prompt)
    run_request(request, run_options, as_json=options.json)


def run_request(request: RenderRequest, options: RunOptions, *, as_json: bool) -> None:
    """Render a request, and print every picture."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.plan_table import write_cost
    from sfumato.cli.progress import show_progress
    from sfumato.workflows.prepare import prepare

    # Refused, planned and found finished before the libraries of networks are imported, which takes seconds.
    job = prepare(request, options)
    line = None if as_json else write_cost(job.plan, options)
    if line is not None:
        sys.stderr.write(f"{line}\n")
    warnings = list[str](job.warnings)
    sys.stderr.writelines(escape_controls(f"warning: {said}") + "\n" for said in warnings)
    with show_progress(request.batch) as on_progress:
        from sfumato.workflows.run import run_all

        def hear(event: Event) -> None:
            if event.kind == "progress":
                on_progress(event)
            elif event.kind == "warning" and event.message not in warnings:
                warnings.append(event.message)

        done = run_all(job, on_event=hear)
    sys.stderr.writelines(escape_controls(f"warning: {said}") + "\n" for said in warnings[len(job.warnings) :])
    if as_json:
        pictures = [picture.to_json() for picture in done]
        print_json({**pictures[0], "pictures": pictures, "request": request.to_json(), "warnings": warnings})
        return
    for picture in done:
        sys.stdout.write(_describe(picture))


@takes_options(PlanOptions)
def plan(options: PlanOptions) -> None:
    """Say what render would do with the same options: stages, memory, disk, time. Exit 3 if over budget."""
    from sfumato.cli.read_options import check_options, make_request, place_output

    check_options(options)
    request = make_request(options)
    request, run_options = place_output(options, request, request.prompt)
    if options.probe:
        from sfumato.workflows.forecast.calibrate import run_probe

        run_probe(request.model, vae=request.vae, device=run_options.device, dtype=run_options.dtype)
    show_plan(request, run_options, as_json=options.json)


def show_plan(request: RenderRequest, options: RunOptions, *, as_json: bool) -> None:
    """Plan a request, and print the plan."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.plan_table import write_plan
    from sfumato.workflows.forecast.plan_request import plan_request

    made = plan_request(request, options)
    if as_json:
        print_json({**made.to_json(), "request": request.to_json()})
    else:
        sys.stdout.write(escape_controls(write_plan(made), keep="\n"))


@takes_options(UpscaleOptions, without=UPSCALE_LACKS)
def upscale(options: UpscaleOptions) -> None:
    """Enlarge pictures. Without --model nothing is drawn anew: Lanczos, or the network of --upscaler alone.

    With --model the cohesive method draws new detail as that model knows it, with a report beside the picture.
    --dry-run only says what it would do.
    """
    from sfumato.cli.read_options import check_options

    check_options(options)
    method = _choose_upscale(options)
    if len(options.pictures) > 1 and options.out is not None and options.out.suffix:
        raise RequestError("several pictures go to a folder", got=str(options.out), do="Give a folder as `out`.")
    for picture in options.pictures:
        if method == "cohesive":
            _upscale_cohesive(options, picture)
        else:
            _upscale_plain(options, picture)


def _choose_upscale(options: UpscaleOptions) -> str:
    method = options.method
    if method is None:
        method = "cohesive" if options.model else "esrgan" if _names_network(options) else DEFAULTS.upscale_method
    if method not in ("lanczos", "esrgan", "cohesive"):
        raise RequestError("unknown method of upscale", got=method, do="Use lanczos, esrgan or cohesive.")
    if method == "cohesive":
        if options.model is None:
            do = "Name your checkpoint, or `model` mini for pictures of its own small world."
            raise RequestError("cohesive needs a `model` that knows what the picture shows", do=do)
        return method
    if options.model is not None:
        raise RequestError(f"`model` has no effect with {method}", do="Leave `method` out, or say cohesive.")
    if (method == "esrgan") != _names_network(options):
        do = (
            "Give `upscaler`, a .safetensors file of the ESRGAN family."
            if method == "esrgan"
            else "Say `method` esrgan."
        )
        raise RequestError("`upscaler` and `method` do not fit", got=options.upscaler, do=do)
    said = [name for name in _NEEDS_MODEL if getattr(options, name) is not None]
    if said:
        names = ", ".join(f"`{name}`" for name in said)
        raise RequestError(f"{names} has no effect without `model`", do="Name a `model`, or leave it out.")
    return method


def _names_network(options: UpscaleOptions) -> bool:
    return options.upscaler is not None and options.upscaler.casefold() != DEFAULTS.upscaler


def _upscale_cohesive(options: UpscaleOptions, picture: Path) -> None:
    from sfumato.cli.read_options import place_output, read_values
    from sfumato.models.describe import load_contract
    from sfumato.workflows.requests import make_upscale_request

    contract = load_contract(options.model or DEFAULTS.model, vae=options.vae)
    request = make_upscale_request(read_values(options), picture, contract, scale=options.scale)
    request, run_options = place_output(options, request, f"{picture.stem} {request.size}")
    if options.dry_run:
        show_plan(request, run_options, as_json=options.json)
    else:
        run_request(request, run_options, as_json=options.json)


def _upscale_plain(options: UpscaleOptions, picture: Path) -> None:
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.enlarge import choose_output, enlarge, read_size_of
    from sfumato.workflows.requests import choose_upscale_size

    size = choose_upscale_size(read_size_of(picture), options.size, options.scale)
    upscaler = options.upscaler if _names_network(options) and options.upscaler else DEFAULTS.upscaler
    out = choose_output(options.out, picture, size)
    if options.dry_run:
        sys.stdout.write(escape_controls(f"{picture} would become {size} by {upscaler}, {out}") + "\n")
        return
    done = enlarge(picture, size, upscaler=upscaler, out=out)
    if options.json:
        print_json(done.to_json())
        return
    if upscaler == DEFAULTS.upscaler:
        sys.stderr.write(
            "enlarged by Lanczos: sharp, nothing drawn anew; --model draws new detail, --upscaler runs an ESRGAN file\n"
        )
    sys.stdout.write(escape_controls(f"picture  {done.path}  ({size}, {upscaler})") + "\n")


def _describe(picture: Picture) -> str:
    lines = [f"picture  {picture.path}  ({picture.plan.size}, seed {picture.seed}, {picture.seconds:.1f} s)"]
    if picture.report_path:
        lines.append(f"report   {picture.report_path}")
    return escape_controls("\n".join(lines), keep="\n") + "\n"
