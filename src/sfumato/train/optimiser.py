"""Muon for weight matrices, AdamW for everything else, with a state that is a flat dict of tensors.

It knows parameters by name, and no network, loss or schedule. Start reading at `Optimiser.step`.

Sources: Muon, Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/); the factor that
gives both rules one learning rate, Liu et al. 2025 (arXiv:2502.16982, eq. 4); AdamW, Loshchilov
and Hutter 2019 (arXiv:1711.05101).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from sfumato.train.task import Recipe

# Odd quintic whose fixed point is near 1: pushes every singular value towards 1 in five rounds.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_ROUNDS = 5
MUON_MOMENTUM = 0.95
ADAM_BETAS = (0.9, 0.99)
ADAM_EPS = 1e-8
# An update with orthogonal rows has RMS 1/sqrt(longest side); AdamW's is about 0.2 (Liu et al.).
UPDATE_RMS = 0.2
# Matrices with a side shorter than this carry colours, latents or outputs, not features.
SHORTEST_MUON_SIDE = 16


class Optimiser:
    """Update named parameters in place. A leaf."""

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], recipe: Recipe, *, threads: int = 1) -> None:
        """Sort the parameters into matrices (Muon) and the rest (AdamW)."""
        self.parameters = {name: value for name, value in parameters if value.requires_grad}
        self.recipe = recipe
        wants_muon = recipe.optimiser == "muon"
        self.matrices = [n for n, p in self.parameters.items() if wants_muon and is_matrix(n, p)]
        chosen = set(self.matrices)
        self.others = [n for n in self.parameters if n not in chosen]
        self.first = {n: torch.zeros_like(p) for n, p in self.parameters.items()}
        self.second = {n: torch.zeros_like(self.parameters[n]) for n in self.others}
        self.steps = 0
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor], rate: float) -> None:
        """Apply one update at learning rate `rate`."""
        self.steps += 1
        self._step_adam(gradients, rate)
        run = self._pool.map if self._pool else map
        # Longest first, so that two threads finish together.
        order = sorted(self.matrices, key=lambda n: -self.parameters[n].numel())
        for _ in run(lambda name: self._step_muon(name, gradients[name], rate), order):
            pass

    def _step_adam(self, gradients: Mapping[str, Tensor], rate: float) -> None:
        if not self.others:
            return
        weights = [self.parameters[n] for n in self.others]
        grads = [gradients[n] for n in self.others]
        first, second = [self.first[n] for n in self.others], [self.second[n] for n in self.others]
        beta1, beta2 = ADAM_BETAS
        torch._foreach_lerp_(first, grads, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, 1 - beta2)
        scale = torch._foreach_sqrt(second)  # noqa: SLF001 - as torch.optim itself does
        torch._foreach_div_(scale, (1 - beta2**self.steps) ** 0.5)
        torch._foreach_add_(scale, ADAM_EPS)
        if decayed := [w for w in weights if w.ndim > 1]:
            torch._foreach_mul_(decayed, 1 - rate * self.recipe.weight_decay)
        torch._foreach_addcdiv_(weights, first, scale, -rate / (1 - beta1**self.steps))

    @torch.no_grad()  # set again: the mode belongs to a thread, and this runs on a pool's
    def _step_muon(self, name: str, gradient: Tensor, rate: float) -> None:
        weight, momentum = self.parameters[name], self.first[name]
        momentum.lerp_(gradient, 1 - MUON_MOMENTUM)
        direction = gradient.lerp(momentum, MUON_MOMENTUM).flatten(1)
        update = orthogonalise(direction)
        longest = max(direction.shape)
        weight.mul_(1 - rate * self.recipe.weight_decay)
        weight.add_(update.view_as(weight), alpha=-rate * UPDATE_RMS * longest**0.5)

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that `restore` needs."""
        tensors = {f"first.{n}": t for n, t in self.first.items()}
        tensors |= {f"second.{n}": t for n, t in self.second.items()}
        return tensors | {"steps": torch.tensor(self.steps)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        for own, prefix in ((self.first, "first."), (self.second, "second.")):
            for name, tensor in own.items():
                tensor.copy_(state[prefix + name])
        self.steps = int(state["steps"])


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Tell whether Muon should update this parameter: a hidden weight, no table of embeddings."""
    if parameter.ndim < 2 or "embedding" in name:
        return False
    rows, columns = parameter.shape[:2]
    return min(rows, columns) >= SHORTEST_MUON_SIDE


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return the nearest semi-orthogonal matrix, roughly, by Newton–Schulz rounds in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(NEWTON_SCHULZ_ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.mT if tall else x).to(matrix.dtype)


def clip_gradients(gradients: Mapping[str, Tensor], limit: float) -> float:
    """Scale all gradients together to a norm of at most `limit`; return the norm before."""
    values = list(gradients.values())
    norms = torch._foreach_norm(values)  # noqa: SLF001
    norm = float(torch.linalg.vector_norm(torch.stack(norms)))
    if norm > limit:
        torch._foreach_mul_(values, limit / norm)
    return norm
