"""What a request would cost here, before anything is loaded: the plan, from headers and free memory.

Knows how a render is wished for and where; imports no network, so that `sfumato plan` answers soon.
Start reading at `plan_request`.
"""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sfumato.canvas.formats.save import PYRAMID_SUFFIXES, count_whole_bytes
from sfumato.canvas.pixels import PixelStore
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.memory import give_back_memory, read_memory
from sfumato.core.request import GobigMethod, PictureMethod, RenderRequest
from sfumato.models.autoencoder.estimate import find_offload_folder, measure_offload_bytes
from sfumato.models.contract import ModelContract
from sfumato.models.describe import load_contract
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.library import find_model_file
from sfumato.models.hardware.detect import read_torch_version
from sfumato.models.hardware.policy import (
    FREE_SHARE_CPU,
    FREE_SHARE_CUDA,
    Policy,
    choose_policy,
    count_packed_bytes,
    count_threads,
    find_rates,
    measure_free_bytes,
)
from sfumato.models.upscaler.detect_shape import UpscalerShape, describe_upscaler
from sfumato.render.cohesive.input_picture import lay_out
from sfumato.render.exact_scale import widen_request
from sfumato.render.plan.budget import MIB, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.stages import FocusForecast, Plan
from sfumato.workflows.control.units import check_controls
from sfumato.workflows.files.digests import list_adapters
from sfumato.workflows.files.inputs import check_decoding, read_inputs
from sfumato.workflows.files.output_paths import check_places
from sfumato.workflows.focus.run import check_focus, plan_focus
from sfumato.workflows.focus.while_sampling import check_while_sampling, plan_windows
from sfumato.workflows.forecast.calibration_store import load_calibration, name_place
from sfumato.workflows.personalize.resolve import resolve_concepts
from sfumato.workflows.run_options import RunOptions

# The upscaler that is no file.
RESAMPLING = GobigMethod().upscaler
# What importing takes that may come after a plan, on the machines measured so far, and the program where no system tells.
_IMPORT_BYTES = {"torch": 250 * MIB, "torchvision": 40 * MIB, "spandrel": 150 * MIB, "diffusers": 190 * MIB}
_PROGRAM_BYTES = 1000 * MIB
# A torch that brings the libraries of a GPU touches pages of them even where there is none.
_CUDA_BUILD_BYTES = 550 * MIB
# Code made for the sizes of a network, and the heap and working room of a thread: 25 MiB measured with one thread.
_KERNEL_BYTES, _THREAD_BYTES = 20 * MIB, 12 * MIB


def plan_request(request: RenderRequest, options: RunOptions) -> Plan:
    """Plan a request as `plan_from_headers`, after a look at the pictures it starts from.

    Raises:
        RequestError: the request does not fit its model or its place, or a picture or mask does not fit the request.
        BudgetError: over budget; says the largest size that fits.
    """
    if options.out is not None:
        check_places(request, options.out, options.preview)
    check_pictures_fit(request, options)
    inputs = read_inputs(request)
    plan = plan_from_headers(request, options)
    works = plan.focus is not None or plan.anatomy is not None
    if not works or not isinstance(request.method, PictureMethod) or inputs.source is None:
        return plan
    return _list_parts(plan, request, options, lay_out(inputs.source, MemoryWorkspace()))


def _list_parts(plan: Plan, request: RenderRequest, options: RunOptions, pixels: PixelStore) -> Plan:
    """Return a plan that names every part of a picture that is there to be looked at."""
    contract = load_contract(request.model, vae=request.vae, prediction=request.prediction)
    budget = make_budget(contract, choose_policy(options.device, options.dtype, request.arithmetic), options)
    return replace(
        plan,
        focus=None if request.focus is None else plan_focus(request, contract, budget, pixels),
        anatomy=_plan_hands(request, contract, budget, pixels),
    )


def _plan_hands(
    request: RenderRequest, contract: ModelContract, budget: RenderBudget, pixels: PixelStore | None = None
) -> FocusForecast | None:
    """Say what the hands of a picture may cost; None where nobody asks about them.

    Raises:
        RequestError: hands cannot be found or read here.
    """
    if request.anatomy is None:
        return None
    from sfumato.workflows.repair.run import check_anatomy, plan_anatomy

    check_anatomy(request, contract)
    return plan_anatomy(request, contract, budget, pixels)


def check_pictures_fit(request: RenderRequest, options: RunOptions) -> None:
    """Check that the pictures of a request fit the budget, or what is free, before one is decoded.

    Raises: as `check_decoding`.
    """
    free = measure_free_bytes("cpu")
    check_decoding(request, free if options.budget_bytes is None else options.budget_bytes)


def plan_from_headers(request: RenderRequest, options: RunOptions) -> Plan:
    """Plan a request from the headers of its model, with the memory that is free and the pace of earlier renders.

    Raises: as `plan_request`, save for the pictures.
    """
    list_adapters(request)
    resolve_concepts(request)
    read_upscaler(request)
    contract = load_contract(request.model, vae=request.vae, prediction=request.prediction)
    return make_plan(request, contract, choose_policy(options.device, options.dtype, request.arithmetic), options)


def read_upscaler(request: RenderRequest) -> UpscalerShape | None:
    """Check the file of an upscaler, so that a plan finds out what a render would, and say what it is.

    Raises:
        UnsafeFileError: it does not pass the gate.
        ModelError: there is no such file.
    """
    name = getattr(request.method, "upscaler", RESAMPLING)
    return None if name == RESAMPLING else describe_upscaler(check_weights_file(find_model_file("upscaler", name)))


def make_plan(
    request: RenderRequest, contract: ModelContract, policy: Policy, options: RunOptions, *, loaded: bool = False
) -> Plan:
    """Plan a request on a model and device that are known, with the memory and disk that are free.

    `loaded`: this process holds the model already, and perhaps more, so what it holds now counts.

    Raises: as `plan_request`.
    """
    check_focus(request, contract)
    check_while_sampling(request)
    budget = make_budget(contract, policy, options, loaded=loaded)
    budget = replace(budget, upscaler=read_upscaler(request), control_parameters=check_controls(request))
    plan = plan_render(widen_request(request, contract.factor), contract, budget)
    is_after = request.focus is not None and request.focus.is_after
    focus = plan_focus(request, contract, budget) if is_after else None
    windows = plan_windows(request, contract, budget, plan.stages)
    anatomy = _plan_hands(request, contract, budget)
    return replace(plan, size=request.size, focus=focus, windows=windows, anatomy=anatomy)


def make_budget(contract: ModelContract, policy: Policy, options: RunOptions, *, loaded: bool = False) -> RenderBudget:
    """Look at what is free here, at the calibration of the model, and at what a process with a `loaded` model holds.

    A process that drew before holds more than after its first picture: other models, pictures, pages of the heap in use.
    """
    free, known = measure_free_bytes(policy.device_name), load_calibration(contract, name_place(policy))
    held = _measure_held_bytes() if loaded else 0
    apart = policy.device_kind == "cuda"
    load = contract.denoiser_parameters * policy.unet_bytes if apart else 0
    model = count_loaded_bytes(contract, policy) + count_packed_bytes(policy, contract.denoiser_parameters)
    program = measure_program_bytes()
    if held and not apart:
        # What is held is no longer free, and the plan counts it as used.
        free += held
        known = replace(known, device_bytes=held)
    elif held:
        known = replace(known, host_bytes=held)
    return RenderBudget(
        memory_bytes=free if options.budget_bytes is None else options.budget_bytes,
        cost=known.cost,
        base_bytes=known.device_bytes or (model if apart else model + program),
        free_bytes=free,
        decode_share=FREE_SHARE_CUDA if apart else FREE_SHARE_CPU,
        separate=apart,
        host_bytes=measure_free_bytes("cpu") if apart else None,
        host_base_bytes=load + (known.host_bytes or program),
        disk_bytes=_free_disk(_find_folder(options)),
        spill_bytes=measure_offload_bytes(),
        spill_shared=_is_one_disk(find_offload_folder(), _find_folder(options)),
        number_bytes=policy.unet_bytes,
        pyramid=options.out is not None and options.out.suffix.lower() in PYRAMID_SUFFIXES,
        whole_bytes=0 if options.out is None else count_whole_bytes(options.out),
    )


def _measure_held_bytes() -> int:
    """Return what this process holds once its heap has given back what is free; 0 where the system does not tell.

    The code and the working room that a first picture or another size will add are counted.
    """
    if not Path("/proc/self/status").is_file():
        return 0
    give_back_memory()
    return read_memory("VmRSS") + _KERNEL_BYTES + _THREAD_BYTES * count_threads()


@functools.cache
def measure_program_bytes() -> int:
    """Return what the program holds before a model is loaded: what this process holds, and allowances for the rest.

    Imports differ between machines by hundreds of MiB, so they are measured: at the first plan of the process, which
    comes before a model. Libraries that come later, the code made for a network, and the threads' own heaps are allowed for.
    """
    held = read_memory("VmRSS") if Path("/proc/self/status").is_file() else _PROGRAM_BYTES
    unknown = _CUDA_BUILD_BYTES if "+cu" in read_torch_version() else _IMPORT_BYTES["torch"]
    allowed = _IMPORT_BYTES | {"torch": find_rates().import_bytes or unknown}
    later = sum(count for name, count in allowed.items() if name not in sys.modules)
    return held + later + _KERNEL_BYTES + _THREAD_BYTES * count_threads()


def count_loaded_bytes(contract: ModelContract, policy: Policy) -> int:
    """Return what the weights take once loaded, whatever number type their files have; as the files if not counted."""
    if not contract.parameters:
        return contract.weights_bytes
    others = contract.parameters - contract.denoiser_parameters
    return contract.denoiser_parameters * policy.unet_bytes + others * policy.vae_bytes


def _find_folder(options: RunOptions) -> Path:
    """Return the folder that a picture goes to; this one where it stays in memory."""
    return Path() if options.out is None else options.out.parent


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
