"""What a request would cost here, before anything is loaded: the plan, from headers and free memory.

Knows how a render is wished for and where; imports no network, so that `sfumato plan` answers soon.
Start reading at `plan_request`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sfumato.canvas.formats.save import PYRAMID_SUFFIXES, count_whole_bytes
from sfumato.core.request import GobigMethod, RenderRequest
from sfumato.models.autoencoder.offload import find_offload_folder, measure_offload_bytes
from sfumato.models.contract import ModelContract
from sfumato.models.describe import load_contract
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.library import find_model_file
from sfumato.models.hardware.policy import (
    FREE_SHARE_CPU,
    FREE_SHARE_CUDA,
    Policy,
    choose_policy,
    count_packed_bytes,
    measure_free_bytes,
)
from sfumato.models.upscaler.detect_shape import UpscalerShape, describe_upscaler
from sfumato.render.exact_scale import widen_request
from sfumato.render.plan.budget import GUESSES, Budget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.stages import Plan
from sfumato.workflows.files.digests import list_adapters
from sfumato.workflows.files.inputs import read_inputs
from sfumato.workflows.files.output_paths import check_places
from sfumato.workflows.forecast.calibration_store import load_known, name_place
from sfumato.workflows.forecast.learned_speed import make_cost

# The upscaler that is no file.
RESAMPLING = GobigMethod().upscaler


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Say how to render, without changing a pixel: where to write, how much to use, what to show.

    `budget_bytes` None takes what is free on the device. `preview` is rewritten every `preview_every`
    steps. `resume` goes on with what a stopped render left. `began` is the monotonic clock when the
    process started to open things, where somebody noted it.
    """

    out: Path
    report: bool = True
    budget_bytes: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    preview: Path | None = None
    preview_every: int = 5
    resume: bool = False
    began: float | None = None


def plan_request(request: RenderRequest, wishes: Wishes) -> Plan:
    """Plan a request as `plan_from_headers`, after a look at the pictures it starts from.

    Raises:
        RequestError: the request does not fit its model or its place, or a picture or mask does not fit the request.
        BudgetError: over budget; says the largest size that fits.
    """
    check_places(request, wishes.out, wishes.preview)
    read_inputs(request)
    return plan_from_headers(request, wishes)


def plan_from_headers(request: RenderRequest, wishes: Wishes) -> Plan:
    """Plan a request from the headers of its model, with the memory that is free and the pace of earlier renders.

    Raises: as `plan_request`, save for the pictures.
    """
    list_adapters(request)
    read_upscaler(request)
    contract = load_contract(request.model, vae=request.vae)
    return make_plan(request, (contract, choose_policy(wishes.device, wishes.dtype)), wishes)


def read_upscaler(request: RenderRequest) -> UpscalerShape | None:
    """Check the file of an upscaler, so that a plan finds out what a render would, and say what it is.

    Raises:
        UnsafeFileError: it does not pass the gate.
        ModelError: there is no such file.
    """
    name = getattr(request.method, "upscaler", RESAMPLING)
    return None if name == RESAMPLING else describe_upscaler(check_weights_file(find_model_file("upscaler", name)))


def make_plan(request: RenderRequest, on: tuple[ModelContract, Policy], wishes: Wishes) -> Plan:
    """Plan a request on a model and device that are known, with the memory and disk that are free.

    Raises: as `plan_request`.
    """
    contract, _ = on
    budget = replace(make_budget(*on, wishes), upscaler=read_upscaler(request))
    plan = plan_render(widen_request(request, contract.factor), contract, budget)
    return replace(plan, size=request.size)


def make_budget(contract: ModelContract, policy: Policy, wishes: Wishes) -> Budget:
    """Look at what is free here, and at what is known of the model's cost."""
    free, known = measure_free_bytes(policy.device), load_known(contract, name_place(policy))
    apart = policy.device.type == "cuda"
    return Budget(
        memory_bytes=free if wishes.budget_bytes is None else wishes.budget_bytes,
        cost=make_cost(known, GUESSES[contract.family]),
        disk_bytes=_free_disk(wishes.out.parent),
        free_bytes=free,
        decode_share=FREE_SHARE_CUDA if apart else FREE_SHARE_CPU,
        packed_bytes=count_packed_bytes(policy, contract.denoiser_parameters),
        spill_bytes=measure_offload_bytes(),
        spill_shared=_is_one_disk(find_offload_folder(), wishes.out.parent),
        maps_beside=policy.device.type == "cpu",
        pyramid=wishes.out.suffix.lower() in PYRAMID_SUFFIXES,
        whole_bytes=count_whole_bytes(wishes.out),
        separate=apart,
        host_bytes=measure_free_bytes(torch.device("cpu")) if apart else None,
        load_bytes=contract.denoiser_parameters * policy.unet_dtype.itemsize if apart else 0,
        weights_bytes=count_loaded_bytes(contract, policy),
        number_bytes=policy.unet_dtype.itemsize,
        footprint=known.footprint,
        loaded_bytes=known.loaded_bytes,
    )


def count_loaded_bytes(contract: ModelContract, policy: Policy) -> int | None:
    """Return what the weights take once loaded, whatever number type their files have; None where nobody counted them."""
    if not contract.parameters:
        return None
    others = contract.parameters - contract.denoiser_parameters
    return contract.denoiser_parameters * policy.unet_dtype.itemsize + others * policy.vae_dtype.itemsize


def _is_one_disk(folder: Path, other: Path) -> bool:
    """Tell whether two folders, which need not be there yet, are on one disk."""
    first, second = (_look(place, lambda found: found.stat().st_dev) for place in (folder, other))
    return first is not None and first == second


def _free_disk(folder: Path) -> int | None:
    """Return what is free where `folder` is, or will be once it is made."""
    return _look(folder, lambda place: shutil.disk_usage(place).free)


def _look(folder: Path, ask: Callable[[Path], int]) -> int | None:
    """Ask the first that is there: a folder, or what it will be made in; None where the system does not tell."""
    for place in (folder.absolute(), *folder.absolute().parents):
        with suppress(OSError):
            return ask(place)
    return None
