"""Single calls of a loaded model, timed and weighed: what a forecast is fitted to.

Knows no request, plan or file; decides nothing. Run it in a process of its own where memory matters:
it restarts the count of the peak. Start reading at `measure_trials`.

The window of a render is measured at two batch sizes and at half its side; a tile of the autoencoder at
two sizes, both ways. A tile is too small to show what the attention in the middle of a KL autoencoder takes of a large
picture, the square of its cells, so some of its pairs are measured alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from sfumato.core.geometry import LatentSize
from sfumato.core.memory import give_back_memory, read_memory, restart_peak_memory
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.autoencoder.kl_layers import list_decoder_layers
from sfumato.models.autoencoder.kl_tiles import WORK_BYTES
from sfumato.models.latent_model import LatentModel
from sfumato.nn.tiled import Attend
from sfumato.nn.tiled.attention import KEY_BLOCK, attend_block, query_block

TrialPart = Literal["denoise", "decode", "encode", "attend"]

_PROMPT = "a house by the sea"
# Any noise does: the network works as hard at every level.
_SIGMA, _SEED, _GUIDANCE = 1.0, 5, 2.0
# A first call also makes oneDNN's primitives and packs weights: tens of milliseconds, nothing beside seconds.
_SLOW_S, _TURNS = 2.0, 5
# Sides of tiles in cells. A KL decoder of SD's size takes a GiB and many seconds at twice that.
_TILES = {"tiny": (16, 64), "kl": (16, 32)}
_LEAST_CELLS = 8
_KEY_BLOCKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Hold what one call took: seconds, and the most bytes on the device above those held once every call has run.

    The first calls of a kind leave something behind that stays: code made for their sizes, room that is used again.

    `batch` counts evaluations in the call, each of `cells` latent cells; a tile has one. Of an attention, it counts the
    cells that ask, each of all `cells`.
    """

    part: TrialPart
    cells: int
    batch: int
    seconds: float
    peak_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the trial as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Call:
    """Hold a call to measure, and what a trial says of it."""

    part: TrialPart
    cells: int
    batch: int
    run: Callable[[], object]


def measure_trials(model: LatentModel, batches: tuple[int, int], *, weigh: bool = True) -> tuple[Trial, ...]:
    """Measure a model with windows of its native size, so many in one call, both halves of guidance.

    The middle of a few tries in turns: what other processes take is taken from a render as well, and one
    that comes and goes meets all calls alike. Without `weigh` no memory is measured and the count of the peak is left
    alone; with it the process holds in the end what one holds that has drawn a while. Cost: about 100 evaluations of a
    native window where one takes milliseconds, 14 where seconds.

    Raises:
        ModelError: the model gave numbers that are no picture.
    """
    calls = _list_calls(model, batches)
    firsts = [_try(model.device, call, weigh=weigh) for call in calls]
    tries = [[first] if first > _SLOW_S else [] for first, _ in firsts]
    for _ in range(_TURNS):
        for call, (first, _), found in zip(calls, firsts, tries, strict=True):
            if first <= _SLOW_S:
                found.append(_time(model.device, call.run))
    peaks = _settle(model, calls, firsts, batches) if weigh else [None] * len(calls)
    return tuple(
        Trial(part=call.part, cells=call.cells, batch=call.batch, seconds=statistics.median(found), peak_bytes=peak)
        for call, found, peak in zip(calls, tries, peaks, strict=True)
    )


def _settle(
    model: LatentModel, calls: list[_Call], firsts: list[tuple[float, int | None]], batches: tuple[int, int]
) -> list[int | None]:
    """Return the peaks of the calls, in their first or a later one, above what is held after all of them."""
    quick = [first <= _SLOW_S for first, _ in firsts]
    if all(quick):
        # A row of windows ends with as many as are left, and each number of them leaves something of its own.
        for windows in range(batches[0] + 1, batches[1]):
            _denoise_call(model, model.contract.native.to_latent(model.contract.factor), windows).run()
    agains = [
        _try(model.device, call, weigh=True)[1] if is_quick else peak
        for call, is_quick, (_, peak) in zip(calls, quick, firsts, strict=True)
    ]
    settled = start_weighing(model.device)
    return [
        None if settled is None or first is None or again is None else max(0, max(first, again) - settled)
        for (_, first), again in zip(firsts, agains, strict=True)
    ]


def _list_calls(model: LatentModel, batches: tuple[int, int]) -> list[_Call]:
    contract = model.contract
    native = contract.native.to_latent(contract.factor)
    half = LatentSize(*(max(_LEAST_CELLS, side // 2) for side in (native.width, native.height)))
    calls = [
        _denoise_call(model, size, batch) for size, batch in [(half, batches[0]), *((native, one) for one in batches)]
    ]
    for side in _TILES[contract.autoencoder]:
        calls += _tile_calls(model, LatentSize(side, side))
    return [*calls, *_attend_calls(model)]


def _denoise_call(model: LatentModel, size: LatentSize, windows: int) -> _Call:
    parts = parse_prompt(_PROMPT).at_step(0, 1)
    pixels = size.to_pixels(model.contract.factor)
    told = model.encode_prompt(parts, size=pixels)
    plain = model.encode_prompt(parts, size=pixels, negative=True)
    x = _draw((windows, model.contract.latent_channels, *size.shape_hw), model.device)
    return _Call("denoise", size.area, 2 * windows, lambda: model.denoise_guided(x, _SIGMA, told, plain, _GUIDANCE))


def _tile_calls(model: LatentModel, size: LatentSize) -> list[_Call]:
    latents = _draw((1, model.contract.latent_channels, *size.shape_hw), model.device)
    pixels = _draw((1, 3, *size.to_pixels(model.contract.factor).shape_hw), model.device).clamp(-1.0, 1.0)
    return [
        _Call("decode", size.area, 1, lambda: model.decode(latents)),
        _Call("encode", size.area, 1, lambda: model.encode_image(pixels)),
    ]


def _attend_calls(model: LatentModel) -> list[_Call]:
    """Return the attention of a KL autoencoder, as many cells asking as in a tile; none where it has none."""
    layers = [] if model.contract.autoencoder == "tiny" else list_decoder_layers(model.vae)
    layer = next((layer for layer in layers if isinstance(layer, Attend)), None)
    if layer is None:
        return []
    channels = int(layer.query.weight.shape[0])
    asking = _draw((query_block(channels, WORK_BYTES), channels), model.device)
    asked = [_draw((KEY_BLOCK, channels), model.device)] * _KEY_BLOCKS
    run = torch.inference_mode()(lambda: attend_block(layer, asking, asked))
    return [_Call("attend", _KEY_BLOCKS * KEY_BLOCK, len(asking), run)]


def _draw(shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(_SEED)).to(device)


def _try(device: torch.device, call: _Call, *, weigh: bool) -> tuple[float, int | None]:
    """Return the seconds of a call, and the most bytes that were held in it."""
    weighed = weigh and start_weighing(device) is not None
    seconds = _time(device, call.run)
    return seconds, weigh_peak(device) if weighed else None


def _time(device: torch.device, call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def start_weighing(device: torch.device) -> int | None:
    """Restart the count of the peak and return the bytes held now; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    give_back_memory()
    return read_memory("VmRSS") if device.type == "cpu" and restart_peak_memory() else None


def weigh_peak(device: torch.device) -> int:
    """Return the most bytes held since `start_weighing`."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else read_memory("VmHWM")
