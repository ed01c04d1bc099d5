"""Render a request: read its pictures, load and dress the model, plan, run, save, report.

The place where models, prompts, plans, the engine and files meet; the command line and the server
only call it. Start reading at `generate`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from sfumato.canvas.formats.images import file_sha256, save_picture
from sfumato.canvas.formats.save import save_shown
from sfumato.canvas.overlay import crop_pixels
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.core.errors import InterruptedRender, StorageError
from sfumato.core.files import check_path, expand_path
from sfumato.core.memory import measure_peak_memory
from sfumato.core.metadata import WeightDigests, write_metadata
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.critic.picture.checks import Judged
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.render.engine import Inputs, run_plan
from sfumato.render.exact_scale import widen_inputs, widen_request
from sfumato.render.progress import Progress, RenderResult, StageTrace
from sfumato.render.stages import Plan
from sfumato.workflows.files.digests import digest_weights, find_lora
from sfumato.workflows.files.inputs import read_inputs
from sfumato.workflows.files.output_paths import check_places, check_report_place, is_finished, list_paths
from sfumato.workflows.files.resume import check_work, open_work
from sfumato.workflows.forecast.calibrate import probe_loaded
from sfumato.workflows.forecast.calibration_store import name_place
from sfumato.workflows.forecast.learned_speed import measure_error, save_pace
from sfumato.workflows.forecast.plan_request import Wishes, check_pictures_fit, make_plan, plan_from_headers
from sfumato.workflows.report.check_table import say_left_out
from sfumato.workflows.report.page import Report, write_report
from sfumato.workflows.self_check.judge import say_unjudged
from sfumato.workflows.self_check.redraw_faults import Rerun, look_again

OnProgress = Callable[[Progress, int], None]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Hold what one picture of a request became."""

    path: Path
    report_path: Path | None
    seed: int
    plan: Plan
    trace: tuple[StageTrace, ...]
    seconds: float
    peak_bytes: int | None
    sha256: str
    judged: Judged | None = None
    unjudged: str = ""
    reruns: tuple[Rerun, ...] = ()
    host_peak_bytes: int | None = None
    opened_s: float | None = None

    @property
    def is_work_kept(self) -> bool:
        """Tell whether the work was kept, because a re-run was left out that can be done after all."""
        return any(rerun.left_out is not None and rerun.left_out.is_kept for rerun in self.reruns)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Say what was left out of the picture."""
        return tuple(said for said in map(say_left_out, self.reruns) if said)

    def to_json(self) -> dict[str, object]:
        """Return the outcome as JSON values."""
        return {
            "path": str(self.path),
            "report": str(self.report_path) if self.report_path else None,
            "seed": self.seed,
            "size": str(self.plan.size),
            "canvas": str(self.plan.canvas),
            "method": self.plan.method,
            "seconds": round(self.seconds, 3),
            "planned_seconds": round(self.plan.seconds + self.plan.save_s, 3),
            "seconds_error": None
            if any(stage.is_resumed for stage in self.trace)
            else measure_error(self.plan.seconds + self.plan.save_s, self.seconds),
            "peak_bytes": self.peak_bytes,
            "planned_bytes": self.plan.memory_bytes,
            "bytes_error": measure_error(self.plan.memory_bytes, self.peak_bytes),
            "host_peak_bytes": self.host_peak_bytes,
            "planned_host_bytes": self.plan.host_bytes or None,
            "host_bytes_error": measure_error(self.plan.host_bytes, self.host_peak_bytes),
            "open_seconds": None if self.opened_s is None else round(self.opened_s, 3),
            "planned_open_seconds": round(self.plan.open_s, 3),
            "basis": self.plan.basis,
            "window_batch": self.plan.window_batch,
            "evaluations": self.plan.evaluations,
            "sha256": self.sha256,
            "checks": self.judged.to_json() if self.judged else None,
            "checks_left_out": self.unjudged or None,
            "reruns": [rerun.to_json() for rerun in self.reruns],
            "stages": [
                {
                    "name": stage.name,
                    "seconds": round(stage.seconds, 3),
                    "planned_seconds": round(stage.planned_s, 3),
                    "seconds_error": None if stage.is_resumed else measure_error(stage.planned_s, stage.seconds),
                }
                for stage in self.trace
            ],
        }


def generate(
    request: RenderRequest,
    wishes: Wishes,
    *,
    on_progress: OnProgress | None = None,
    model: LatentModel | None = None,
    plan: Plan | None = None,
    on_plan: Callable[[Plan], None] | None = None,
) -> tuple[Generated, ...]:
    """Render every picture of a request and save each with its own request inside.

    Picture i of a batch is the same, to the byte, as a request of one picture with seed + i. The
    callback gets each progress and the number of the picture, and may raise to stop. `model` is one that is
    loaded; a `plan` for it that was made before it took its memory is not made again. `on_plan` gets the plan before
    anything is loaded.

    Raises:
        RequestError: a picture, size, prompt or option is wrong, or something is in the way of pictures or a report.
        BudgetError: it does not fit the budget; nothing was started.
        StorageError: the folder cannot be written; found out before anything is rendered.
        InterruptedRender: stopped by the keyboard; finished pictures stay, nothing is half written.
    """
    started = wishes.began or time.monotonic()
    paths = list_paths(wishes.out, request.batch)
    check_folder(wishes.out.parent)
    if wishes.preview is not None:
        check_folder(wishes.preview.parent, option="--preview")
    check_places(request, wishes.out, wishes.preview)
    for path in paths:
        check_work(path, request, resume=wishes.resume)
        if wishes.report:
            check_report_place(path.with_suffix(".html"))
    check_pictures_fit(request, wishes)
    inputs = read_inputs(request)
    digests = digest_weights(request)
    opened = model is None
    if plan is None:
        on = None if model is None else (model.contract, model.policy)
        plan = plan_from_headers(request, wishes) if on is None else make_plan(request, on, wishes)
    if on_plan is not None:
        on_plan(plan)
    if model is None:
        model = load_model(request.model, vae=request.vae, device=wishes.device, dtype=wishes.dtype)
    loaded_s = time.monotonic() - started
    probe_loaded(model, plan)
    done: list[Generated] = []
    try:
        with dressed(model, request):
            for index, path in enumerate(paths):
                single = replace(request, seed=request.seed + index, batch=1)
                run = _Run(single, path, plan, inputs, digests, loaded_s if opened and not done else None)
                _render_one(run, model, wishes, _bind(on_progress, index), done.append)
    except KeyboardInterrupt as error:
        raise _interrupted(done, wishes.preview, request) from error
    return tuple(done)


@contextmanager
def dressed(model: LatentModel, request: RenderRequest) -> Generator[None]:
    """Attach the adapters of a request for a while; the weights are bit-identical afterwards.

    Raises:
        RequestError: a LoRA named in the prompt is not among the LoRAs of the request.
    """
    with ExitStack() as attached:
        for embedding in request.embeddings:
            attached.callback(model.attach_embedding(expand_path(embedding, what="an embedding")).detach)
        for lora in request.loras:
            attached.callback(model.attach_lora(expand_path(lora.path, what="a LoRA"), lora.weight).detach)
        for tag in parse_prompt(request.prompt).loras:
            path = find_lora(tag.name)
            attached.callback(model.attach_lora(path, tag.weight, text_weight=tag.te_weight).detach)
        yield


def check_folder(folder: Path, *, option: str = "--out") -> None:
    """Check that pictures can be written to a folder; make it if it is not there.

    Raises:
        RequestError: the system takes no such name.
        StorageError: it cannot be made or written.
    """
    check_path(folder, what="the folder")
    probe = folder / f".sfumato-{time.monotonic_ns()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise StorageError("the folder cannot be written", got=str(error), do=f"Give another {option}.") from error


@dataclass(frozen=True, eq=False)
class _Run:
    """Hold one picture to make: its request, its place, and what is the same for the batch."""

    request: RenderRequest
    path: Path
    plan: Plan
    inputs: Inputs
    digests: WeightDigests
    loaded_s: float | None


def _render_one(
    run: _Run,
    model: LatentModel,
    wishes: Wishes,
    on_progress: Callable[[Progress], None],
    on_saved: Callable[[Generated], None],
) -> None:
    """Render and save a picture; `on_saved` gets it before anything is cleaned up, which may be stopped too."""
    if wishes.resume and is_finished(run.path, run.request, run.digests):
        on_saved(_keep_finished(run, wishes))
        return
    began = time.monotonic()
    space, plan = open_work(run.path, (run.request, run.digests, run.plan), model.policy, resume=wishes.resume)
    with closing(space) if space else nullcontext():
        made = _finish_one(replace(run, plan=plan), model, wishes, (began, space, on_progress))
        on_saved(made)
        if space and not made.is_work_kept:
            # While it is still held: between letting go and removing somebody could go on with it.
            space.remove()


def _keep_finished(run: _Run, wishes: Wishes) -> Generated:
    """Return a picture of a batch that was finished before a later one was stopped."""
    page = run.path.with_suffix(".html")
    return Generated(
        path=run.path,
        report_path=page if wishes.report and page.exists() else None,
        seed=run.request.seed,
        plan=run.plan,
        trace=(),
        seconds=0.0,
        peak_bytes=None,
        sha256=file_sha256(run.path),
    )


def _finish_one(
    run: _Run,
    model: LatentModel,
    wishes: Wishes,
    going: tuple[float, DiskWorkspace | None, Callable[[Progress], None]],
) -> Generated:
    began, space, on_progress = going
    model.autoencoder_bytes = run.plan.autoencoder_bytes
    grown = widen_request(run.request, model.contract.factor)
    result = _drive(replace(run, request=grown), model, wishes, (space, on_progress))
    if not wishes.resume:
        # What was done before a stop took no time here, and would teach that it never does.
        save_pace(model.contract, name_place(model.policy), result.trace, open_s=run.loaded_s)
    rendered_s = time.monotonic()
    looked = look_again(result, (grown, run.plan, model, space), on_progress)
    result, judged = _cut(looked.result, run.request), looked.judged
    unjudged = "" if judged else say_unjudged(looked.result)
    judged_s = time.monotonic()
    save_shown(run.path, result.shown, write_metadata(run.request, run.digests))
    spent = {} if run.loaded_s is None else {"open the model": run.loaded_s}
    spent["save"] = time.monotonic() - judged_s
    if judged is not None:
        again_s = sum(rerun.seconds for rerun in looked.reruns)
        spent |= {"self-check": judged_s - rendered_s - again_s} | ({"re-runs": again_s} if looked.reruns else {})
    peak = measure_peak_bytes(model.device)
    report = Report(
        request=run.request,
        plan=run.plan,
        trace=result.trace,
        picture=result.pixels,
        base=result.base,
        picture_path=run.path,
        seconds=spent,
        peak_bytes=peak,
        machine=_describe_machine(model),
        judged=judged,
        unjudged=unjudged,
        reruns=looked.reruns,
    )
    page = run.path.with_suffix(".html") if wishes.report else None
    if page:
        write_report(page, report)
    return Generated(
        path=run.path,
        report_path=page,
        seed=run.request.seed,
        plan=run.plan,
        trace=result.trace,
        seconds=time.monotonic() - began,
        peak_bytes=peak,
        sha256=file_sha256(run.path),
        judged=judged,
        unjudged=unjudged,
        reruns=looked.reruns,
        host_peak_bytes=measure_host_peak(model.device),
        opened_s=run.loaded_s,
    )


def _drive(
    run: _Run,
    model: LatentModel,
    wishes: Wishes,
    going: tuple[DiskWorkspace | None, Callable[[Progress], None]],
) -> RenderResult:
    space, on_progress = going
    steps = run_plan(run.plan, run.request, model, widen_inputs(run.inputs, run.request), space)
    count = 0
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            return end.value
        count += 1
        if wishes.preview and progress.preview and count % wishes.preview_every == 0:
            save_picture(wishes.preview, progress.preview(), {})
        on_progress(progress)


def _cut(result: RenderResult, request: RenderRequest) -> RenderResult:
    """Return what was asked for of a canvas that had to be larger."""
    shown = result.shown
    return result if isinstance(shown, Image.Image) else replace(result, shown=crop_pixels(shown, request.size))


def measure_peak_bytes(device: torch.device) -> int | None:
    """Return the most memory this process has held on a device so far; None where it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return measure_peak_memory() if device.type == "cpu" else None


def measure_host_peak(device: torch.device) -> int | None:
    """Return the most that the host has held beside a device with memory of its own; None where they share one."""
    return measure_peak_memory() if device.type == "cuda" else None


def _bind(on_progress: OnProgress | None, index: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if on_progress is not None:
            on_progress(progress, index)

    return report


def _interrupted(done: list[Generated], preview: Path | None, request: RenderRequest) -> InterruptedRender:
    if len(done) == request.batch:
        do = "Nothing is left to be done."
        return InterruptedRender("stopped after the last picture was saved", got=_count_kept(done), do=do)
    kept = _count_kept(done)
    if preview is not None and preview.exists():
        kept += f", the last preview is {preview}"
    if isinstance(request.method, CohesiveMethod):
        return InterruptedRender("the render was stopped", got=kept, do="Run the same command with --resume.")
    return InterruptedRender("the render was stopped", got=kept, do="Run the same command again: the seed repeats it.")


def _count_kept(done: list[Generated]) -> str:
    return f"{len(done)} finished picture(s) kept" if done else "no picture was finished"


def _describe_machine(model: LatentModel) -> str:
    where = (
        torch.cuda.get_device_name(model.device)
        if model.device.type == "cuda"
        else f"{torch.get_num_threads()} CPU threads"
    )
    return f"torch {torch.__version__}, {where}, {str(model.dtype).removeprefix('torch.')}"
