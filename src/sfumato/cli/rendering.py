"""`sfumato render`, `plan` and `upscale`: parse, plan or run, print.

Imports the workflows only when a command runs. Start reading at `render`.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.options import UPSCALE_LACKS, RenderOptions, UpscaleOptions, takes_options
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError, SfumatoError
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfumato.core.request import RenderRequest
    from sfumato.workflows.enlarge.enlarge import EnlargedPicture
    from sfumato.workflows.job import Event, Picture
    from sfumato.workflows.repair.run import AnatomyResult
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
    "focus",
    "focus_box",
)
# What became of a hand, in the words that the command prints.
_REPAIRS = {"repaired": "repaired", "rolled-back": "no repair was accepted", "left": "left as it is"}
# What became of a part that focus looked at, in the words that the command prints.
_VERDICTS = {"kept": "drawn anew", "dropped": "tried and dropped", "left": "left alone"}


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
    if options.control_out is not None:
        from sfumato.workflows.control.units import write_control_pictures

        write_control_pictures(request, options.control_out)
    run_request(request, run_options, as_json=options.json)


def run_request(request: RenderRequest, options: RunOptions, *, as_json: bool) -> None:
    """Render a request, and print every picture."""
    from sfumato.cli.exit_codes import print_json

    found = _draw_request(request, options, as_json=as_json)
    if as_json:
        print_json(found)


def _draw_request(request: RenderRequest, options: RunOptions, *, as_json: bool) -> dict[str, object]:
    """Render a request, print every picture in words unless it is for JSON, and return what JSON says of them."""
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
    if not as_json:
        for picture in done:
            sys.stdout.write(_describe(picture))
    pictures = [picture.to_json() for picture in done]
    return {**pictures[0], "pictures": pictures, "request": request.to_json(), "warnings": warnings}


@dataclass(frozen=True, kw_only=True)
class PlanOptions(RenderOptions):
    """Hold what was typed after `plan`."""

    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="First measure what the model costs on this machine; remembered for later plans.",
            rich_help_panel="Running",
            show_default=False,
        ),
    ] = False


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

    found = _describe_plan(request, options, as_json=as_json)
    if as_json:
        print_json(found)


def _describe_plan(request: RenderRequest, options: RunOptions, *, as_json: bool) -> dict[str, object]:
    """Plan a request, print the plan in words unless it is for JSON, and return what JSON says of it."""
    from sfumato.cli.plan_table import write_plan
    from sfumato.workflows.forecast.plan_request import plan_request

    planned = plan_request(request, options)
    if not as_json:
        sys.stdout.write(escape_controls(write_plan(planned), keep="\n"))
    return {**planned.to_json(), "request": request.to_json()}


@takes_options(UpscaleOptions, without=UPSCALE_LACKS)
def upscale(options: UpscaleOptions) -> None:
    """Enlarge pictures, and all pictures of a folder.

    Without --model a fetched upscaling network is used (`sfumato parts get x4plus`), or Lanczos where there is none.
    With --model the cohesive method draws new detail as that model knows it, with a report beside the picture.
    --dry-run only says what it would do.
    """
    from sfumato.cli.exit_codes import print_json
    from sfumato.cli.read_options import check_options

    check_options(options)
    if options.source is not None:
        _repeat_plain(options)
        return
    if not options.pictures:
        raise RequestError("nothing to enlarge", do="Name pictures or folders.")
    if options.model is not None or options.method == "cohesive":
        _check_cohesive(options)
        found = [_upscale_cohesive(options, picture) for picture in options.pictures]
        if options.json:
            print_json(found[0] if len(found) == 1 else {"pictures": found})
        return
    _check_plain(options)
    _upscale_plain(options)


def _check_cohesive(options: UpscaleOptions) -> None:
    if options.model is None:
        do = "Name your checkpoint, or `model` mini for pictures of its own small world."
        raise RequestError("cohesive needs a `model` that knows what the picture shows", do=do)
    if options.method not in (None, "cohesive"):
        do = "Leave `method` out, or say cohesive."
        raise RequestError(f"`model` has no effect with {options.method}", do=do)
    if len(options.pictures or ()) > 1 and options.out is not None and options.out.suffix:
        raise RequestError("several pictures go to a folder", got=str(options.out), do="Give a folder as `out`.")


def _check_plain(options: UpscaleOptions) -> None:
    said = [name for name in _NEEDS_MODEL if getattr(options, name) is not None]
    if said:
        names = ", ".join(f"`{name}`" for name in said)
        raise RequestError(f"{names} has no effect without `model`", do="Name a `model`, or leave it out.")
    if options.resume and options.method == "lanczos":
        raise RequestError("`resume` has no effect with lanczos", do="Leave `resume` out.")


def _upscale_cohesive(options: UpscaleOptions, picture: Path) -> dict[str, object]:
    from sfumato.cli.read_options import place_output, read_values
    from sfumato.models.describe import load_contract
    from sfumato.workflows.requests import make_upscale_request

    contract = load_contract(options.model or DEFAULTS.model, vae=options.vae)
    request = make_upscale_request(read_values(options), picture, contract, scale=options.scale)
    request, run_options = place_output(options, request, f"{picture.stem} {request.size}")
    describe = _describe_plan if options.dry_run else _draw_request
    return describe(request, run_options, as_json=options.json)


def _upscale_plain(options: UpscaleOptions) -> None:
    import typer

    from sfumato.canvas.formats.images import read_size
    from sfumato.cli.exit_codes import name_options, print_json

    first, *others = options.pictures or []
    if not others and not first.is_dir():
        # Before what enlarges is imported, and torch with it: a refusal must not wait for either.
        read_size(first)
    from sfumato.workflows.enlarge.enlarge import check_method, list_pictures

    check_method(options.method, options.upscaler)
    pictures = list_pictures(options.pictures or [])
    if len(pictures) > 1 and options.out is not None and options.out.suffix and not options.out.is_dir():
        raise RequestError("several pictures go to a folder", got=str(options.out), do="Give a folder as `out`.")
    done: list[dict[str, object]] = []
    failed: list[tuple[Path, SfumatoError]] = []
    for picture in pictures:
        try:
            done.append(_enlarge_one(options, picture))
        except SfumatoError as error:
            # One damaged file must not end the work on a folder.
            if len(pictures) == 1:
                raise
            failed.append((picture, error))
            sys.stderr.write(escape_controls(f"{picture}: {name_options(str(error))}") + "\n")
    if options.json:
        said = [{"picture": str(picture), **error.to_json(), "exit_code": error.exit_code} for picture, error in failed]
        print_json(
            done[0] if len(pictures) == 1 else {"pictures": done, "failed": said} if said else {"pictures": done}
        )
    if failed:
        # The first one decides the exit code, as if it had been alone.
        raise typer.Exit(failed[0][1].exit_code)


def _enlarge_one(options: UpscaleOptions, picture: Path) -> dict[str, object]:
    """Enlarge a picture, or only say how; return what JSON says of it."""
    from sfumato.workflows.enlarge.enlarge import choose_output, enlarge, read_size_of
    from sfumato.workflows.requests import choose_upscale_size

    size = choose_upscale_size(read_size_of(picture), options.size, options.scale)
    out = choose_output(options.out, picture, size, resume=options.resume)
    if options.dry_run:
        upscaler = options.upscaler or options.method or "the part that suits it, or lanczos"
        if not options.json:
            sys.stdout.write(escape_controls(f"{picture} would become {size} by {upscaler}, {out}") + "\n")
        return {"picture": str(picture), "size": str(size), "upscaler": upscaler, "path": str(out)}
    done = enlarge(
        picture,
        size,
        method=options.method,
        upscaler=options.upscaler,
        out=out,
        resume=options.resume,
        on_share=_make_share(picture.name),
    )
    _tell_enlarged(done, as_json=options.json)
    return done.to_json()


def _repeat_plain(options: UpscaleOptions) -> None:
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.enlarge.enlarge import choose_output, repeat
    from sfumato.workflows.enlarge.request import read_enlarge_request

    others = ("size", "scale", "upscaler", "method", "model")
    said = [f"`{name}`" for name in others if getattr(options, name) is not None]
    said += ["a picture"] * bool(options.pictures)
    if said or options.source is None:
        do = "Leave it out: the stored request says everything."
        raise RequestError(f"{', '.join(said)} has no effect with `source`", do=do)
    request = read_enlarge_request(options.source)
    out = choose_output(options.out, Path(request.path), request.size, resume=options.resume)
    done = repeat(request, out=out, resume=options.resume, on_share=_make_share(out.name))
    _tell_enlarged(done, as_json=options.json)
    if options.json:
        print_json(done.to_json())


def _tell_enlarged(done: EnlargedPicture, *, as_json: bool) -> None:
    if done.words:
        sys.stderr.write(escape_controls(done.words) + "\n")
    if as_json:
        return
    request = done.request
    network = f", {request.number_type}" if done.check else ""
    sys.stdout.write(escape_controls(f"picture  {done.path}  ({request.size}, {request.upscaler}{network})") + "\n")
    if done.check:
        sys.stdout.write(f"check    {done.check}\n")


def _make_share(name: str) -> Callable[[float], None]:
    """Return what writes the share of the work that is done: to a terminal only, once for each percent."""
    last = -1

    def show(share: float) -> None:
        nonlocal last
        percent = int(100 * share)
        if percent != last and sys.stderr.isatty():
            sys.stderr.write(escape_controls(f"\r{name}  {percent} %", keep="\r") + ("\n" if share >= 1.0 else ""))
            sys.stderr.flush()
            last = percent

    return show


def _describe(picture: Picture) -> str:
    lines = [f"picture  {picture.path}  ({picture.plan.size}, seed {picture.seed}, {picture.seconds:.1f} s)"]
    if picture.request.focus is not None and picture.trace:
        # A picture that lay finished has no trace: nobody looked at it again.
        counts = Counter(one.verdict for one in picture.focus)
        said = [f"{counts[verdict]} {words}" for verdict, words in _VERDICTS.items() if counts[verdict]]
        lines.append(f"focus    {', '.join(said) or 'nothing was found to draw anew'}")
    if picture.anatomy is not None:
        lines += _describe_hands(picture.anatomy)
    if picture.report_path:
        lines.append(f"report   {picture.report_path}")
    return escape_controls("\n".join(lines), keep="\n") + "\n"


def _describe_hands(anatomy: AnatomyResult) -> list[str]:
    """Return a line for each hand: where it is, the verdict, what became of it."""
    outcomes = {one.box: one for one in anatomy.outcomes}
    lines = list[str]()
    for hand in anatomy.hands:
        box, said = hand.box, hand.to_json()
        outcome = outcomes.get(hand.box)
        done = "" if outcome is None else f"; {_REPAIRS[outcome.verdict]}"
        if outcome is not None and outcome.candidates:
            done += f" ({outcome.candidates} candidates, {outcome.seconds:.1f} s)"
        place = f"{box.left},{box.top},{box.width},{box.height}"
        lines.append(f"hand     {place}  {said['verdict']}: {said['reason']}{done}")
    return lines or ["hands    none was found"]
