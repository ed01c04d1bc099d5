"""Time one denoiser run by diffusers' own code and by ours, side by side in one process.

Knows how the compared runs are set up and counted; prints nothing and keeps no table
(`lab.bench.native` does). Weights are random: only shapes matter to speed. Start reading at
`measure_denoiser`.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from sfumato.core.errors import ModelError
from sfumato.models.hardware.fast_unet import FastPaths, speed_up
from sfumato.models.hardware.policy import Policy
from sfumato.models.load import find_checkpoint
from sfumato.models.mini import make_mini_unet

# The first pattern found in an operator's name decides; attention kernels are products.
_KINDS = (
    ("convolution", ("convolution", "conv2d")),
    ("matmul", ("addmm", "baddbmm", "::mm", "bmm", "linear_pointwise", "scaled_dot_product", "::linear")),
    ("norm", ("group_norm", "layer_norm", "batch_norm")),
    ("softmax and functions", ("softmax", "silu", "gelu", "exp", "sigmoid")),
    ("copies", ("copy_", "clone", "contiguous", "::cat", "::to", "_to_copy")),
)
_REST = "elementwise and shapes"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelShares:
    """Fractions of the time inside operators, and how many operators a pass starts."""

    shares: dict[str, float]
    operators: int
    milliseconds: float

    @property
    def us_per_operator(self) -> float:
        """Wall time over operators: near 5 to 10 a pass is bound by starting work, not by doing it."""
        return 1e3 * self.milliseconds / max(1, self.operators)

    @property
    def bound_by(self) -> str:
        """The kind that takes most."""
        return max(self.shares, key=lambda kind: self.shares[kind])


def profile_shares(call: Callable[[], Any]) -> KernelShares:
    """Profile one call after one that warms up; the wall time is that of an unprofiled call."""
    call()
    start = time.perf_counter()
    call()
    wall_ms = 1e3 * (time.perf_counter() - start)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        call()
    spent: defaultdict[str, float] = defaultdict(float)
    operators = 0
    for event in record.key_averages():
        spent[_kind(event.key)] += event.self_cpu_time_total
        operators += event.count
    total = sum(spent.values()) or 1.0
    shares = {kind: part / total for kind, part in sorted(spent.items(), key=lambda pair: -pair[1])}
    return KernelShares(shares=shares, operators=operators, milliseconds=wall_ms)


def _kind(name: str) -> str:
    return next((kind for kind, parts in _KINDS if any(part in name for part in parts)), _REST)


# A render runs one network step after step.
_STEPS_A_TURN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniTimes:
    """Milliseconds a step of `mini` by way of running, alone and guided, and what bounds ours."""

    weights: str
    parameters: int
    alone_ms: dict[str, float]
    guided_ms: dict[str, float]
    shares: KernelShares


@torch.inference_mode()
def measure_mini(policy: Policy, *, rounds: int = 5, unet: UNet2DConditionModel | None = None) -> MiniTimes:
    """Measure the denoiser of `mini` at its native size: batch 1 alone, batch 2 guided.

    Uses the packaged weights, or random ones of the same shape where none are packaged.
    """
    found, weights = (unet, "given") if unet is not None else _find_mini()
    own: Any = found.float().eval().requires_grad_(requires_grad=False)
    own.set_attn_processor(AttnProcessor2_0())
    ours = copy.deepcopy(own).to(dtype=policy.unet_dtype, memory_format=policy.memory_format)
    speed_up(ours, policy)
    networks = {
        "diffusers fp32": own,
        "diffusers bf16": copy.deepcopy(own).to(torch.bfloat16),
        "ours": ours,
    }
    return MiniTimes(
        weights=weights,
        parameters=sum(parameter.numel() for parameter in own.parameters()),
        alone_ms=_time_in_turns(networks, 1, rounds),
        guided_ms=_time_in_turns(networks, 2, rounds),
        shares=profile_shares(lambda: _step(ours, *_make_mini_inputs(ours, 1))),
    )


def _find_mini() -> tuple[UNet2DConditionModel, str]:
    try:
        folder = find_checkpoint("mini") / "unet"
        unet = UNet2DConditionModel.from_pretrained(folder, local_files_only=True)
    except (ModelError, OSError):
        with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            return make_mini_unet(), "random, of mini's shape: no mini is packaged"
    return unet, "packaged"


def _time_in_turns(networks: dict[str, Any], batch: int, rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            inputs = _make_mini_inputs(network, batch)
            # Not counted: it packs, and brings back the weights that another row pushed out of the cache.
            _step(network, *inputs)
            for _ in range(_STEPS_A_TURN):
                start = time.perf_counter()
                _step(network, *inputs)
                found[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in found.items()}


def _step(network: Any, x: Tensor, text: Tensor) -> Tensor:
    return network(x, _TIMESTEP, text).sample


def _make_mini_inputs(network: Any, batch: int) -> tuple[Tensor, Tensor]:
    cells = network.config.sample_size
    x = torch.ones(batch, network.config.in_channels, cells, cells, dtype=network.dtype)
    return x, torch.ones(batch, _TOKENS, network.config.cross_attention_dim, dtype=network.dtype)


_SEED = 20260523
# Where a step is measured: the middle of the schedule; speed does not depend on it.
_TIMESTEP = 500
# Text tokens of one chunk.
_TOKENS = 77
# A product this large is bound by arithmetic, not by starting it: 17 GFLOP.
_MATMUL_SIDE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one way of running gave; times in seconds, differences from float32 relative to its mean size."""

    name: str
    dtype: str
    seconds: tuple[float, ...]
    flop: int
    mean_difference: float
    max_difference: float

    @property
    def median_s(self) -> float:
        """Seconds a step, the middle of the rounds."""
        return statistics.median(self.seconds)

    @property
    def tflops(self) -> float:
        """Counted arithmetic over time; skipped work is not credited twice."""
        return self.flop / self.median_s / 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserTimes:
    """The rows of one run, and the matmul rates (TFLOP/s, by number type) measured between them."""

    rows: tuple[Timing, ...]
    matmul_tflops: dict[str, float]
    size_px: int
    batch: int
    rounds: int

    def share(self, row: Timing) -> float:
        """Return a row's rate as a fraction of the matmul rate in its own number type."""
        return row.tflops / self.matmul_tflops[row.dtype]


@dataclass(frozen=True, slots=True)
class _TimedRun:
    name: str
    dtype: torch.dtype
    network: Any
    layout: torch.memory_format = torch.contiguous_format
    paths: FastPaths | None = None


@dataclass(slots=True)
class _Tally:
    seconds: list[float] = field(default_factory=list)
    output: Tensor | None = None


def make_random_unet(config: dict[str, Any]) -> UNet2DConditionModel:
    """Build a UNet of this configuration with random float32 weights, always the same."""
    # The caller's own random numbers go on as if nothing had been drawn.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return UNet2DConditionModel(**_own_fields(config)).requires_grad_(requires_grad=False).eval()


def count_flop(unet: UNet2DConditionModel, size_px: int, batch: int) -> int:
    """Count the arithmetic of one forward pass (two per multiply-add), without doing it."""
    # Tensors without contents still have shapes; plain attention, so that its products are counted as such.
    with torch.device("meta"):
        shape_only = UNet2DConditionModel(**_own_fields(unet.config))
    shape_only.set_attn_processor(AttnProcessor())
    x, text = (side.to("meta") for side in _make_inputs(unet.config, size_px, batch))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shape_only(x, _TIMESTEP, text)
    return counter.get_total_flops()


@torch.inference_mode()
def measure_denoiser(
    unet: UNet2DConditionModel,
    policy: Policy,
    *,
    size_px: int = 512,
    batch: int = 2,
    rounds: int = 3,
    on_round: Callable[[int, int], None] | None = None,
) -> DenoiserTimes:
    """Measure diffusers in float32, bf16 and bf16 channels-last, and ours, in turns.

    One uncounted round, then `rounds` rounds of all rows and of a large matmul in both number
    types, so that whatever else the machine does meets them all. Batch 2 is one guided picture.
    Memory: about 2.5 times the float32 weights, at once.
    """
    runs = list(_make_runs(unet, policy))
    tallies = [_Tally() for _ in runs]
    matmuls: dict[str, list[float]] = {"fp32": [], "bf16": []}
    inputs = _make_inputs(unet.config, size_px, batch)
    for turn in range(rounds + 1):
        if on_round is not None:
            on_round(turn, rounds)
        for run, tally in zip(runs, tallies, strict=True):
            _take_turn(run, tally, inputs, counted=turn > 0)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            matmuls[name].append(_time_matmul(dtype))
    exact = tallies[0].output
    assert exact is not None, "every run leaves its output"
    flop = count_flop(unet, size_px, batch)
    rows = tuple(_summarize(run, tally, exact, flop) for run, tally in zip(runs, tallies, strict=True))
    # The best of all: a rate to be held against must not be lowered by a busy moment.
    return DenoiserTimes(
        rows=rows,
        matmul_tflops={name: max(found) for name, found in matmuls.items()},
        size_px=size_px,
        batch=batch,
        rounds=rounds,
    )


def _make_runs(unet: Any, policy: Policy) -> Iterator[_TimedRun]:
    yield _TimedRun("diffusers fp32, as installed", torch.float32, unet)
    short = copy.deepcopy(unet).to(torch.bfloat16)
    yield _TimedRun("diffusers bf16", torch.bfloat16, short)
    wide = copy.deepcopy(short).to(memory_format=torch.channels_last)
    yield _TimedRun("diffusers bf16 + channels_last", torch.bfloat16, wide, torch.channels_last)
    # Ours shares weights with the row it is like; its forwards are attached for its turn only.
    ours = wide if policy.unet_dtype == torch.bfloat16 else unet
    paths = speed_up(ours, policy)
    paths.detach()
    name = f"ours ({policy.attention} attention{', packed' if policy.packed else ''})"
    yield _TimedRun(name, policy.unet_dtype, ours, policy.memory_format, paths)


def _take_turn(run: _TimedRun, tally: _Tally, inputs: Sequence[Tensor], *, counted: bool) -> None:
    x, text = (side.to(run.dtype) for side in inputs)
    x = x.contiguous(memory_format=run.layout)
    if run.paths is not None:
        run.paths.attach()
    try:
        start = time.perf_counter()
        tally.output = run.network(x, _TIMESTEP, text).sample.float()
        if counted:
            tally.seconds.append(time.perf_counter() - start)
    finally:
        if run.paths is not None:
            run.paths.detach()


def _summarize(run: _TimedRun, tally: _Tally, exact: Tensor, flop: int) -> Timing:
    assert tally.output is not None, "every run leaves its output"
    difference, size = (tally.output - exact).abs(), exact.abs().mean()
    return Timing(
        name=run.name,
        dtype={torch.float32: "fp32", torch.bfloat16: "bf16"}[run.dtype],
        seconds=tuple(tally.seconds),
        flop=flop,
        mean_difference=float(difference.mean() / size),
        max_difference=float(difference.max() / size),
    )


def _time_matmul(dtype: torch.dtype) -> float:
    a = torch.ones(_MATMUL_SIDE, _MATMUL_SIDE, dtype=dtype)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * _MATMUL_SIDE**3 / best / 1e12


def _make_inputs(config: Any, size_px: int, batch: int) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(_SEED)
    cells = size_px // 8
    x = torch.randn(batch // 2 or 1, config.in_channels, cells, cells, generator=stream)
    text = torch.randn(batch, _TOKENS, config.cross_attention_dim, generator=stream)
    # Both halves of guidance see the same latents, as in a render.
    return x.repeat(batch // x.shape[0], 1, 1, 1), text


def _own_fields(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}
