"""Run a job: open the model, draw, mend, and hand over each picture. A stream of events.

Between two events a caller may stop: closing the stream leaves nothing half written. Start reading at `run`; `run_all`
drives it to the end.
"""

from __future__ import annotations

import copy
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sfumato.canvas.formats.images import file_sha256, save_picture
from sfumato.core.errors import InterruptedRender
from sfumato.core.files import expand_path
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import RenderRequest
from sfumato.models.describe import MINI
from sfumato.models.load import load_model
from sfumato.render.engine import run_plan
from sfumato.render.exact_scale import widen_inputs, widen_request
from sfumato.render.methods.registry import find_method
from sfumato.workflows.control.units import attach_controls
from sfumato.workflows.deliver import DrawnPicture, deliver
from sfumato.workflows.files.digests import find_lora
from sfumato.workflows.files.inputs import put_back
from sfumato.workflows.files.resume import open_work
from sfumato.workflows.focus.run import focus_result
from sfumato.workflows.focus.while_sampling import make_while_sampling
from sfumato.workflows.forecast.calibrate import probe_loaded
from sfumato.workflows.forecast.calibration_store import name_place, save_pace
from sfumato.workflows.init_likeness import describe_unlike
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
from sfumato.workflows.personalize.resolve import attach_concepts, list_active
from sfumato.workflows.record import is_withheld, record_picture, withhold
from sfumato.workflows.repair.run import mend_result
from sfumato.workflows.safety.check import draw_placeholder, judge_picture
from sfumato.workflows.self_check.redraw_faults import NEARLY_ALL, look_again

if TYPE_CHECKING:
    from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import Progress, RenderResult
    from sfumato.render.stages import Plan

_Done = TypeVar("_Done")
# Before this share of a picture is done, or this many seconds were timed, the time left is not told.
LEAST_TIMED_FRAC, LEAST_TIMED_S = 0.03, 2.0
# Renders of one model take turns: adapters and word maps are attached to its networks while a picture is drawn.
_TURNS: weakref.WeakKeyDictionary[LatentModel, threading.Lock] = weakref.WeakKeyDictionary()
_TURNS_LOCK = threading.Lock()


def run(job: Job, *, model: LatentModel | None = None) -> Generator[Event, None, tuple[Picture, ...]]:
    """Render every picture of a job; yield what happens, and return the pictures.

    Picture i of a batch has the same bytes as a request for one picture with seed + i. `model` is one that is loaded;
    without it the job's model is opened. Jobs on one model take turns. Every picture is delivered before its event.

    Raises:
        ModelError: the model cannot be opened, or gave numbers that are no picture.
        StorageError: the disk refuses.
    """
    started = job.options.started_s or time.monotonic()
    yield PlanEvent(plan=job.plan)
    for message in job.warnings:
        yield WarningEvent(message=message)
    opened_s, done = None, list[Picture]()
    if model is None and not (job.finished and all(job.finished)):
        request, options = job.request, job.options
        model = load_model(
            request.model,
            vae=request.vae,
            prediction=request.prediction,
            device=options.device,
            arithmetic=request.arithmetic or job.policy.arithmetic,
        )
        opened_s = time.monotonic() - started
    with nullcontext() if model is None else take_turn(model), ExitStack() as attached:
        if model is not None:
            probe_loaded(model, job.plan)
            if job.request.model == MINI and job.inputs.picture is not None:
                unlike = describe_unlike(model, job.inputs.picture)
                if unlike:
                    yield WarningEvent(message=unlike)
            # A copy of the record, not of the networks: limits of one job are nothing to another.
            model = copy.copy(model)
            attached.enter_context(attach_adapters(model, job.request))
            attached.enter_context(attach_controls(model, job.request))
        for index in range(job.request.batch):
            work = _PictureWork(job=job, index=index, opened_s=None if done else opened_s)
            if job.finished and job.finished[index]:
                done.append(_find_finished(work))
                yield PictureEvent(index=index, picture=done[-1])
            else:
                assert model is not None, "it was opened as something is left to draw"
                done.append((yield from _run_one(work, model)))
    return tuple(done)


def run_all(
    job: Job,
    *,
    model: LatentModel | None = None,
    on_event: OnEvent | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[Picture, ...]:
    """Run a job to its end and return its pictures.

    `on_event` gets every event. `should_stop` is asked between two events; True stops the work.

    Raises:
        InterruptedRender: stopped by `should_stop` or the keyboard; finished pictures stay, nothing is half written.
        Others: as `run`.
    """
    done = list[Picture]()
    events = run(job, model=model)
    try:
        with closing(events):
            for event in events:
                if isinstance(event, PictureEvent):
                    done.append(event.picture)
                if on_event is not None:
                    on_event(event)
                if should_stop is not None and len(done) < job.request.batch and should_stop():
                    raise _interrupted(job, done)
    except KeyboardInterrupt as error:
        raise _interrupted(job, done) from error
    return tuple(done)


@contextmanager
def take_turn(model: LatentModel) -> Generator[None]:
    """Wait until no other thread renders with a model."""
    with _TURNS_LOCK:
        lock = _TURNS.setdefault(model, threading.Lock())
    with lock:
        yield


@contextmanager
def attach_adapters(model: LatentModel, request: RenderRequest) -> Generator[None]:
    """Attach the adapters of a request for a while; the weights are bit-identical afterwards.

    Raises:
        RequestError: a LoRA named in the prompt is not there.
    """
    with ExitStack() as attached:
        for embedding in request.embeddings:
            attached.callback(model.attach_embedding(expand_path(embedding, what="an embedding")).detach)
        for lora in request.loras:
            attached.callback(model.attach_lora(expand_path(lora.path, what="a LoRA"), lora.weight).detach)
        for tag in parse_prompt(request.prompt).loras:
            path = find_lora(tag.name)
            attached.callback(model.attach_lora(path, tag.weight, text_weight=tag.te_weight).detach)
        attached.enter_context(attach_concepts(model, list_active(request), request))
        yield


@dataclass(frozen=True, eq=False, kw_only=True)
class _PictureWork:
    """Hold one picture of a job."""

    job: Job
    index: int
    opened_s: float | None

    @property
    def request(self) -> RenderRequest:
        """Return the request of this picture alone."""
        return self.job.request.choose_picture(self.index)

    @property
    def path(self) -> Path | None:
        """Return where it goes."""
        return self.job.paths[self.index] if self.job.paths else None


@dataclass(eq=False)
class TimeLeft:
    """Turn estimates of the time left into what is shown: nothing at first, then a number that never rises. A leaf."""

    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _shown_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def tell(self, done_frac: float) -> float | None:
        """Return the seconds left at a share of the work, by the pace so far."""
        spent = self.clock() - self._began
        if done_frac < LEAST_TIMED_FRAC or spent < LEAST_TIMED_S:
            return None
        left = spent * (1.0 - done_frac) / done_frac
        self._shown_s = left if self._shown_s is None else min(self._shown_s, left)
        return self._shown_s


def _find_finished(work: _PictureWork) -> Picture:
    """Return a picture that lies finished in its file."""
    assert work.path is not None, "only files are found finished"
    page = work.path.with_suffix(".html")
    return Picture(
        request=work.request,
        plan=work.job.plan,
        digests=work.job.digests,
        path=work.path,
        report_path=page if work.job.options.report and page.exists() else None,
        sha256=file_sha256(work.path),
    )


def _run_one(work: _PictureWork, model: LatentModel) -> Generator[Event, None, Picture]:
    began, job = time.monotonic(), work.job
    space: DiskWorkspace | None = None
    plan = job.plan
    if work.path is not None:
        space, plan = open_work(
            work.path,
            request=work.request,
            digests=job.digests,
            plan=plan,
            policy=model.policy,
            resume=job.options.resume,
        )
    with closing(space) if space else nullcontext():
        model.autoencoder_bytes = plan.autoencoder_bytes
        drawn = yield from _draw(work, plan, model, space, began)
        if is_withheld(drawn):
            record_picture(drawn, None)
            if space:
                space.remove()
            raise withhold(drawn)
        picture = deliver(drawn)
        if picture.anatomy is not None:
            said = record_picture(drawn, picture)
            picture = replace(picture, warnings=(*picture.warnings, *said))
        for message in picture.warnings:
            yield WarningEvent(message=f"{picture.path or 'the picture'}: {message}")
        try:
            # Told before anything is cleaned up: a stop from here on finds the picture saved.
            yield PictureEvent(index=work.index, picture=picture)
        finally:
            if space:
                # While it is still held: between letting go and removing somebody could go on with it.
                space.remove()
    return picture


def _draw(
    work: _PictureWork, plan: Plan, model: LatentModel, space: DiskWorkspace | None, began: float
) -> Generator[Event, None, DrawnPicture]:
    request, options = work.request, work.job.options
    grown = widen_request(request, model.contract.factor)
    inputs = replace(widen_inputs(work.job.inputs, grown), focus=make_while_sampling(grown, model))
    teller = _Teller(work=work, plan=plan)
    result: RenderResult = yield from teller.follow(run_plan(plan, grown, model, inputs, space))
    if not options.resume:
        # What was done before a stop took no time here, and would teach that it never does.
        save_pace(model.contract, name_place(model.policy), result.trace, open_s=work.opened_s)
    drawn_s = time.monotonic()
    events = list[Event]()
    looked = look_again(
        result,
        request=grown,
        plan=plan,
        model=model,
        space=space,
        on_progress=lambda progress: events.append(teller.make(progress)),
    )
    yield from events
    result, focus, focus_s = looked.result, result.focus, time.monotonic()
    checked_s = focus_s
    if request.focus is not None and request.focus.is_after:
        steps = focus_result(result, request=grown, model=model, space=space, window_batch=plan.window_batch)
        result, redrawn = yield from teller.follow_pass(steps)
        focus = (*focus, *redrawn)
    focus_s = time.monotonic() - focus_s
    if request.crop is not None:
        result = replace(result, shown=put_back(result.picture, request))
    anatomy, anatomy_s = None, time.monotonic()
    if request.anatomy is not None:
        steps = mend_result(result, request=grown, model=model, space=space, window_batch=plan.window_batch)
        result, anatomy = yield from teller.follow_pass(steps)
    safety = judge_picture(request, result.pixels)
    if safety is not None and safety.state == "withheld":
        size = result.pixels.size
        # Evidence would show what is withheld.
        result = replace(result, shown=draw_placeholder(size.width, size.height, safety), base=None)
        focus, anatomy = (), None
    return DrawnPicture(
        request=request,
        plan=plan,
        digests=work.job.digests,
        result=result,
        focus=focus,
        focus_s=focus_s,
        anatomy=anatomy,
        anatomy_s=time.monotonic() - anatomy_s,
        safety=safety,
        checks=looked.judged,
        reruns=looked.reruns,
        model=model,
        path=work.path,
        report=options.report,
        opened_s=work.opened_s,
        began_s=began,
        drawn_s=drawn_s,
        checked_s=checked_s,
    )


@dataclass(eq=False, kw_only=True)
class _Teller:
    """Turn the engine's progress into events, and keep the preview file. A leaf."""

    work: _PictureWork
    plan: Plan
    left: TimeLeft = field(default_factory=TimeLeft)
    ticks: int = 0

    def follow(self, steps: Generator[Progress, None, RenderResult]) -> Generator[Event, None, RenderResult]:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                return end.value
            yield self.make(progress)

    def follow_pass(self, steps: Generator[Progress, None, _Done]) -> Generator[Event, None, _Done]:
        """Turn the progress of what comes after the stages of the plan into events.

        Its share of the whole is unknown before; where the plan draws nothing, it is the whole.
        """
        stages = len(self.plan.stages)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                return end.value
            done = progress.done_frac if self.plan.evaluations == 0 else NEARLY_ALL
            yield self.make(replace(progress, stage_index=stages, stages=stages + 1, done_frac=min(done, NEARLY_ALL)))

    def make(self, progress: Progress) -> ProgressEvent:
        options = self.work.job.options
        self.ticks += 1
        if options.preview and progress.preview and self.ticks % options.preview_every == 0:
            save_picture(options.preview, progress.preview(), {})
        stage = self.plan.stages[min(progress.stage_index, len(self.plan.stages) - 1)]
        return ProgressEvent(
            index=self.work.index,
            pictures=self.work.job.request.batch,
            stage=progress.stage,
            stage_index=progress.stage_index,
            stages=progress.stages,
            step=progress.step,
            steps=progress.steps,
            unit=stage.unit,
            done_frac=progress.done_frac,
            left_s=self.left.tell(progress.done_frac),
            preview=progress.preview,
        )


def _interrupted(job: Job, done: list[Picture]) -> InterruptedRender:
    kept = f"{len(done)} finished picture(s) kept" if done else "no picture was finished"
    if len(done) == job.request.batch:
        return InterruptedRender("stopped after the last picture was saved", got=kept, do="Nothing is left to do.")
    preview = job.options.preview
    if preview is not None and preview.exists():
        kept += f", the last preview is {preview}"
    seed = f"`seed` {job.request.seed}"
    if find_method(job.request.method).keeps_work and job.paths:
        return InterruptedRender("the render was stopped", got=kept, do=f"Run it again with `resume` and {seed}.")
    return InterruptedRender("the render was stopped", got=kept, do=f"Run it again with {seed}.")
