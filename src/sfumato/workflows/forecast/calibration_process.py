"""One probe, in a process of its own: open a model, draw one small picture, measure single calls.

A process of its own because what it weighs is the process: it holds what a render holds and nothing else.
Takes one line of JSON as its argument and prints one. Start reading at `main`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sfumato.core.errors import SfumatoError
from sfumato.core.memory import give_back_memory, read_memory
from sfumato.core.request import NativeMethod, RenderRequest
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.models.time_calls import measure_trials
from sfumato.render.engine import run_plan
from sfumato.render.plan.budget import GUESSES, Budget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.progress import StageTrace

_PROMPT = "a house by the sea"
# As much as any plan may have: what is too large for this machine was found out before.
_ANY = 1 << 60


def main() -> None:
    """Run the probe that the command line describes."""
    asked = json.loads(sys.argv[1])
    try:
        model = load_model(asked["model"], vae=asked["vae"], device=asked["device"], dtype=asked["dtype"])
        found = measure(model, (int(asked["batches"][0]), int(asked["batches"][1])))
    except SfumatoError as error:
        found = {"error": error.to_json()}
    sys.stdout.write(json.dumps(found) + "\n")


def measure(model: LatentModel, batches: tuple[int, int]) -> dict[str, Any]:
    """Draw one step of a picture with a loaded model, so that it holds what a render holds, and measure its calls."""
    opened_at = time.monotonic()
    first_s = draw_once(model)
    trials = measure_trials(model, batches, weigh=True)
    # After the calls, which leave behind what a render will hold as well.
    loaded = weigh_loaded(model)
    return {
        "opened_at": opened_at,
        "first_s": first_s,
        "loaded_bytes": loaded,
        "trials": [trial.to_json() for trial in trials],
    }


def draw_once(model: LatentModel) -> float:
    """Draw one step of a native picture and return the seconds of its stage, what only a first step takes included."""
    contract = model.contract
    request = RenderRequest(prompt=_PROMPT, size=contract.native, steps=1, method=NativeMethod(), sampler="Euler")
    request = replace(request, guidance=contract.guidance)
    plan = plan_render(request, contract, Budget(memory_bytes=_ANY, cost=GUESSES[contract.family]))
    steps = run_plan(plan, request, model)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            trace: tuple[StageTrace, ...] = end.value.trace
            return trace[0].seconds


def weigh_loaded(model: LatentModel) -> tuple[int, int] | None:
    """Return the bytes that a model takes that has run, on (its device, the host); None where that cannot be told."""
    give_back_memory()
    if not Path("/proc/self/status").is_file():
        return None
    host = read_memory("VmRSS")
    if model.device.type == "cuda":
        return int(torch.cuda.memory_allocated(model.device)), host
    return (host, host) if model.device.type == "cpu" else None


if __name__ == "__main__":
    main()
