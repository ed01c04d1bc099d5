"""The two usual recipes for a new subject, written from their papers: textual inversion, and DreamBooth with a LoRA.

Same base, same steps and same batch as ours; their captions, their rates, their loss. Start reading at `RECIPES`.

Sources: Gal et al. 2022, textual inversion, section 4 (templates, one vector from the class word; rate 5e-4); Ruiz et
al. 2022, DreamBooth, section 3.2 (a rare word before the class), with Hu et al. 2021, LoRA, at rank 4 and rate 1e-4,
the rates that diffusers' scripts name. Neither has masks, a distance from the base, or an average of weights.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.customize.inversion import TriggerVectors, encode_captions, start_vectors
from sfumato.customize.losses import ConceptLoss
from sfumato.customize.methods.lora import LoraLayers

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

TEMPLATES = (
    "a photo of a {}", "a picture of a {}", "a cropped photo of the {}", "a close-up photo of a {}", "a photo of the {}",
    "a rendering of a {}", "a photo of one {}",
)  # fmt: skip
INVERSION_RATE, DREAMBOOTH_RATE, DREAMBOOTH_RANK = 5e-4, 1e-4, 4
RARE_WORD = "sks"
PLACEHOLDER = "recipeword"


@dataclass(eq=False, kw_only=True)
class RecipeRun:
    """Hold one recipe in training on one model until `close`. A leaf.

    `subject` is what prompts say; `layers` is None for textual inversion.
    """

    model: LatentModel
    subject: str
    parameters: list[Tensor]
    optimiser: torch.optim.Optimizer
    captions: tuple[str, ...]
    loss: ConceptLoss
    vectors: TriggerVectors | None = None
    layers: LoraLayers | None = None
    _steps: int = field(init=False, default=0)

    def step(self, latents: Tensor, batch: int, seed: int) -> float:
        """Train one step on whole pictures [n, 4, h, w]."""
        noise = torch.Generator().manual_seed(seed * 1_000_003 + self._steps)
        picks = torch.randint(0, len(latents), (batch,), generator=noise)
        rows = latents[picks]
        times = torch.randint(0, self.model.contract.schedule.steps, (batch,), generator=noise)
        normal = torch.randn(rows.shape, generator=noise)
        noised = self.loss.add_noise(rows, times.to(rows.device), normal.to(rows.device))
        words = [self.captions[int(at) % len(self.captions)] for at in torch.randint(0, 997, (batch,), generator=noise)]
        unique = list(dict.fromkeys(words))
        tower = self.model.text.towers[0]
        context = encode_captions(tower, unique)[[unique.index(word) for word in words]]
        loss = F.mse_loss(self.loss.predict(noised, context), noised.target)
        self.optimiser.zero_grad()
        for parameter, gradient in zip(self.parameters, torch.autograd.grad(loss, self.parameters), strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self._steps += 1
        return float(loss.detach())

    def close(self) -> None:
        """Take what was trained off the model."""
        if self.vectors is not None:
            self.vectors.detach()
        if self.layers is not None:
            self.layers.detach()


@contextmanager
def run_inversion(model: LatentModel, noun: str, *, seed: int) -> Generator[RecipeRun]:
    """Train one vector that begins as the class word, by templates."""
    tower = model.text.towers[0]
    vectors = TriggerVectors(tower, PLACEHOLDER, start_vectors(tower, noun, 1, seed=seed))
    optimiser = torch.optim.AdamW([vectors.vectors], lr=INVERSION_RATE, weight_decay=1e-2)
    captions = tuple(text.replace("{}", PLACEHOLDER) for text in TEMPLATES)
    run = RecipeRun(
        model=model, subject=PLACEHOLDER, parameters=[vectors.vectors], optimiser=optimiser, captions=captions,
        loss=ConceptLoss(model=model), vectors=vectors,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.close()


@contextmanager
def run_dreambooth(model: LatentModel, noun: str, *, seed: int) -> Generator[RecipeRun]:
    """Train a LoRA with one caption: a rare word before the class. Without class pictures, as the scripts' default is."""
    layers = LoraLayers(model.unet, DREAMBOOTH_RANK, seed=seed)
    parameters = list(layers.factors.values())
    optimiser = torch.optim.AdamW(parameters, lr=DREAMBOOTH_RATE, weight_decay=1e-2)
    subject = f"{RARE_WORD} {noun}"
    run = RecipeRun(
        model=model, subject=subject, parameters=parameters, optimiser=optimiser, captions=(f"a photo of {subject}",),
        loss=ConceptLoss(model=model, layers=layers), layers=layers,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.close()


RECIPES = {"textual inversion, recipe": run_inversion, "DreamBooth-LoRA, recipe": run_dreambooth}
