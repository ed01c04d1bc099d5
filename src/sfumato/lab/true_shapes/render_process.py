"""One measurement of `sfumato bench shapes`, in a process of its own.

Takes one line of JSON as its argument and prints lines of JSON: ticks as it goes, a result or an error last. Start
reading at `main`; `try_render` is ours, `try_call` and `try_decode` are what it is held against.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfumato.canvas.workspace.disk_workspace import DiskWorkspace, name_work
from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.errors import SfumatoError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.lab.true_shapes.diffusers_full_size import (
    call_pipeline,
    decode_in_our_tiles,
    decode_in_their_tiles,
    decode_whole,
    draw_latents,
    load_decoder,
)
from sfumato.lab.true_shapes.meter import OPEN, Meter, listening, replacing, weigh_tree
from sfumato.models.describe import load_contract
from sfumato.models.hardware.policy import choose_policy
from sfumato.models.latent_model import LatentModel
from sfumato.render.progress import RenderResult
from sfumato.render.stages import Plan
from sfumato.workflows import run as rendering
from sfumato.workflows.forecast.calibrate import run_probe
from sfumato.workflows.job import Event, Picture, ProgressEvent
from sfumato.workflows.prepare import prepare
from sfumato.workflows.run_options import RunOptions
from sfumato.workflows.self_check.judge import judge_result
from sfumato.workflows.self_check.redraw_faults import CheckedRender

_STDIN = 0


def end_with_starter() -> None:
    """Kill this process and all of its group once stdin ends; for one with a group of its own and a pipe as stdin."""
    assert os.getpgrp() == os.getpid(), "the group that is killed must not be the starter's"
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    # Not sys.stdin: its lock, held by a thread that waits, is fatal when the interpreter ends.
    while os.read(_STDIN, 1):
        continue
    os.killpg(os.getpgrp(), signal.SIGKILL)


_PROMPT = "a red house in a green meadow, photograph"
# Half the schedule, so that few steps of a level have a history; nothing is spared because nobody is sure of it.
_STRENGTH = 0.5
_SAVE = "check, save"
_NOTE = DiskWorkspace.note


def main() -> None:
    """Run the trial that the command line describes."""
    end_with_starter()
    asked = json.loads(sys.argv[1])
    trials = {"probe": try_probe, "render": try_render, "call": try_call, "decode": try_decode}
    try:
        say({"result": trials[asked["trial"]](asked)})
    except SfumatoError as error:
        say({"error": error.to_json()})


def say(what: dict[str, Any]) -> None:
    """Print one line of JSON at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def try_probe(asked: dict[str, Any]) -> dict[str, Any]:
    """Measure single calls, so that the render is planned from this machine and not from a guess."""
    found = run_probe(asked["folder"], device=asked["device"], dtype=asked["dtype"]).to_json()
    return {name: found[name] for name in ("known", "seconds")}


def try_render(asked: dict[str, Any]) -> dict[str, Any]:
    """Render a large picture, or go on with one.

    Where asked to, it keeps a copy of its work from the middle of the last level, or kills itself in the middle of a row.
    """
    device = choose_policy(asked["device"], asked["dtype"]).device
    recorder = Recorder(Meter(device), Path(asked["out"]), asked["copy_to"], asked["kill_at"])
    request = RenderRequest(
        prompt=_PROMPT,
        size=PixelSize(asked["size_px"], asked["size_px"]),
        steps=asked["steps"],
        guidance=load_contract(asked["folder"]).guidance,
        model=asked["folder"],
        method=CohesiveMethod(strength=_STRENGTH, predict=False),
    )
    options = RunOptions(
        out=Path(asked["out"]),
        report=False,
        budget_bytes=asked["budget_bytes"],
        device=asked["device"],
        dtype=asked["dtype"],
        resume=asked["resume"],
        started_s=time.monotonic(),
    )
    with (
        listening(recorder.meter, lambda: recorder.part),
        replacing(rendering, "look_again", _look_once),
        # A function, so that it is bound to the space as the method was.
        replacing(DiskWorkspace, "note", lambda space, entry, **how: recorder.note(space, entry, **how)),
    ):
        (made,) = rendering.run_all(prepare(request, options), on_event=recorder.hear)
    recorder.meter.mark(_SAVE)
    return recorder.tell(made)


def _look_once(result: RenderResult, *, plan: Plan, model: LatentModel, **_unused: object) -> CheckedRender:
    """Check a render and leave it as it is: in noise the check finds things, and drawing them again means nothing."""
    return CheckedRender(result, judge_result(result, plan, model.contract.factor))


class Recorder:
    """Listen to a render: give its time and memory to parts, weigh its folder, copy it once, or end it. A leaf."""

    def __init__(self, meter: Meter, out: Path, copy_to: str | None, kill_at: int) -> None:
        """Start measuring now; `kill_at` counts reports of progress, 0 is never."""
        self.meter, self.part = meter, OPEN
        self._work, self._copy_to, self._kill_at = name_work(out), copy_to, kill_at
        self._held: int | None = None
        self._disk, self._copied_s = 0, 0.0
        self._ticked = time.monotonic()

    def hear(self, progress: Event) -> None:
        """Take one event; only progress counts."""
        if not isinstance(progress, ProgressEvent):
            return
        # The first step is where the memory of a model that has run is first seen.
        self.meter.mark(progress.stage if self._held is not None else OPEN)
        self.part = progress.stage
        if self._held is None:
            self._held = self.meter.weigh()
        say({"tick": [progress.stage, progress.step, progress.steps]})
        self._count_down(time.monotonic())
        last = progress.stage_index + 1 == progress.stages
        if self._copy_to and last and progress.step == max(1, progress.steps // 2):
            began = time.monotonic()
            shutil.copytree(self._work, self._copy_to)
            self._copied_s = time.monotonic() - began
            self.meter.mark("copy the work")

    def note(self, space: DiskWorkspace, entry: Entry, *, durable: bool = False) -> None:
        """Weigh the folder whenever something is noted in it: along encoding and decoding too, where it is largest."""
        self._disk = max(self._disk, weigh_tree(self._work))
        _NOTE(space, entry, durable=durable)

    def _count_down(self, now: float) -> None:
        """Set a timer for the middle of the row that begins, as long as the one before, where that is the one to die in."""
        self._kill_at -= 1
        if self._kill_at == 0:
            threading.Timer((now - self._ticked) / 2, _kill, (now,)).start()
        self._ticked = now

    def tell(self, made: Picture) -> dict[str, Any]:
        """Return what was measured, beside what was planned."""
        parts = {name: asdict(part) for name, part in self.meter.parts.items()}
        return {
            "held_bytes": self._held,
            "peak_bytes": max(part.peak_bytes for part in self.meter.parts.values()),
            "host_peak_bytes": max(part.host_peak_bytes for part in self.meter.parts.values()),
            "disk_bytes": self._disk,
            "planned_disk_bytes": made.plan.peak_disk_bytes,
            "planned_spill_bytes": made.plan.spill_bytes,
            "planned_bytes": made.plan.memory_bytes,
            "planned_s": made.plan.seconds + made.plan.save_s,
            "seconds": made.seconds - self._copied_s,
            "opened_s": made.opened_s,
            "basis": made.plan.basis,
            "window_batch": made.plan.window_batch,
            "evaluations": made.plan.evaluations,
            "sha256": made.sha256,
            "parts": parts,
            "stages": [[stage.name, stage.planned_s, stage.seconds] for stage in made.trace],
        }


def _kill(ticked: float) -> None:
    say({"killing": time.monotonic() - ticked})
    # Nothing is flushed, closed or caught.
    os.kill(os.getpid(), signal.SIGKILL)


def try_call(asked: dict[str, Any]) -> dict[str, Any]:
    """Call diffusers' pipeline at the full size for one step."""
    policy, native = choose_policy(asked["device"], asked["dtype"]), load_contract(asked["folder"]).native
    sides = (min(native.width, native.height), int(asked["size_px"]))
    found = call_pipeline(Path(asked["folder"]), sides, policy.unet_dtype, policy.device, asked["device_bytes"])
    return asdict(found)


@torch.inference_mode()
def try_decode(asked: dict[str, Any]) -> dict[str, Any]:
    """Decode the same latents in one of three ways; keep the pixels beside, for comparing."""
    device = choose_policy(asked["device"], asked["dtype"]).device
    vae = load_decoder(Path(asked["folder"]), device)
    latents = draw_latents(vae, asked["size_px"])
    if asked["way"] == "whole":
        spent, made = decode_whole(vae, latents, device, asked["device_bytes"])
    else:
        decode = decode_in_their_tiles if asked["way"] == "their tiles" else decode_in_our_tiles
        spent, made = decode(vae, latents, device)
    np.save(asked["pixels"], made.float().cpu().numpy())
    return asdict(spent)


if __name__ == "__main__":
    main()
