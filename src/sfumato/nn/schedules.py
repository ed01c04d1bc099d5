"""How much noise there is at each step: trained schedules and the sigmas to sample along.

Everything here lives in sigma space: x = x0 + sigma * n with n a unit normal. The variance
preserving latents that a Stable Diffusion UNet sees are x / sqrt(1 + sigma^2), and its timestep is
`NoiseSchedule.sigma_to_t`. Knows no model and no sampler. Start reading at `NoiseSchedule`, then
`make_sigmas`; the table of names is at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from sfumato.core.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

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

    alphas_cumprod: Float[Tensor, " t"]

    def __post_init__(self) -> None:
        falls = self.alphas_cumprod.ndim == 1 and bool((self.alphas_cumprod.diff() < 0).all())
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
            betas = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
        elif kind == "linear":
            betas = torch.linspace(beta_start, beta_end, steps, dtype=torch.float64)
        else:
            raise RequestError("unknown kind of beta schedule", got=kind, do="Use linear or scaled_linear.")
        alphas_cumprod = (1.0 - betas).cumprod(0)
        if zero_terminal_snr:
            alphas_cumprod = _end_in_noise(alphas_cumprod)
        return cls(alphas_cumprod.float())

    @property
    def steps(self) -> int:
        """Count the trained timesteps."""
        return len(self.alphas_cumprod)

    @property
    def sigmas(self) -> Float[Tensor, " t"]:
        """Return the sigma of each timestep, rising: sqrt((1 - a) / a)."""
        return self._sigmas64().float()

    @property
    def sigma_min(self) -> float:
        """Return the least trained sigma."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """Return the greatest trained sigma."""
        return float(self.sigmas[-1])

    def t_to_sigma(self, t: float | Tensor) -> Float[Tensor, "..."]:
        """Return the sigma at timesteps that need not be whole; clamped to the trained range."""
        logs = self._sigmas64().log()
        where = torch.as_tensor(t, dtype=torch.float64, device=logs.device).clamp(0, self.steps - 1)
        low = where.floor().long().clamp(max=self.steps - 2)
        return torch.lerp(logs[low], logs[low + 1], where - low).exp().float()

    def sigma_to_t(self, sigma: float | Tensor) -> Float[Tensor, "..."]:
        """Return the timesteps, not rounded, of sigmas; clamped to the trained range.

        Source: linear interpolation in log sigma, as k-diffusion's discrete schedule does.
        """
        logs = self._sigmas64().log()
        wanted = torch.as_tensor(sigma, dtype=torch.float64, device=logs.device).log()
        low = (torch.searchsorted(logs, wanted.contiguous()) - 1).clamp(0, self.steps - 2)
        share = (wanted - logs[low]) / (logs[low + 1] - logs[low])
        return (low + share.clamp(0, 1)).float()

    def _sigmas64(self) -> Tensor:
        alphas = self.alphas_cumprod.double()
        return ((1 - alphas) / alphas).sqrt()


def make_sigmas(name: str, schedule: NoiseSchedule, steps: int) -> Float[Tensor, " {steps}+1"]:
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
    return torch.cat([sigmas.float(), torch.zeros(1, dtype=torch.float32)])


def first_step(steps: int, strength: float) -> int:
    """Return the step of a schedule where img2img of a strength begins; at least one step is taken."""
    # 0.7 * 10 is 6.999... in floating point; the nudge is far below one step.
    return steps - max(1, math.floor(steps * strength + 1e-6))


def _end_in_noise(alphas_cumprod: Tensor) -> Tensor:
    roots = alphas_cumprod.sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    return ((roots - last) * first / (first - last)).square().clamp_min(LEAST_ALPHA_CUMPROD)


def _model(schedule: NoiseSchedule, steps: int) -> Tensor:
    return schedule.t_to_sigma(torch.linspace(schedule.steps - 1, 0, steps, dtype=torch.float64))


def _karras(schedule: NoiseSchedule, steps: int) -> Tensor:
    """Karras et al. 2022, eq. 5."""
    ends = (schedule.sigma_max ** (1 / KARRAS_RHO), schedule.sigma_min ** (1 / KARRAS_RHO))
    return torch.linspace(*ends, steps, dtype=torch.float64) ** KARRAS_RHO


def _exponential(schedule: NoiseSchedule, steps: int) -> Tensor:
    ends = (math.log(schedule.sigma_max), math.log(schedule.sigma_min))
    return torch.linspace(*ends, steps, dtype=torch.float64).exp()


def _sgm_uniform(schedule: NoiseSchedule, steps: int) -> Tensor:
    """Even in t, with the interval below the last step left to that step."""
    return schedule.t_to_sigma(torch.linspace(schedule.steps - 1, 0, steps + 1, dtype=torch.float64)[:-1])


def _trailing(schedule: NoiseSchedule, steps: int) -> Tensor:
    """Lin et al. 2023, table 2: whole timesteps counted back from the last, so pure noise is included."""
    ends = schedule.steps - torch.arange(steps, dtype=torch.float64) * (schedule.steps / steps)
    return schedule.t_to_sigma(ends.round() - 1)


def _simple(schedule: NoiseSchedule, steps: int) -> Tensor:
    """Like trailing, but rounded the way the interfaces that call it "simple" do."""
    back = (torch.arange(steps, dtype=torch.float64) * (schedule.steps / steps)).floor()
    return schedule.t_to_sigma(schedule.steps - 1 - back)


def _ddim(schedule: NoiseSchedule, steps: int) -> Tensor:
    """Song et al. 2021 (DDIM), section 4.2: t = c * i, plus the offset of 1 that SD was sampled with."""
    if steps == 1:
        # The one multiple would be 0, the least noise: a single step starts at the most.
        return schedule.t_to_sigma(torch.tensor([schedule.steps - 1], dtype=torch.float64))
    stride = schedule.steps // steps
    # As many steps as trained timesteps leave no room for the offset.
    offset = min(1, schedule.steps - 1 - (steps - 1) * stride)
    return schedule.t_to_sigma(torch.arange(steps - 1, -1, -1, dtype=torch.float64) * stride + offset)


@dataclass(frozen=True)
class ScheduleName:
    """Hold one way to space sigmas: how A1111 writes it, other spellings, and the function."""

    label: str
    build: Callable[[NoiseSchedule, int], Tensor]
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
