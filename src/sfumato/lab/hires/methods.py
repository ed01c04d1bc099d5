"""Make the pictures that are compared: one base each, and every method's picture of it, timed and kept.

Methods of the engine go through plan and engine as `sfumato render` does; the rest is made here. Knows no
measure. Start reading at `Studio.make`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.geometry import LatentBox, PixelSize
from sfumato.core.memory import read_memory, restart_peak_memory
from sfumato.core.request import CohesiveMethod, GobigMethod, Method, NativeMethod, RenderRequest
from sfumato.core.resampling import fit_box
from sfumato.core.serialize import Json
from sfumato.critic.picture.seams import Lines
from sfumato.lab.hires.demofusion import Demofusion, list_jittered, settings_of
from sfumato.lab.hires.measures import StepLines
from sfumato.lab.hires.prompts import ScenePrompt, draw_scene_of
from sfumato.lab.hires.store import Record, Store, make_key
from sfumato.models.contract import ModelContract
from sfumato.models.latent_model import LatentModel
from sfumato.models.upscaler.upscaler import load_upscaler
from sfumato.render.cohesive.run import BASE_PART
from sfumato.render.engine import run_plan
from sfumato.render.layout import choose_base_size
from sfumato.render.methods.gobig import run_refine
from sfumato.render.plan.choose_method import make_method
from sfumato.render.progress import Stopwatch
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import PromptSchedule
from sfumato.render.sampling.run_steps import Work
from sfumato.render.sampling.window_grid import list_windows
from sfumato.render.stages import Plan
from sfumato.workflows.forecast.plan_request import make_plan
from sfumato.workflows.run_options import RunOptions
from sfumato.workflows.self_check.judge import find_lines
from sfumato.world.stream import WORLD_VERSION

DRAWN, LANCZOS, DEMOFUSION, COHESIVE = "drawn", "lanczos", "demofusion", "cohesive"
# Gobig as it was published for Stable Diffusion; plain gobig has the strength that suits the model.
# Source: the defaults of txt2imghd (2022): strength 0.3, slices of 512 px that share 128.
TXT2IMGHD, PUBLISHED = "txt2imghd", GobigMethod(strength=0.3, overlap=0.25)
# The floor first, the method that is judged last.
METHODS = (LANCZOS, "gobig", TXT2IMGHD, "multidiffusion", DEMOFUSION, COHESIVE)
# One part of the cohesive method switched off at a time: a name and what is set.
ABLATIONS: tuple[tuple[str, str, object], ...] = (
    ("one prompt everywhere", "phrases", False),
    ("no predictability", "predict", False),
    ("fixed lattice", "shift", False),
    ("no low-band lock", "lock", 0.0),
    ("wide colours not held", "hold", False),
    ("lost parts not given back", "guard", False),
    ("levels not made crisp", "crisp", False),
)

# What of a model's policy belongs to the name of a picture; the rest follows from it on one machine.
RUN_WITH = ("device", "unet_dtype", "text_dtype", "vae_dtype")

T = TypeVar("T")


@dataclass(frozen=True, eq=False, kw_only=True)
class Studio:
    """Make pictures with one model and keep them. A leaf.

    `weights` and `engine` are digests: of what the model is, and of the code that makes pictures. Other weights,
    another device or number type are another picture; other code is only noted, since most changes of code
    change no pixel.
    """

    model: LatentModel
    store: Store
    seed: int
    weights: str = ""
    engine: str = ""

    @property
    def run_with(self) -> dict[str, Json]:
        """Return the device and number types that the model runs with: others give other last bits and other seconds."""
        words = self.model.policy.to_json()
        return {name: words[name] for name in RUN_WITH}

    def make_base(self, prompt: ScenePrompt, size: PixelSize) -> Record:
        """Return the line of the native picture that all methods start from, rendered or found."""
        request = replace(self.ask(prompt, size, NativeMethod()), size=choose_base_size(size, self.model.contract))
        return self._keep(self._key("native", request), lambda: self._render(request))

    def make(self, name: str, method: Method | None, prompt: ScenePrompt, size: PixelSize) -> Record:
        """Return the line of one method's picture; `method` is None where the engine does not make it."""
        request = self.ask(prompt, size, method or NativeMethod())
        base, key = self.make_base(prompt, size), self._key_of(name, request, prompt)
        if name == DRAWN:
            return self._keep(key, lambda: (Image.fromarray(draw_scene_of(prompt, size)), {}))
        if name == LANCZOS:
            return self._keep(key, lambda: (_enlarge(self.store.load(base["key"]), size), {"before": base}))
        return self._keep(key, lambda: self._render(request, base))

    def grow(self, name: str, method: Method | None, prompt: ScenePrompt, size: PixelSize, base: Image.Image) -> Record:
        """Return the line of what a method makes of a base that somebody else drew, of the base's prompt."""
        request = self.ask(prompt, size, method or NativeMethod())
        digest = hashlib.sha256(base.tobytes()).hexdigest()
        key = make_key({"key": self._key(name, request), "base": digest})
        if name == LANCZOS:
            return self._keep(key, lambda: (_enlarge(base, size), {}))
        return self._keep(key, lambda: (self._grow(request, base), {}))

    def find(self, name: str, method: Method | None, prompt: ScenePrompt, size: PixelSize) -> Record | None:
        """Return the line of one method's picture, None where it was not made yet."""
        return self.store.find(self._key_of(name, self.ask(prompt, size, method or NativeMethod()), prompt))

    def find_base(self, prompt: ScenePrompt, size: PixelSize) -> Record | None:
        """Return the line of the base of a prompt, None where it was not made yet."""
        request = replace(self.ask(prompt, size, NativeMethod()), size=choose_base_size(size, self.model.contract))
        return self.store.find(self._key("native", request))

    def ask(self, prompt: ScenePrompt, size: PixelSize, method: Method) -> RenderRequest:
        """Return the request of a prompt with everything else as the command line would choose it."""
        guidance = self.model.contract.guidance
        seed = self.seed * 100_000 + prompt.number
        return RenderRequest(prompt=prompt.text, size=size, guidance=guidance, seed=seed, method=method)

    def warm_up(self, prompt: ScenePrompt, size: PixelSize) -> None:
        """Render once and keep nothing: the first call of a network is many times slower than all others."""
        request = self.ask(prompt, choose_base_size(size, self.model.contract), NativeMethod())
        self._render(replace(request, steps=2))

    def _keep(self, key: str, make: Callable[[], tuple[Image.Image, Record]]) -> Record:
        known = self.store.find(key)
        if known is not None:
            return known
        reset = _reset_peak(self.model.device)
        began, worked = time.monotonic(), time.process_time()
        picture, record = make()
        # What started from a finished base cost as much more as that base did.
        before = record.pop("before", {})
        took = {
            "seconds": round(time.monotonic() - began + before.get("seconds", 0.0), 4),
            "cpu_s": round(time.process_time() - worked + before.get("cpu_s", 0.0), 4),
        }
        peak = {} if reset is None else {"peak_bytes": max(0, _measure_peak(self.model.device) - reset)}
        size = {"width": picture.width, "height": picture.height}
        return self.store.add(key, picture, {"engine": self.engine, **size, **took, **peak, **record})

    def _key_of(self, name: str, request: RenderRequest, prompt: ScenePrompt) -> str:
        if name != DRAWN:
            return self._key(name, request)
        size = str(request.size)
        return make_key({"drawn": prompt.world_seed, "shot": prompt.shot, "size": size, "v": WORLD_VERSION})

    def _key(self, name: str, request: RenderRequest) -> str:
        words: dict[str, Json] = {"name": name, "request": request.to_json(), "weights": self.weights, **self.run_with}
        return make_key(words)

    def _render(self, request: RenderRequest, base: Record | None = None) -> tuple[Image.Image, Record]:
        contract, policy = self.model.contract, self.model.policy
        plan = make_plan(request, contract, policy, RunOptions(out=self.store.folder / "picture.png"))
        self.model.autoencoder_bytes = plan.autoencoder_bytes
        result = _drain(run_plan(plan, request, self.model))
        lines = find_step_lines(plan, request, contract)
        record: Record = {"evaluations": plan.evaluations, "lines": lines.to_json()}
        if base is not None and result.base is not None:
            record["same_base"] = result.base.tobytes() == self.store.load(base["key"]).tobytes()
        return result.picture, record

    def _grow(self, request: RenderRequest, base: Image.Image) -> Image.Image:
        """Run the stages above the base of gobig or of the cohesive method."""
        plan = make_plan(request, self.model.contract, self.model.policy, RunOptions())
        self.model.autoencoder_bytes = plan.autoencoder_bytes
        if isinstance(request.method, CohesiveMethod):
            space = MemoryWorkspace()
            space.save_part(BASE_PART, {"picture": np.asarray(base), "sharp": np.array(0.0)})
            return _drain(run_plan(plan, request, self.model, None, space)).picture
        assert isinstance(request.method, GobigMethod), "nothing else grows a base"
        work = Work(
            model=self.model,
            request=request,
            prompts=PromptSchedule(self.model, request),
            preview=Preview(self.model),
            upscaler=load_upscaler(request.method.upscaler, self.model.device),
        )
        for stage in plan.stages[1:]:
            base = _drain(run_refine(work, stage, base, Stopwatch(plan)))
        return base


def _enlarge(base: Image.Image, size: PixelSize) -> Image.Image:
    box = fit_box(PixelSize(*base.size), size)
    return base.resize((size.width, size.height), Image.Resampling.LANCZOS, box=box)


def list_methods(names: tuple[str, ...], model: LatentModel) -> dict[str, Method | None]:
    """Return the methods of these names; None for those that the engine does not make.

    Raises:
        RequestError: a name is unknown.
    """
    ours: dict[str, Method | None] = {DRAWN: None, LANCZOS: None, DEMOFUSION: Demofusion(), TXT2IMGHD: PUBLISHED}
    return {name: ours[name] if name in ours else make_method(name, model.contract) for name in names}


def list_ablations(method: CohesiveMethod) -> dict[str, Method]:
    """Return the variants of the cohesive method with one part off that is on."""
    found: dict[str, Method] = {}
    for name, part, value in ABLATIONS:
        if getattr(method, part) != value:
            changes: dict[str, object] = {part: value}
            found[name] = replace(method, **changes)  # pyright: ignore[reportArgumentType]
    return found


def find_step_lines(plan: Plan, request: RenderRequest, contract: ModelContract) -> StepLines:
    """Return where windows of the last stage ended, in px."""
    last, factor = plan.stages[-1], contract.factor
    if not last.moving:
        lines = find_lines(plan, factor) or Lines()
        return StepLines(lines, lines)
    cells, window, taken = last.canvas.to_latent(factor), last.windows[0].size, range(last.first_step, last.steps)
    stride = max(1, min(window.width, window.height) - last.overlap_cells)
    if plan.method == DEMOFUSION:
        how, phase = settings_of(request), len(plan.stages) - 1
        steps = [list_jittered(request, contract, how, cells, phase=phase, step=step) for step in taken]
    else:
        steps = [list_windows(cells, window, stride, step) for step in taken]
    return _join_lines(steps, last.canvas, factor)


def _join_lines(steps: Sequence[Sequence[LatentBox]], canvas: PixelSize, factor: int) -> StepLines:
    """Return the lines of all steps, and those of the last one."""
    return StepLines(
        _list_edges([box for boxes in steps for box in boxes], canvas, factor), _list_edges(steps[-1], canvas, factor)
    )


def _list_edges(boxes: Sequence[LatentBox], canvas: PixelSize, factor: int) -> Lines:
    xs = {edge * factor for box in boxes for edge in (box.left, box.right)} - {0, canvas.width}
    ys = {edge * factor for box in boxes for edge in (box.top, box.bottom)} - {0, canvas.height}
    return Lines(tuple(sorted(xs)), tuple(sorted(ys)))


def _drain(steps: Generator[object, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _reset_peak(device: torch.device) -> int | None:
    """Start counting the peak anew and return what is held now; None where the system cannot."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    return read_memory("VmRSS") if restart_peak_memory() else None


def _measure_peak(device: torch.device) -> int:
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else read_memory("VmHWM")
