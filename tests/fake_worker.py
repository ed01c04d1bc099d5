"""A worker without networks: pictures of one colour, in as many steps as a job asks for, and every way to go wrong.

Run as a process by the supervisor, or killed by tests. The prompt says what happens: `die`, `defect`, `hang`, `refuse`,
or a number of seconds that each step takes. Start reading at `draw`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from PIL import Image, PngImagePlugin

from sfumato.core.errors import InterruptedRender, ModelError
from sfumato.core.files import write_atomic
from sfumato.server.workers.loop import Attempt, Drawing, DrawnFile, WorkerLoop

SIDE_PX = 16


def make_command(folder: Path, *, most_kills: int = 2):
    """Return the words that start a fake worker of a name."""
    return lambda name: [sys.executable, __file__, str(folder), name, str(most_kills)]


def draw(attempt: Attempt) -> Drawing:
    """Draw a batch, step by step; of other kinds of jobs only an answer."""
    request = attempt.job.request
    if "prompt" not in request or "steps" not in request:
        shown = _save(attempt.folder / "evidence-0.png", 1)
        return Drawing(files=[replace(shown, role="evidence")], result={"marked": attempt.name_file(0)})
    prompt, steps, batch = str(request["prompt"]), int(request["steps"]), int(request["batch"])
    if prompt == "die":
        print("about to die", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if prompt == "defect":
        raise ZeroDivisionError("a defect")
    if prompt == "refuse":
        raise ModelError("the model gave no numbers", do="Use another.")
    if prompt == "hang":
        # Enough steps that the supervisor knows how long one takes.
        for step in range(6):
            attempt.tell({"event": "progress", "step": step, "steps": steps, "done_frac": 0.1})
        os.kill(os.getpid(), signal.SIGSTOP)
    pause_s = float(prompt) if prompt.replace(".", "").isdecimal() else 0.0
    done = []
    for index in range(batch):
        for step in range(1, steps + 1):
            time.sleep(pause_s)
            told = {"event": "progress", "index": index, "pictures": batch, "stage": "base", "step": step}
            told |= {"steps": steps, "done_frac": step / steps, "left_s": (steps - step) * pause_s}
            if attempt.wants_preview():
                told["preview"] = base64.b64encode(_pack(step, "JPEG")).decode()
            attempt.tell(told)
            if attempt.should_stop():
                raise InterruptedRender("stopped")
        done.append(_save(attempt.folder / f"picture-{index}.png", int(request["seed"]) + index))
    return Drawing(files=done)


def _save(path: Path, seed: int) -> DrawnFile:
    packed = _pack(seed, "PNG")
    write_atomic(path, lambda file: file.write(packed))
    digest = hashlib.sha256(packed).hexdigest()
    return DrawnFile(path=path, media_type="image/png", width=SIDE_PX, height=SIDE_PX, sha256=digest, seed=seed)


def _pack(seed: int, kind: str) -> bytes:
    stream, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    texts.add_text("parameters", f"a colour\nSteps: 1, Seed: {seed}")
    more = {"pnginfo": texts} if kind == "PNG" else {}
    Image.new("RGB", (SIDE_PX, SIDE_PX), (seed % 256, 80, 160)).save(stream, kind, **more)
    return stream.getvalue()


if __name__ == "__main__":
    WorkerLoop(folder=Path(sys.argv[1]), name=sys.argv[2], draw=draw, most_kills=int(sys.argv[3])).run()
