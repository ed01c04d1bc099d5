"""The table of methods: a row says how a request with these settings is planned and drawn.

Everything outside asks the row; nobody asks which class the settings are. A new method is one file and one row: see
docs/howto/add-a-method.md. Start reading at `MethodRow`, then `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from sfumato.core.errors import RequestError
from sfumato.core.request import (
    CohesiveMethod,
    GobigMethod,
    Method,
    MultidiffusionMethod,
    NativeMethod,
    PictureMethod,
    RenderRequest,
    register_settings,
)
from sfumato.render.cohesive.stages import check_cohesive, list_cohesive_stages
from sfumato.render.methods.stage_lists import (
    GuidedMethod,
    check_gobig,
    check_picture,
    list_gobig_stages,
    list_guided_stages,
    list_multidiffusion_stages,
    list_native_stages,
    list_picture_stages,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.list_stages import StageList, StageUse
    from sfumato.render.progress import Inputs, Progress, RenderResult, Stopwatch
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Plan

ListStages: TypeAlias = Callable[["StageList"], "tuple[StageUse, ...]"]
RunMethod: TypeAlias = Callable[
    ["Work", "Plan", "Inputs", "Workspace", "Stopwatch"], "Generator[Progress, None, RenderResult]"
]


def _accept(_request: RenderRequest, _contract: ModelContract) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """Say how a method is planned and drawn.

    `list_stages` is pure and says all that the cost depends on; `run` draws the stages of a plan and decides nothing.
    `check` raises what only the model's contract tells. A method that `keeps_work` keeps its canvases and a journal in
    the workspace, so a stopped render can be resumed. One that `takes_control` cuts control
    pictures for its windows. One that `draws_whole` holds the canvas in one call of the
    denoiser: beyond native size it draws duplicates. One that `wraps` draws pictures whose sides meet. Only those
    `offered` are named to users.
    """

    settings: type[Method]
    list_stages: ListStages
    run: RunMethod
    check: Callable[[RenderRequest, ModelContract], None] = _accept
    suit_model: Callable[[ModelContract], Method] | None = None
    keeps_work: bool = False
    draws_whole: bool = False
    wraps: bool = False
    takes_control: bool = False
    offered: bool = True

    @property
    def name(self) -> str:
        """Return the name of the method, the `kind` of its settings."""
        return self.settings.kind

    def suit(self, contract: ModelContract) -> Method:
        """Return the settings that suit a model."""
        return self.settings() if self.suit_model is None else self.suit_model(contract)


METHODS: dict[str, MethodRow] = {}


def register_method(row: MethodRow) -> None:
    """Add a row to the table; requests with its settings can then be read, planned and drawn.

    Raises:
        RequestError: another method has the same name.
    """
    register_settings(row.settings)
    METHODS[row.name] = row


def find_method(settings: Method) -> MethodRow:
    """Return the row of the method that has these settings.

    Raises:
        RequestError: no method is registered for them.
    """
    row = METHODS.get(settings.kind)
    if row is None:
        raise RequestError("no method is registered for these settings", got=settings.kind)
    return row


def _run_later(module: str, function: str) -> RunMethod:
    """Return what draws by a function whose module is imported when it is called: the networks come with it."""

    def run(
        work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
    ) -> Generator[Progress, None, RenderResult]:
        return getattr(import_module(f"sfumato.render.{module}"), function)(work, plan, inputs, space, watch)

    return run


for _row in (
    MethodRow(
        settings=NativeMethod,
        list_stages=list_native_stages,
        run=_run_later("methods.native", "run_native"),
        draws_whole=True,
        wraps=True,
        takes_control=True,
    ),
    MethodRow(
        settings=GobigMethod,
        list_stages=list_gobig_stages,
        run=_run_later("methods.gobig", "run_gobig"),
        takes_control=True,
        check=check_gobig,
        suit_model=lambda contract: GobigMethod(strength=contract.slice_strength),
    ),
    MethodRow(
        settings=MultidiffusionMethod,
        list_stages=list_multidiffusion_stages,
        run=_run_later("methods.multidiffusion", "run_multidiffusion"),
        wraps=True,
        takes_control=True,
    ),
    MethodRow(
        settings=PictureMethod,
        list_stages=list_picture_stages,
        run=_run_later("methods.picture", "run_picture"),
        check=check_picture,
        keeps_work=True,
        offered=False,
    ),
    MethodRow(
        settings=GuidedMethod,
        list_stages=list_guided_stages,
        run=_run_later("methods.guided", "run_guided"),
        offered=False,
    ),
    MethodRow(
        settings=CohesiveMethod,
        list_stages=list_cohesive_stages,
        run=_run_later("cohesive.run", "run_cohesive"),
        check=check_cohesive,
        keeps_work=True,
        takes_control=True,
    ),
):
    register_method(_row)
