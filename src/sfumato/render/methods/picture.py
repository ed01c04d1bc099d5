"""A given picture as it is: nothing is drawn, passes work on it. What `sfumato focus` and `repair` render by; not offered as a method.

Knows no pass. Start reading at `run_picture`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.canvas.workspace.workspace import Entry
from sfumato.render.cohesive.input_picture import lay_out
from sfumato.render.progress import RenderResult

if TYPE_CHECKING:
    from collections.abc import Generator

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.render.progress import Inputs, Progress, Stopwatch
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Plan


def run_picture(
    work: Work, plan: Plan, inputs: Inputs, space: Workspace, watch: Stopwatch
) -> Generator[Progress, None, RenderResult]:
    """Lay the picture out in the workspace."""
    del work
    (stage,) = plan.stages
    assert inputs.source is not None, "the workflow opens the picture"
    pixels = lay_out(inputs.source, space)
    pixels.flush()
    # From here on stopped work can be gone on with.
    space.note(Entry({"picture": str(pixels.size)}))
    yield watch.tick(stage, 1)
    watch.close(stage)
    return RenderResult(shown=pixels, base=None, trace=watch.trace)
