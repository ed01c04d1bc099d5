"""What a run tells while it goes and what it leaves behind: progress, stage times, the result.

Values only; knows no model and decides nothing. Start reading at `Progress`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

    from sfumato.render.plan import Plan, Stage


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
    preview: Callable[[], Image] | None = None


@dataclass(frozen=True, kw_only=True)
class StageTrace:
    """Hold what one stage took: seconds of wall time, steps done, network evaluations."""

    name: str
    size: str
    steps: int
    evaluations: int
    planned_s: float
    seconds: float


@dataclass(frozen=True, eq=False, kw_only=True)
class RenderResult:
    """Hold a finished picture (RGB), the base it grew from (None when it is the same), and the trace."""

    picture: Image
    base: Image | None
    trace: tuple[StageTrace, ...]


@dataclass(eq=False)
class Stopwatch:
    """Turn steps done into progress: shares by planned cost, an ETA from the measured pace."""

    plan: Plan
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _stage_began: float = field(init=False)
    _done: list[StageTrace] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._began = self._stage_began = self.clock()

    @property
    def trace(self) -> tuple[StageTrace, ...]:
        """Return the stages that are closed."""
        return tuple(self._done)

    def tick(self, stage: Stage, step: int, preview: Callable[[], Image] | None = None) -> Progress:
        """Report `step` (1 is the first one done) of a stage."""
        share = self._share(stage, step)
        return Progress(
            stage=stage.name,
            stage_index=len(self._done),
            stages=len(self.plan.stages),
            step=step,
            steps=stage.ticks,
            done_frac=share,
            eta_s=self._eta(share),
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
            )
        )
        self._stage_began = now

    def _share(self, stage: Stage, step: int) -> float:
        stages = self.plan.stages
        before = sum(other.seconds for other in stages[: len(self._done)])
        total = sum(other.seconds for other in stages) or 1.0
        return min(1.0, (before + stage.seconds * step / max(1, stage.ticks)) / total)

    def _eta(self, share: float) -> float | None:
        spent = self.clock() - self._began
        # The plan's guess is trusted until a twentieth is done, then the measured pace.
        if share < 0.05:
            return max(0.0, self.plan.seconds - spent) if self.plan.seconds else None
        return spent * (1.0 - share) / share
