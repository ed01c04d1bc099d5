"""Time single calls of a model on this machine, so that plans say how long a render takes.

The window of a render is timed alone and several in one call, a tile of the autoencoder both ways. Start reading at
`run_probe`; `probe_loaded` does the same before a long render.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch

from sfumato.core.escape import write_command
from sfumato.core.geometry import LatentSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.load import load_model
from sfumato.render.plan.budget import GUESSES, MIB, SMALLER_BATCHES, WINDOW_BATCH
from sfumato.workflows.forecast.calibration_store import (
    MachineCalibration,
    load_calibration,
    name_machine,
    name_place,
    save_calibration,
    weigh_process,
)

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.plan.budget import CostModel
    from sfumato.render.stages import Plan

# A render that is to last fifty times as long as a calibration pays 2 % for better forecasts from then on.
WORTH_TIMES = 50
# About what a calibration evaluates where that is fast.
_EVALUATIONS = 60
# Calls that take longer than this are timed once; the others in turns, so that other work meets all of them alike.
_SLOW_S, _TURNS = 2.0, 5
# Any noise does: the network works as hard at every level.
_SIGMA, _SEED, _GUIDANCE, _PROMPT = 1.0, 5, 2.0, "a house by the sea"
# Sides of tiles in cells. A KL decoder of SD's size takes a GiB and many seconds at twice that.
_TILE_CELLS = {"tiny": 64, "kl": 32}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Hold what `sfumato bench probe` found."""

    name: str
    place: str
    known: MachineCalibration
    seconds: float
    command: str

    def to_json(self) -> dict[str, object]:
        """Return everything as JSON values."""
        return {"bench": "probe", "machine": name_machine(), **asdict(self)}

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """Write the numbers for people."""
        cost, memory = self.known.cost, self.known.device_bytes
        return "\n".join(
            (
                f"{self.name} on {self.place}, {name_machine()}",
                f"denoiser     {1e3 * cost.call_s:.1f} ms a call, {1e6 * cost.cell_s:.2f} us a cell and evaluation",
                f"autoencoder  {1e9 * cost.decode_s:.0f} ns a pixel decoded, {1e9 * cost.encode_s:.0f} ns encoded",
                f"first calls  {cost.start_s:.1f} s more than later ones",
                f"memory       {'not told by this system' if memory is None else f'{memory / MIB:.0f} MiB'} once loaded",
            )
        )


def run_probe(
    model: str = "mini",
    *,
    vae: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    command: str = "",
) -> Probe:
    """Calibrate a model on this machine and remember the result; what earlier renders taught is replaced.

    Raises:
        SfumatoError: the model cannot be opened or fails, as in a render.
    """
    loaded, began = load_model(model, vae=vae, device=device, dtype=dtype), time.monotonic()
    contract, place = loaded.contract, name_place(loaded.policy)
    open_s = load_calibration(contract, place).cost.open_s
    cost = replace(measure_speed(loaded), open_s=open_s)
    known = weigh_process(MachineCalibration(cost=cost), place)
    save_calibration(contract, place, known)
    return Probe(
        name=contract.name,
        place=place,
        known=known,
        seconds=round(time.monotonic() - began, 2),
        command=command or write_command("sfumato", "bench", "probe", "--model", str(model)),
    )


def probe_loaded(model: LatentModel, plan: Plan) -> bool:
    """Calibrate a loaded model before a render that is so long that it does not matter; tell whether that was done.

    For the plans after this one: the plan of this render stays.
    """
    contract, place = model.contract, name_place(model.policy)
    known, native = load_calibration(contract, place), contract.native.to_latent(contract.factor).area
    work = sum(stage.evaluations * stage.windows[0].size.area for stage in plan.stages)
    if known.cost.basis == "probe" or work < WORTH_TIMES * _EVALUATIONS * native:
        return False
    cost = measure_speed(model, max(plan.window_batch, SMALLER_BATCHES[-2]))
    save_calibration(contract, place, replace(known, cost=replace(cost, open_s=known.cost.open_s)))
    return True


def measure_speed(model: LatentModel, window_batch: int = WINDOW_BATCH) -> CostModel:
    """Time the calls of a loaded model: the middle of a few tries; other work on the machine slows a render as well.

    Cost: about 60 evaluations of a native window where one takes milliseconds, 12 where seconds.

    Raises:
        ModelError: the model gave numbers that are no picture.
    """
    contract, guess = model.contract, GUESSES[model.contract.family]
    side = _TILE_CELLS[contract.autoencoder]
    tile = LatentSize(side, side)
    latents = _draw(model, (1, contract.latent_channels, side, side))
    pixels = _draw(model, (1, 3, *tile.to_pixels(contract.factor).shape_hw)).clamp(-1.0, 1.0)
    calls: list[Callable[[], object]] = [
        _make_denoise(model, 1),
        _make_denoise(model, window_batch),
        lambda: model.decode(latents),
        lambda: model.encode_image(pixels),
    ]
    firsts = [_time(model, call) for call in calls]
    tries: list[list[float]] = [[first] if first > _SLOW_S else [] for first in firsts]
    for _ in range(_TURNS):
        for call, first, found in zip(calls, firsts, tries, strict=True):
            if first <= _SLOW_S:
                found.append(_time(model, call))
    one, many, decode, encode = (statistics.median(found) for found in tries)
    cells, area = 2 * contract.native.to_latent(contract.factor).area, tile.to_pixels(contract.factor).area
    # Both halves of guidance run in a call. A line that begins below nothing: the one through the larger point.
    cell_s = max(0.0, (many - one) / (cells * (window_batch - 1)))
    call_s = max(0.0, one - cell_s * cells)
    return replace(
        guess,
        call_s=call_s,
        cell_s=cell_s if call_s else many / (cells * window_batch),
        decode_s=decode / area,
        encode_s=encode / area,
        # A tile is too small to show attention between all cells of a picture: it is as much faster as the decoder.
        attend_s=guess.attend_s * decode / area / guess.decode_s,
        start_s=max(0.0, firsts[0] - one) + max(0.0, firsts[2] - decode),
        basis="probe",
    )


def _make_denoise(model: LatentModel, windows: int) -> Callable[[], object]:
    contract = model.contract
    parts, size = parse_prompt(_PROMPT).at_step(0, 1), contract.native
    prompt, negative = (model.encode_prompt(parts, size=size, negative=one) for one in (False, True))
    x = _draw(model, (windows, contract.latent_channels, *size.to_latent(contract.factor).shape_hw))
    return lambda: model.denoise_guided(x, _SIGMA, prompt, negative, _GUIDANCE)


def _draw(model: LatentModel, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(_SEED)).to(model.device)


def _time(model: LatentModel, call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter() - began
