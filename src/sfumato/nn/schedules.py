"""How much noise there is at each step: trained schedules and the sigmas to sample along.

Everything here lives in sigma space: x = x0 + sigma * n with n a unit normal, and in numpy, so that a plan needs no
torch. The variance preserving latents that a Stable Diffusion UNet sees are x / sqrt(1 + sigma^2), and its timestep is
`NoiseSchedule.sigma_to_t`. Knows no model and no sampler. Start reading at `NoiseSchedule`, then
`make_sigmas`; the table of names is at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sfumato.core.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float32, Float64
    from numpy.typing import ArrayLike, NDArray

BetaSchedule = Literal["linear", "scaled_linear"]

# Karras et al. 2022, table 1: rho 7 gave the best samples of the values they tried.
KARRAS_RHO = 7.0
# Betas rescaled to end in pure noise would give an infinite sigma. The smallest step of float16
# keeps it finite (4096) and is what the published zero-SNR pipelines use.
LEAST_ALPHA_CUMPROD = 2.0**-24


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Hold the noise levels a model was trained at, least noise first.

    Timesteps are the positions in `alphas_cumprod`; between two of them log sigma is linear.
    """

    alphas_cumprod: Float32[np.ndarray, " t"]

    def __post_init__(self) -> None:
        falls = self.alphas_cumprod.ndim == 1 and bool((np.diff(self.alphas_cumprod) < 0).all())
        if len(self.alphas_cumprod) < 2 or not falls or not float(self.alphas_cumprod[-1]) > 0:
            raise RequestError("cumulative alphas have to fall from step to step and stay above 0")
        if float(self.alphas_cumprod[0]) >= 1:
            raise RequestError("the first cumulative alpha has to be below 1", got=float(self.alphas_cumprod[0]))

    @classmethod
    def from_betas(
        cls,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        kind: BetaSchedule = "scaled_linear",
        steps: int = 1000,
        *,
        zero_terminal_snr: bool = False,
    ) -> NoiseSchedule:
        """Build the schedule of `steps` betas; the defaults are those of SD 1.x, 2.x and SDXL.

        The products are taken in float64 and rounded once, so they are the same on every machine.

        Raises:
            RequestError: unknown kind, or betas that are not 0 < start <= end < 1.

        Source: Ho et al. 2020 (linear); Rombach et al. 2022 (scaled linear: linear in sqrt(beta));
        Lin et al. 2023, algorithm 1 (zero terminal SNR).
        """
        if not 0 < beta_start <= beta_end < 1 or steps < 2:
            raise RequestError("betas need 0 < start <= end < 1 and two steps", got=(beta_start, beta_end, steps))
        if kind == "scaled_linear":
            betas = _space_evenly(beta_start**0.5, beta_end**0.5, steps) ** 2
        elif kind == "linear":
            betas = _space_evenly(beta_start, beta_end, steps)
        else:
            raise RequestError("unknown kind of beta schedule", got=kind, do="Use linear or scaled_linear.")
        alphas_cumprod = np.cumprod(1.0 - betas)
        if zero_terminal_snr:
            alphas_cumprod = _end_in_noise(alphas_cumprod)
        return cls(alphas_cumprod.astype(np.float32))

    @property
    def steps(self) -> int:
        """Count the trained timesteps."""
        return len(self.alphas_cumprod)

    @property
    def sigmas(self) -> Float32[np.ndarray, " t"]:
        """Return the sigma of each timestep, rising: sqrt((1 - a) / a)."""
        return self._sigmas64().astype(np.float32)

    @property
    def sigma_min(self) -> float:
        """Return the least trained sigma."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """Return the greatest trained sigma."""
        return float(self.sigmas[-1])

    def t_to_sigma(self, t: ArrayLike) -> Float32[np.ndarray, "..."]:
        """Return the sigma at timesteps that need not be whole; clamped to the trained range."""
        logs = np.log(self._sigmas64())
        where = np.clip(np.asarray(t, dtype=np.float64), 0, self.steps - 1)
        low = np.minimum(where.astype(np.int64), self.steps - 2)
        share = where - low
        # From the nearer end, so that a whole timestep gives its own sigma to the bit.
        rise = logs[low + 1] - logs[low]
        between = np.where(share < 0.5, logs[low] + share * rise, logs[low + 1] - (1 - share) * rise)
        return np.exp(between).astype(np.float32)

    def sigma_to_t(self, sigma: ArrayLike) -> Float32[np.ndarray, "..."]:
        """Return the timesteps, not rounded, of sigmas; clamped to the trained range.

        Source: linear interpolation in log sigma, as k-diffusion's discrete schedule does.
        """
        logs = np.log(self._sigmas64())
        with np.errstate(divide="ignore"):
            wanted = np.log(np.asarray(sigma, dtype=np.float64))
        low = np.clip(np.searchsorted(logs, wanted) - 1, 0, self.steps - 2)
        share = (wanted - logs[low]) / (logs[low + 1] - logs[low])
        return (low + np.clip(share, 0, 1)).astype(np.float32)

    def _sigmas64(self) -> NDArray[np.float64]:
        alphas = self.alphas_cumprod.astype(np.float64)
        return np.sqrt((1 - alphas) / alphas)


def make_sigmas(name: str, schedule: NoiseSchedule, steps: int) -> Float32[np.ndarray, " {steps}+1"]:
    """Return the falling sigmas of `steps` steps, float32, ending in exactly 0.

    `name` is one of `SCHEDULES` or how A1111 writes it ("SGM Uniform"); see `find_schedule`.

    Raises:
        RequestError: the name is unknown, or `steps` is not 1..the number of trained timesteps.
    """
    wanted = check_schedule(name)
    if not 1 <= steps <= schedule.steps:
        raise RequestError(f"the number of steps lies between 1 and {schedule.steps}", got=steps)
    sigmas = SCHEDULES[wanted].build(schedule, steps)
    assert sigmas.shape == (steps,), "a schedule has one sigma per step"
    return np.append(sigmas, 0.0).astype(np.float32)


def first_step(steps: int, strength: float) -> int:
    """Return the step of a schedule where img2img of a strength begins; at least one step is taken."""
    # 0.7 * 10 is 6.999... in floating point; the nudge is far below one step.
    return steps - max(1, math.floor(steps * strength + 1e-6))


def _space_evenly(start: float, end: float, count: int) -> Float64[np.ndarray, " count"]:
    """Return numbers from start to end, each counted from the nearer one, so that both ends are exact."""
    if count == 1:
        return np.array([start])
    step, places = (end - start) / (count - 1), np.arange(count)
    return np.where(places < count // 2, start + step * places, end - step * (count - 1 - places))


def _end_in_noise(alphas_cumprod: NDArray[np.floating]) -> NDArray[np.floating]:
    roots = np.sqrt(alphas_cumprod)
    first, last = roots[0], roots[-1]
    return np.maximum(((roots - last) * first / (first - last)) ** 2, LEAST_ALPHA_CUMPROD)


def _model(schedule: NoiseSchedule, steps: int) -> NDArray[np.floating]:
    return schedule.t_to_sigma(_space_evenly(schedule.steps - 1, 0, steps))


def _karras(schedule: NoiseSchedule, steps: int) -> NDArray[np.floating]:
    """Karras et al. 2022, eq. 5."""
    ends = (schedule.sigma_max ** (1 / KARRAS_RHO), schedule.sigma_min ** (1 / KARRAS_RHO))
    return _space_evenly(*ends, steps) ** KARRAS_RHO


def _exponential(schedule: NoiseSchedule, steps: int) -> NDArray[np.floating]:
    return np.exp(_space_evenly(math.log(schedule.sigma_max), math.log(schedule.sigma_min), steps))


def _sgm_uniform(schedule: NoiseSchedule, steps: int) -> NDArray[np.floating]:
    """Even in t, with the interval below the last step left to that step."""
    return schedule.t_to_sigma(_space_evenly(schedule.steps - 1, 0, steps + 1)[:-1])


def _trailing(schedule: NoiseSchedule, steps: int) -> NDArray[np.floating]:
    """Lin et al. 2023, table 2: whole timesteps counted back from the last, so pure noise is included."""
    ends = schedule.steps - np.arange(steps) * (schedule.steps / steps)
    return schedule.t_to_sigma(np.round(ends) - 1)


def _simple(schedule: NoiseSchedule, steps: int) -> NDArray[np.floating]:
    """Like trailing, but rounded the way the interfaces that call it "simple" do."""
    back = np.floor(np.arange(steps) * (schedule.steps / steps))
    return schedule.t_to_sigma(schedule.steps - 1 - back)


def _ddim(schedule: NoiseSchedule, steps: int) -> NDArray[np.floating]:
    """Song et al. 2021 (DDIM), section 4.2: t = c * i, plus the offset of 1 that SD was sampled with."""
    if steps == 1:
        # The one multiple would be 0, the least noise: a single step starts at the most.
        return schedule.t_to_sigma([schedule.steps - 1])
    stride = schedule.steps // steps
    # As many steps as trained timesteps leave no room for the offset.
    offset = min(1, schedule.steps - 1 - (steps - 1) * stride)
    return schedule.t_to_sigma(np.arange(steps - 1, -1, -1) * stride + offset)


@dataclass(frozen=True)
class ScheduleName:
    """Hold one way to space sigmas: how A1111 writes it, other spellings, and the function."""

    label: str
    build: Callable[[NoiseSchedule, int], NDArray[np.floating]]
    aliases: tuple[str, ...] = ()


SCHEDULES: dict[str, ScheduleName] = {
    "model": ScheduleName("Uniform", _model, ("automatic", "default", "normal", "linspace")),
    "karras": ScheduleName("Karras", _karras),
    "exponential": ScheduleName("Exponential", _exponential),
    "sgm_uniform": ScheduleName("SGM Uniform", _sgm_uniform),
    "trailing": ScheduleName("Trailing", _trailing),
    "simple": ScheduleName("Simple", _simple),
    "ddim": ScheduleName("DDIM", _ddim, ("leading", "ddim_uniform")),
}


def list_schedules() -> tuple[tuple[str, str], ...]:
    """Return every schedule: our name, and the label that A1111 shows."""
    return tuple((name, row.label) for name, row in SCHEDULES.items())


def find_schedule(name: str) -> str | None:
    """Return our name of a schedule in any spelling ("SGM Uniform" -> "sgm_uniform"), or None."""
    wanted = _letters(name)
    for ours, row in SCHEDULES.items():
        if wanted in {_letters(spelling) for spelling in (ours, row.label, *row.aliases)}:
            return ours
    return None


def check_schedule(name: str) -> str:
    """Return our name of a schedule in any spelling.

    Raises:
        RequestError: nothing is called that.
    """
    found = find_schedule(name)
    if found is None:
        known = ", ".join([*SCHEDULES, "automatic"])
        raise RequestError("unknown schedule", got=name, do=f"Use one of: {known}.")
    return found


def _letters(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
