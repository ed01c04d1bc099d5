"""The folder beside a picture where a large render keeps its canvases and its journal until it is done.

Knows requests, plans and folders; no step. Start reading at `open_work`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sfumato.canvas.workspace.disk_workspace import DiskWorkspace, check_asked, name_work
from sfumato.core.errors import RequestError
from sfumato.core.files import is_held
from sfumato.core.metadata.write import WeightDigests
from sfumato.core.request import RenderRequest
from sfumato.core.serialize import Json, to_json
from sfumato.models.hardware.detect import read_torch_version
from sfumato.models.hardware.policy import Policy, count_threads
from sfumato.models.hardware.torch_settings import share_among
from sfumato.render.cohesive.journal import JOURNAL
from sfumato.render.methods.registry import find_method
from sfumato.render.stages import Plan

_CHOICES = "choices"


def check_work(path: Path, request: RenderRequest, *, resume: bool) -> None:
    """Check, before anything is loaded, that nothing is lost and that resuming means something.

    Raises:
        RequestError: the method keeps no journal, stopped work lies there and nobody asked to go on with it, or
            another process is at work there.
    """
    if not find_method(request.method).keeps_work:
        if resume:
            got = f"`method` {request.method.kind}"
            raise RequestError("only the cohesive method can be resumed", got=got, do="Leave `resume` out.")
        return
    if is_held(name_work(path)):
        raise RequestError(
            "another process is at work on this picture", got=str(path), do="Wait for it, or give another `out`."
        )
    check_asked(name_work(path), resume=resume)


def open_work(
    path: Path, *, request: RenderRequest, digests: WeightDigests, plan: Plan, policy: Policy, resume: bool
) -> tuple[DiskWorkspace | None, Plan]:
    """Open the folder of a picture that is grown, and return the plan that it was begun with; None for other methods.

    What the machine decided (how many windows at once, the room of the autoencoder, how many threads share a sum)
    stays as it was when the work began: it changes the last bits.

    Raises:
        RequestError: other work lies there, or somebody else's files.
        StorageError: the disk refuses.
    """
    if not find_method(request.method).keeps_work:
        return None, plan
    # In the order in which differences are told: what follows from another comes after it.
    identity: dict[str, Json] = {
        "journal": JOURNAL,
        **request.to_json(),
        "weights": to_json(digests),
        "torch": read_torch_version(),
        "device": policy.device_kind,
        "dtype": policy.to_json()["unet_dtype"],
        "stages": [f"{stage.name} {stage.canvas}" for stage in plan.stages],
    }
    space = DiskWorkspace(name_work(path), identity, resume=resume)
    kept = space.load_part(_CHOICES)
    if kept is None:
        room = -1 if plan.autoencoder_bytes is None else plan.autoencoder_bytes
        batches, threads = np.array([stage.window_batch for stage in plan.stages]), np.array(count_threads())
        space.save_part(_CHOICES, {"batches": batches, "room": np.array(room), "threads": threads})
        return space, plan
    if policy.device_kind == "cpu":
        share_among(int(kept["threads"]))
    batches, room = kept["batches"].tolist(), int(kept["room"])
    stages = tuple(replace(stage, window_batch=batch) for stage, batch in zip(plan.stages, batches, strict=True))
    return space, replace(plan, stages=stages, autoencoder_bytes=None if room < 0 else room)
