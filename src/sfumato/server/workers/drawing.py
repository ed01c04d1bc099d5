"""The worker that draws with the engine: one model stays loaded, a stopped canvas goes on where it was.

Run as a process: `python -m sfumato.server.workers.drawing FOLDER NAME DEVICE`. Start reading at `EngineDraw.__call__`.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sfumato import api
from sfumato.core.memory import give_back_memory
from sfumato.core.settings import load_settings
from sfumato.server.orders import EnlargeOrder, LookOrder, RebaseOrder, TeachOrder, read_order
from sfumato.server.workers.loop import Attempt, Drawing, WorkerLoop
from sfumato.server.workers.models import ModelCache, ModelKey
from sfumato.server.workers.other_kinds import carry, enlarge_picture, look, teach
from sfumato.server.workers.results import describe_pictures

_GB = 1024**3
# What the interface of a server shows; the work itself is as large as it is.
_PREVIEW_SIDE_PX = 512
_PREVIEW_QUALITY = 80


class EngineDraw:
    """Draw jobs with the engine. Keeps models loaded as far as memory goes, see `ModelCache`."""

    def __init__(self, device: str) -> None:
        """Load nothing yet."""
        self._device = device
        self.models = ModelCache(load=self._load)

    def _load(self, key: ModelKey) -> api.Model:
        ref, vae, prediction, arithmetic = key
        return api.load(ref, vae=vae, prediction=prediction, device=self._device, arithmetic=arithmetic)

    def __call__(self, attempt: Attempt) -> Drawing:
        """Do a job of any kind, with all its files in its folder.

        Raises:
            InterruptedRender: somebody wants it to stop.
            Others: as `api.run`, `api.find`, `api.check` and `api.upscale`.
        """
        order = read_order(attempt.job.request)
        if isinstance(order, LookOrder):
            return look(order, attempt)
        if isinstance(order, EnlargeOrder):
            return enlarge_picture(order, attempt, self._device)
        if isinstance(order, TeachOrder):
            # Training wants the memory of the model that drew.
            self.models.clear()
            return teach(order, attempt, self._device)
        if isinstance(order, RebaseOrder):
            self.models.clear()
            return carry(order, attempt, self._device)
        return self._render(order, attempt)

    def _render(self, request: api.RenderRequest, attempt: Attempt) -> Drawing:
        key = (request.model, request.vae, request.prediction, request.arithmetic)
        model = self.models.open(key)
        budget_gb = load_settings().budget_gb
        options = api.RunOptions(
            out=attempt.folder / "picture.png",
            report=False,
            # An earlier attempt may have left half a canvas; only methods that keep a journal can go on.
            resume=any(attempt.folder.glob("*.work")),
            budget_bytes=round(budget_gb * _GB) if budget_gb else None,
        )
        try:
            pictures = self._run(model, request, options, attempt)
        except api.BudgetError:
            # It would fit if no other model were kept.
            if not self.models.drop_others(key):
                raise
            give_back_memory()
            pictures = self._run(model, request, options, attempt)
        except api.RequestError:
            if not options.resume:
                raise
            # Other weights or another torch since: what was drawn fits no longer.
            shutil.rmtree(attempt.folder)
            attempt.folder.mkdir()
            pictures = self._run(model, request, replace(options, resume=False), attempt)
        return describe_pictures(pictures, attempt)

    @staticmethod
    def _run(
        model: api.Model, request: api.RenderRequest, options: api.RunOptions, attempt: Attempt
    ) -> tuple[api.Picture, ...]:
        return model.run(
            request, options, on_event=lambda event: _tell(attempt, event), should_stop=attempt.should_stop
        )


def _tell(attempt: Attempt, event: api.Event) -> None:
    if isinstance(event, api.ProgressEvent):
        told = event.to_json()
        # What may be withheld in the end is not shown on the way.
        if event.preview is not None and load_settings().safety != "withhold" and attempt.wants_preview():
            # A picture that cannot be shown yet must not stop the one that is drawn.
            with suppress(ValueError, RuntimeError):
                told["preview"] = _pack(event.preview())
        attempt.tell(told)
    elif isinstance(event, api.WarningEvent):
        attempt.tell(event.to_json())


def _pack(picture: Any) -> str:
    picture = picture.convert("RGB")
    picture.thumbnail((_PREVIEW_SIDE_PX, _PREVIEW_SIDE_PX))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_PREVIEW_QUALITY)
    return base64.b64encode(stream.getvalue()).decode()


def main() -> None:
    """Work for the server that started this process, until it closes stdin."""
    folder, name, device = sys.argv[1:4]
    # Ctrl-C reaches every process of a terminal; the server decides when a worker stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The lines of the server have stdout to themselves; what libraries print goes to the log.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Requests name pictures relative to the state folder; what the settings name is relative to where the server began.
    for variable in ("SFUMATO_MODELS", "SFUMATO_LORA_FOLDER", "SFUMATO_CONCEPTS", "SFUMATO_PARTS"):
        if os.environ.get(variable):
            os.environ[variable] = str(Path(os.environ[variable]).expanduser().absolute())
    os.chdir(folder)
    draw = EngineDraw(device)
    # Most first jobs want the default model; whatever is wrong with it is told by the job that asks for it.
    with suppress(api.SfumatoError):
        draw.models.open((api.DEFAULTS.model, None, None, None))
    WorkerLoop(folder=Path(folder), name=name, draw=draw, device=device, output=lines).run()


if __name__ == "__main__":
    main()
