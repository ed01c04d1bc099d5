"""A job and what it tells: the values that `prepare`, `run` and `deliver` hand to each other.

Start reading at `Job`, then the events; `Picture` is what a caller gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from PIL import Image

from sfumato.canvas.formats.images import load_picture
from sfumato.canvas.formats.save import save_shown
from sfumato.canvas.pixels import PixelStore
from sfumato.core.errors import RequestError
from sfumato.core.metadata.write import WeightDigests, write_metadata
from sfumato.core.request import RenderRequest
from sfumato.workflows.forecast.calibration_store import measure_error
from sfumato.workflows.run_options import RunOptions

if TYPE_CHECKING:
    from sfumato.critic.picture.checks import Judged
    from sfumato.models.contract import ModelContract
    from sfumato.models.hardware.policy import Policy
    from sfumato.render.passes.focus_outcome import FocusOutcome
    from sfumato.render.progress import Inputs, StageTrace
    from sfumato.render.stages import Plan
    from sfumato.workflows.repair.run import AnatomyResult
    from sfumato.workflows.safety.check import SafetyVerdict
    from sfumato.workflows.self_check.redraw_faults import Rerun


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """Hold a request with everything resolved once: model, inputs, digests, paths and plan.

    `paths` has a file for each picture of the batch, or nothing where pictures stay in memory. `finished` says which of
    these files hold their picture already. `warnings` are sentences for the user.
    """

    request: RenderRequest
    options: RunOptions
    contract: ModelContract
    policy: Policy
    plan: Plan
    inputs: Inputs
    digests: WeightDigests
    paths: tuple[Path, ...] = ()
    finished: tuple[bool, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture:
    """Hold one finished picture, how it was made, and what the self-check says of it.

    `request` repeats exactly this picture. `path` and `report_path` are files where they were written. `checks` is None
    where there is no smaller base to compare with; `unchecked` says why. `focus` says what became of each part that was
    found, `anatomy` what was seen and done of hands, where the request asks for it. `safety` is the
    verdict of the safety filter, None where it is off. `warnings` name what was left out.
    `base` is the native picture that a larger one grew from, None where there is none.
    """

    request: RenderRequest
    plan: Plan
    digests: WeightDigests
    path: Path | None = None
    report_path: Path | None = None
    trace: tuple[StageTrace, ...] = ()
    seconds: float = 0.0
    opened_s: float | None = None
    peak_bytes: int | None = None
    host_peak_bytes: int | None = None
    sha256: str | None = None
    checks: Judged | None = None
    unchecked: str = ""
    reruns: tuple[Rerun, ...] = ()
    focus: tuple[FocusOutcome, ...] = ()
    anatomy: AnatomyResult | None = None
    safety: SafetyVerdict | None = None
    warnings: tuple[str, ...] = ()
    shown: Image.Image | PixelStore | None = None
    base: Image.Image | None = None

    @property
    def seed(self) -> int:
        """Return the seed that repeats this picture."""
        return self.request.seed

    @property
    def image(self) -> Image.Image:
        """Return the picture as a PIL image, RGB; read from its file where it was written."""
        if isinstance(self.shown, Image.Image):
            return self.shown
        if self.shown is not None:
            return Image.fromarray(self.shown.read(self.shown.size.box))
        assert self.path is not None, "a picture is in memory or in a file"
        return load_picture(self.path)

    def save(self, path: Path | str) -> Path:
        """Write the picture with its request inside; the suffix names the format.

        Raises:
            RequestError: the suffix is unknown.
            StorageError: the disk refuses.
        """
        path = Path(path)
        if not path.suffix:
            raise RequestError("the file name has no suffix", got=str(path), do="Use .png, .jpg, .webp, .tif or .dzi.")
        save_shown(path, self.shown or self.image, write_metadata(self.request, self.digests))
        return path

    def to_json(self) -> dict[str, object]:
        """Return the picture's facts as JSON values."""
        planned_s = self.plan.seconds + self.plan.save_s
        return {
            "path": str(self.path) if self.path else None,
            "report": str(self.report_path) if self.report_path else None,
            "seed": self.seed,
            "size": str(self.plan.size),
            "canvas": str(self.plan.canvas),
            "method": self.plan.method,
            "seconds": round(self.seconds, 3),
            "planned_seconds": round(planned_s, 3),
            "seconds_error": None
            if any(stage.is_resumed for stage in self.trace)
            else measure_error(planned_s, self.seconds),
            "open_seconds": None if self.opened_s is None else round(self.opened_s, 3),
            "planned_open_seconds": round(self.plan.open_s, 3),
            "peak_bytes": self.peak_bytes,
            "planned_bytes": self.plan.memory_bytes,
            "bytes_error": measure_error(self.plan.memory_bytes, self.peak_bytes),
            "host_peak_bytes": self.host_peak_bytes,
            "planned_host_bytes": self.plan.host_bytes or None,
            "host_bytes_error": measure_error(self.plan.host_bytes, self.host_peak_bytes),
            "basis": self.plan.basis,
            "window_batch": self.plan.window_batch,
            "evaluations": self.plan.evaluations,
            "sha256": self.sha256,
            "checks": self.checks.to_json() if self.checks else None,
            "checks_left_out": self.unchecked or None,
            "reruns": [rerun.to_json() for rerun in self.reruns],
            "focus": [one.to_json() for one in self.focus],
            "anatomy": None if self.anatomy is None else self.anatomy.to_json(),
            "safety": None if self.safety is None else self.safety.to_json(),
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


@dataclass(frozen=True, eq=False, kw_only=True)
class PlanEvent:
    """Say what will run and what it costs, before anything is loaded."""

    kind: ClassVar[Literal["plan"]] = "plan"
    plan: Plan

    def __str__(self) -> str:
        """Say it in one line."""
        return f"plan: {self.plan.method}, {self.plan.size}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        return {"event": self.kind, "plan": self.plan.to_json()}


@dataclass(frozen=True, eq=False, kw_only=True)
class WarningEvent:
    """Tell the user something that does not stop the work."""

    kind: ClassVar[Literal["warning"]] = "warning"
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"warning: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        return {"event": self.kind, "message": self.message}


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgressEvent:
    """Say how far picture `index` of `pictures` is.

    `step` of `steps` counts `unit`s inside the `stage`, which is number `stage_index` of `stages`. `done_frac` is the
    share of this picture's work. `left_s`
    estimates the seconds left for this picture; it never rises, and is None until enough work was timed. `preview`
    draws the picture as it is now, maybe smaller; it costs nothing until called.
    """

    kind: ClassVar[Literal["progress"]] = "progress"
    index: int
    pictures: int
    stage: str
    stage_index: int
    stages: int
    step: int
    steps: int
    unit: str
    done_frac: float
    left_s: float | None
    preview: Callable[[], Image.Image] | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        which = f"picture {self.index + 1} of {self.pictures}: " if self.pictures > 1 else ""
        left = "" if self.left_s is None else f", {self.left_s:.0f} s left"
        return f"{which}{self.stage}, {self.unit} {self.step} of {self.steps}, {self.done_frac:.0%}{left}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values, without the preview."""
        names = ("index", "pictures", "stage", "stage_index", "stages", "step", "steps", "unit", "done_frac", "left_s")
        return {"event": self.kind} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureEvent:
    """Hand over picture `index`, saved where the job has a path for it."""

    kind: ClassVar[Literal["picture"]] = "picture"
    index: int
    picture: Picture

    def __str__(self) -> str:
        """Say it in one line."""
        where = f", {self.picture.path}" if self.picture.path else ""
        return f"picture: {self.picture.plan.size}, seed {self.picture.seed}{where}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values, without pixels."""
        return {"event": self.kind, "index": self.index, "picture": self.picture.to_json()}


Event: TypeAlias = PlanEvent | WarningEvent | ProgressEvent | PictureEvent
OnEvent: TypeAlias = Callable[[Event], object]
