"""One measurement of `sfumato bench growth`, in a process of its own: render a large picture, say what it took.

The native picture is rendered first, so libraries are loaded, weights are packed, and the yardstick is
of the same process. Prints one line of JSON. Start reading at `main`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

from sfumato.core.geometry import PixelSize
from sfumato.core.memory import give_back_memory, read_memory, restart_peak_memory
from sfumato.core.request import CohesiveMethod, NativeMethod, RenderRequest
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.render.engine import run_plan
from sfumato.workflows.forecast.plan_request import make_plan
from sfumato.workflows.job import Picture
from sfumato.workflows.prepare import prepare
from sfumato.workflows.run import run_all
from sfumato.workflows.run_options import RunOptions

# The native picture takes a tenth of a second, which other work on the machine moves by as much.
YARDSTICKS = 7


def main() -> None:
    """Run the trial that the command line describes."""
    asked = json.loads(sys.argv[1])
    name, side_px, steps = asked["model"], asked["side_px"], asked["steps"]
    model = load_model(name)
    native = RenderRequest(
        prompt="a red house in a green meadow, photograph",
        size=model.contract.native,
        steps=steps,
        guidance=model.contract.guidance,
        model=name,
        method=NativeMethod(),
    )
    large = replace(native, size=PixelSize(side_px, side_px), method=CohesiveMethod())
    with tempfile.TemporaryDirectory(prefix="sfumato-growth-") as folder:
        _render(native, model, Path(folder) / "warm.png")
        yardstick = statistics.median(_time_native(native, model, Path(folder)) for _ in range(YARDSTICKS))
        give_back_memory()
        restart_peak_memory()
        held = read_memory("VmRSS")
        spent, made = _render(large, model, Path(folder) / f"large{asked['suffix']}")
        peak = read_memory("VmHWM")
    area = side_px**2 / model.contract.native.area
    found = {
        "native_s": round(yardstick, 4),
        "processor_s": round(spent, 3),
        "native_renders": round(spent / yardstick / area, 4),
        "growth_bytes": peak - held,
        "held_bytes": held,
        "evaluations": made.plan.evaluations,
        "again_s": round(sum(rerun.seconds for rerun in made.reruns), 3),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _time_native(request: RenderRequest, model: LatentModel, folder: Path) -> float:
    """Return the seconds of the processor of a render alone: nothing is checked or saved, which would weigh most at few steps."""
    plan = make_plan(request, model.contract, model.policy, RunOptions(out=folder / "native.png"))
    began = time.process_time()
    deque(run_plan(plan, request, model), maxlen=0)
    return time.process_time() - began


def _render(request: RenderRequest, model: LatentModel, path: Path) -> tuple[float, Picture]:
    """Render; return the seconds of the processor, which other work on the machine does not change."""
    began = time.process_time()
    made = run_all(prepare(request, RunOptions(out=path, report=False), model=model), model=model)[0]
    return time.process_time() - began, made


if __name__ == "__main__":
    main()
