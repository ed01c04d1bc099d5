"""Adam inside the backward pass: each weight is stepped as soon as its gradient is there, and the gradient is let go.

Knows parameters by name; no loss and no file format. Start reading at `FusedAdam`.

So one gradient is in memory at a time. Gradients cannot be clipped together then; the update of each weight is, by its
root mean square. Averages may lie in 8 bits, and weights in bf16, which are rounded up or down by chance so that steps
smaller than their last bit are not lost.

Sources: Lv et al. 2023, arXiv:2306.09782, section 3 (LOMO: the step inside backward); Loshchilov and Hutter 2019,
arXiv:1711.05101 (Adam); Shazeer and Stern 2018, arXiv:1804.04235, section 6 (update clipping); Dettmers et al. 2022,
arXiv:2110.02861, section 2 (averages in 8 bits, block by block).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from sfumato.customize.methods.scratch import ScratchTensors
from sfumato.train.optimiser import ADAM_BETAS, ADAM_EPS

# Numbers that share one scale in 8 bits.
BLOCK = 256
# Above this root mean square an update of one weight is scaled down; Adam's usual one is below 1.
MOST_UPDATE_RMS = 1.0


class AdamMoments(Protocol):
    """Adam's two averages of one weight, kept in some way."""

    def read(self) -> tuple[Tensor, Tensor]:
        """Return them in float32."""
        ...

    def write(self, first: Tensor, second: Tensor) -> None:
        """Keep them."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that is kept, by name."""
        ...


class PlainMoments:
    """Two tensors in float32."""

    def __init__(self, name: str, like: Tensor, scratch: ScratchTensors) -> None:
        self.first = scratch.make(f"first.{name}", like, torch.float32)
        self.second = scratch.make(f"second.{name}", like, torch.float32)

    def read(self) -> tuple[Tensor, Tensor]:
        """Return the tensors themselves."""
        return self.first, self.second

    def write(self, first: Tensor, second: Tensor) -> None:
        """Do nothing: who read them changed them."""
        del first, second

    def tensors(self) -> dict[str, Tensor]:
        """Return both."""
        return {"first": self.first, "second": self.second}


class PackedMoments:
    """Two tensors in 8 bits, with a scale for each block of `BLOCK` numbers.

    Roots are kept instead of the numbers, so that small ones are not lost beside large ones. The second average is
    rounded up: rounded to 0 it would make a giant of its update.
    """

    def __init__(self, name: str, like: Tensor, scratch: ScratchTensors) -> None:
        self._like = like
        blocks = -(-like.numel() // BLOCK)
        wide, scales = (blocks, BLOCK), (blocks, 1)
        self.first = scratch.make(f"first.{name}", like, torch.int8, wide)
        self.second = scratch.make(f"second.{name}", like, torch.uint8, wide)
        self.first_scale = scratch.make(f"first_scale.{name}", like, torch.float32, scales)
        self.second_scale = scratch.make(f"second_scale.{name}", like, torch.float32, scales)

    def read(self) -> tuple[Tensor, Tensor]:
        """Return them in float32, in the weight's shape."""
        root = self.first.float() / 127
        first = root * root.abs() * self.first_scale
        second = (self.second.float() / 255).pow(4) * self.second_scale
        return self._shape(first), self._shape(second)

    def write(self, first: Tensor, second: Tensor) -> None:
        """Keep them in 8 bits."""
        rows = self._cut(first)
        scale = rows.abs().amax(dim=1, keepdim=True)
        shares = rows / scale.clamp(min=1e-38)
        self.first.copy_((shares.sign() * shares.abs().sqrt() * 127).round())
        self.first_scale.copy_(scale)
        rows = self._cut(second)
        scale = rows.amax(dim=1, keepdim=True)
        shares = (rows / scale.clamp(min=1e-38)).pow(0.25) * 255
        # A number that was read and not changed stays the same: its root is whole but for the last bits.
        self.second.copy_((shares - 1e-3).ceil().clamp(max=255).maximum((rows > 0).float()))
        self.second_scale.copy_(scale)

    def tensors(self) -> dict[str, Tensor]:
        """Return codes and scales."""
        return {
            "first": self.first,
            "second": self.second,
            "first_scale": self.first_scale,
            "second_scale": self.second_scale,
        }

    def _cut(self, tensor: Tensor) -> Tensor:
        flat = tensor.contiguous().flatten()
        return torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)

    def _shape(self, rows: Tensor) -> Tensor:
        return rows.flatten()[: self._like.numel()].view(self._like.shape)


class FusedAdam:
    """Step named parameters while `backward` runs, from `arm` on, until `detach`.

    `averages` are running averages of the parameters in float32, updated in the same moment.
    """

    def __init__(self, parameters: Mapping[str, Tensor], scratch: ScratchTensors, *, packed: bool, seed: int) -> None:
        """Put it in force."""
        self.parameters = dict(parameters)
        self._scratch, self._seed = scratch, seed
        kind = PackedMoments if packed else PlainMoments
        self.moments: dict[str, AdamMoments] = {}
        self.averages: dict[str, Tensor] = {}
        self._rate, self._step, self._keep = 0.0, 0, 1.0
        self._hooks: list[Any] = []
        for number, (name, parameter) in enumerate(self.parameters.items()):
            self.moments[name] = kind(name, parameter, scratch)
            self.averages[name] = scratch.make(f"average.{name}", parameter, torch.float32)
            self.averages[name].copy_(parameter.detach())
            self.release(name)
            self._hooks.append(parameter.register_post_accumulate_grad_hook(partial(self._apply, name, number)))

    def arm(self, step: int, rate: float, keep: float) -> None:
        """Say what the next backward pass does: step `step` (1 is the first) at a rate; averages keep so much."""
        self._step, self._rate, self._keep = step, rate, keep

    def detach(self) -> None:
        """Leave the parameters alone from now on."""
        for hook in self._hooks:
            hook.remove()

    def release(self, name: str) -> None:
        """Let the system take what belongs to a parameter out of memory, where that is offloaded."""
        kinds = ("weight", "first", "second", "first_scale", "second_scale", "average")
        self._scratch.release(*(f"{kind}.{name}" for kind in kinds))

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that going on needs; to go on they are written over."""
        found = {f"average.{name}": value for name, value in self.averages.items()}
        for name, moments in self.moments.items():
            found |= {f"{kind}.{name}": value for kind, value in moments.tensors().items()}
        return found

    @torch.no_grad()
    def _apply(self, name: str, number: int, parameter: Tensor) -> None:
        assert parameter.grad is not None, "torch calls this with a gradient"
        gradient, parameter.grad = parameter.grad.float(), None
        moments, (beta1, beta2) = self.moments[name], ADAM_BETAS
        first, second = moments.read()
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        del gradient
        moments.write(first, second)
        update = (second / (1 - beta2**self._step)).sqrt_().add_(ADAM_EPS)
        update = torch.div(first, update, out=update).div_(1 - beta1**self._step)
        rms = float(update.square().mean().sqrt())
        update.mul_(self._rate * min(1.0, MOST_UPDATE_RMS / max(rms, 1e-12)))
        chance = torch.Generator().manual_seed((self._seed * 1_000_003 + self._step) * 100_003 + number)
        parameter.copy_(round_by_chance(parameter.float() - update, parameter.dtype, chance))
        self.averages[name].lerp_(parameter.float(), 1 - self._keep)
        self.release(name)


def round_by_chance(values: Tensor, dtype: torch.dtype, chance: torch.Generator) -> Tensor:
    """Return float32 values in a number type; to bf16 they are rounded up as often as they lie nearer to it."""
    if dtype != torch.bfloat16:
        return values.to(dtype)
    # bf16 is the upper half of float32: what stands below is a share of the last bit.
    noise = torch.randint(0, 1 << 16, values.shape, generator=chance, dtype=torch.int32).to(values.device)
    bits = values.contiguous().view(torch.int32) + noise
    return (bits & -(1 << 16)).view(torch.float32).to(torch.bfloat16)
