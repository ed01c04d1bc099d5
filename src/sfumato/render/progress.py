"""What a run takes, tells while it goes and leaves behind: pictures, progress, stage times, the result.

Values only; knows no model and decides nothing. Start reading at `Progress`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfumato.canvas.pixels import PixelStore
    from sfumato.render.cohesive.input_picture import SourcePicture
    from sfumato.render.passes.focus_outcome import FocusOutcome, FocusWhileSampling
    from sfumato.render.stages import Plan, Stage


# What a forecast weighs against what was measured, as a share of itself. Steps of one stage are alike, so the
# first few tell the rest; stages are not, so one says less about the next. A guess for another machine says little.
STEP_PRIOR_FRAC = 0.1
STAGE_PRIOR_FRAC = {"probe": 0.25, "measured": 0.25, "guess": 0.05}


@dataclass(frozen=True, eq=False, kw_only=True)
class Inputs:
    """Hold the pictures a request names: the starting picture and the mask already read, one to grow opened.

    `focus` finds and judges parts that are drawn while the picture is sampled; None where there are none. `controls` are
    the control pictures, one for each of the request's.
    """

    picture: Image.Image | None = None
    mask: Image.Image | None = None
    source: SourcePicture | None = None
    focus: FocusWhileSampling | None = None
    controls: tuple[Image.Image, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Progress:
    """Say that one more piece of a plan is done.

    `step` of `steps` counts inside the stage; `done_frac` is the share of the whole plan, by its
    estimated cost; `eta_s` is None until something can be said. `preview` draws the picture as it
    is now (about native quality, maybe smaller than the canvas) and costs nothing until called.
    """

    stage: str
    stage_index: int
    stages: int
    step: int
    steps: int
    done_frac: float
    eta_s: float | None
    preview: Callable[[], Image.Image] | None = None


@dataclass(frozen=True, kw_only=True)
class StageTrace:
    """Hold what one stage took: seconds of wall time, steps done, network evaluations.

    Where it `is_resumed`, an earlier run did some of it, and the seconds are of the rest.
    """

    name: str
    size: str
    steps: int
    evaluations: int
    planned_s: float
    seconds: float
    is_resumed: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class RenderResult:
    """Hold a finished picture, the base it grew from (None when it is the same), and the trace.

    `focus` says what became of the parts that were drawn while it was sampled, boxes in px of the picture.
    What was `shown` is a picture, or the pixels of a canvas that may be larger than memory.
    """

    shown: Image.Image | PixelStore
    base: Image.Image | None
    trace: tuple[StageTrace, ...]
    focus: tuple[FocusOutcome, ...] = ()

    @property
    def pixels(self) -> PixelStore:
        """Return the pixels without transparency, part by part."""
        if isinstance(self.shown, Image.Image):
            return MemoryPixels(PixelSize(*self.shown.size), np.asarray(self.shown.convert("RGB")))
        return self.shown

    @property
    def picture(self) -> Image.Image:
        """Return the whole picture in memory."""
        if isinstance(self.shown, Image.Image):
            return self.shown
        return Image.fromarray(self.shown.read(self.shown.size.box))


@dataclass(eq=False)
class Stopwatch:
    """Turn steps done into progress: shares by planned cost, an ETA from forecast and measured pace.

    Every stage runs so many times as long as planned; that factor is measured as the stage goes, and
    starts from what all before took together. So the ETA neither trusts the plan to the end nor takes
    the pace of a small base for that of a large round. What an earlier run did took no time in this one.
    """

    plan: Plan
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _stage_began: float = field(init=False)
    _done: list[StageTrace] = field(init=False, default_factory=list)
    _slowness: float = field(init=False, default=1.0)
    # Planned seconds that an earlier run did: of all stages, and of the one at hand.
    _known_s: float = field(init=False, default=0.0)
    _stage_known_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._began = self._stage_began = self.clock()

    @property
    def trace(self) -> tuple[StageTrace, ...]:
        """Return the stages that are closed."""
        return tuple(self._done)

    def go_on(self, stage: Stage, step: int) -> None:
        """Count the first `step` steps of a stage as done before this run."""
        self._stage_known_s = stage.seconds * step / max(1, stage.ticks)
        self._known_s += self._stage_known_s

    def tick(self, stage: Stage, step: int, preview: Callable[[], Image.Image] | None = None) -> Progress:
        """Report `step` (1 is the first one done) of a stage."""
        share = self._share(stage, step)
        return Progress(
            stage=stage.name,
            stage_index=len(self._done),
            stages=len(self.plan.stages),
            step=step,
            steps=stage.ticks,
            done_frac=share,
            eta_s=self._eta(stage, step),
            preview=preview,
        )

    def close(self, stage: Stage) -> None:
        """Note that a stage is over."""
        now = self.clock()
        took = now - self._stage_began
        self._done.append(
            StageTrace(
                name=stage.name,
                size=str(stage.canvas),
                steps=stage.ticks,
                evaluations=stage.evaluations,
                planned_s=stage.seconds,
                seconds=took,
                is_resumed=self._stage_known_s > 0.0,
            )
        )
        self._slowness = self._measure_slowness(self._planned_before())
        self._stage_began, self._stage_known_s = now, 0.0

    def _planned_before(self) -> float:
        return sum(stage.seconds for stage in self.plan.stages[: len(self._done)])

    def _share(self, stage: Stage, step: int) -> float:
        total = sum(other.seconds for other in self.plan.stages) or 1.0
        return min(1.0, (self._planned_before() + stage.seconds * step / max(1, stage.ticks)) / total)

    def _eta(self, stage: Stage, step: int) -> float | None:
        if not self.plan.seconds:
            return None
        before = self._planned_before()
        here = stage.seconds * step / max(1, stage.ticks)
        slowness_here = _blend(
            self.clock() - self._stage_began,
            here - self._stage_known_s,
            prior_s=STEP_PRIOR_FRAC * stage.seconds,
            prior=self._slowness,
        )
        later = max(0.0, self.plan.seconds - before - stage.seconds)
        return (stage.seconds - here) * slowness_here + later * self._measure_slowness(before + here)

    def _measure_slowness(self, planned_s: float) -> float:
        """Return how many times as long as planned everything took so far, leaning on the plan at first."""
        prior_s = STAGE_PRIOR_FRAC[self.plan.basis] * self.plan.seconds
        return _blend(self.clock() - self._began, planned_s - self._known_s, prior_s=prior_s, prior=1.0)


def _blend(spent_s: float, planned_s: float, *, prior_s: float, prior: float) -> float:
    """Return spent / planned, with a `prior` factor that weighs as much as `prior_s` planned seconds."""
    return (spent_s + prior_s * prior) / max(planned_s + prior_s, 1e-9)
