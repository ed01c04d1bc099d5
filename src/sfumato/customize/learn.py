"""Train a concept on one base: vectors, or vectors with a LoRA; 10 steps and 10 more equal 20, to the byte.

Knows one loaded model and one concept; no render and no score. Start reading at `Learner`.

The rate is constant and the weights that are checked and kept are a running average, so the length of a run changes
nothing in what is before its end. All chance comes from the seed and the number of the step.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor

from sfumato.core.errors import ModelError, RequestError
from sfumato.customize.examples import ConceptExamples, load_examples
from sfumato.customize.inversion import MOST_VECTORS, TriggerVectors, encode_captions, read_words, start_vectors
from sfumato.customize.lora import MOST_RANK, LoraLayers
from sfumato.customize.losses import (
    ConceptLoss,
    NoisedBatch,
    measure_distance,
    measure_drift,
    measure_subject,
)
from sfumato.customize.stop import LossCheck
from sfumato.train.checkpoints import Checkpoint
from sfumato.train.optimiser import Optimiser, clip_gradients
from sfumato.train.task import Recipe

if TYPE_CHECKING:
    from sfumato.customize.concept import ConceptFolder
    from sfumato.models.latent_model import LatentModel

Rung = Literal["words", "inversion", "lora"]
RUNGS: tuple[Rung, ...] = ("words", "inversion", "lora")
# Prompts whose pictures are to stay as they are; {} is the class noun. The empty one is what guidance starts from.
RETENTION = (
    "", "a photo of a {}", "a portrait of a {}", "a {} in a room", "a woman with long hair", "two people on a beach",
    "a red house in a green meadow", "an open hand", "a cartoon of a man in a street", "a dog in a meadow", "a tree",
    "a city street with houses",
)  # fmt: skip
RETENTION_ROWS = 4
CHECK_ROWS = 16
WARMUP_STEPS = 20
AVERAGE = 0.97
CLIP_NORM = 1.0
_NO_DECAY = Recipe(batch=1, learning_rate=1.0, optimiser="adam", weight_decay=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptSettings:
    """Say how a concept is trained: everything that changes the weights.

    `rung` is words (no training: the description), inversion (vectors), or lora (vectors and a LoRA). `keep` weighs the
    distance from the frozen base, outside masks and on prompts without the trigger. `vector_rate` counts in the spread
    of the encoder's table.
    """

    rung: Rung = "lora"
    vectors: int = 4
    rank: int = 8
    batch: int = 6
    vector_rate: float = 0.06
    lora_rate: float = 5e-4
    keep: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.rung not in RUNGS:
            raise RequestError("unknown `rung`", got=self.rung, do=f"Use {', '.join(RUNGS)}.")
        for name, value, most in (("vectors", self.vectors, MOST_VECTORS), ("rank", self.rank, MOST_RANK)):
            if not 1 <= value <= most:
                raise RequestError(f"`{name}` is out of range", got=value, do=f"Say 1 to {most}.")

    def to_json(self) -> dict[str, float | int | str]:
        """Return the settings as JSON values."""
        return asdict(self)


class Learner:
    """One concept in training on one model; `close` leaves the model as it was."""

    def __init__(self, concept: ConceptFolder, model: LatentModel, settings: ConceptSettings) -> None:
        """Encode the pictures and put the trainable parts on the model.

        Raises:
            RequestError: a picture cannot be read, or a caption is too long.
            ModelError: the model has two text encoders, or another kind of prediction.
        """
        if len(model.text.towers) != 1:
            do = "Use an SD 1.x or 2.x checkpoint, or mini."
            raise ModelError("concepts are trained on models with one text encoder", got=model.contract.family, do=do)
        self.concept, self.model, self.settings = concept, model, settings
        (self.tower,) = model.text.towers
        self.steps = 0
        self.layers: LoraLayers | None = None
        self.vectors = TriggerVectors(self.tower, concept.trigger, self._start())
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        model, settings = self.model, self.settings
        if settings.rung == "lora":
            self.layers = LoraLayers(model.unet, settings.rank, seed=settings.seed)
        self.loss = ConceptLoss(model=model, layers=self.layers)
        self.parameters: dict[str, Tensor] = {"vectors": self.vectors.vectors}
        if self.layers is not None:
            self.parameters |= {f"unet.{name}": factor for name, factor in self.layers.factors.items()}
        self.averages = {name: value.detach().clone() for name, value in self.parameters.items()}
        if settings.rung != "words":
            self._prepare()

    def close(self) -> None:
        """Take the trainable parts off the model."""
        self.vectors.detach()
        if self.layers is not None:
            self.layers.detach()

    def begin_from(self, values: Mapping[str, Tensor]) -> None:
        """Start from weights that another base or run learned; names that are missing keep their start.

        Raises:
            ModelError: a weight has another shape.
        """
        for name, value in values.items():
            if self.parameters[name].shape != value.shape:
                got = f"{name}: {list(value.shape)}, here {list(self.parameters[name].shape)}"
                raise ModelError("weights to begin from have another shape", got=got, do="Use the settings of before.")
        whole = {name: value.detach().clone() for name, value in self.parameters.items()} | dict(values)
        self._load(whole)
        self.vectors.limit_norms()
        self.averages = {name: value.detach().clone() for name, value in self.parameters.items()}

    def step(self) -> float:
        """Train one step; return its loss.

        Raises:
            ModelError: the loss is no number.
        """
        noise = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.steps)
        batch, captions, masks, plain = self._draw(noise)
        kept, contexts = self._draw_retention(noise)
        joined = _join(batch, kept)
        with torch.no_grad():
            base = self.loss.predict_base(joined, torch.cat([plain, contexts]))
        found = self.loss.predict(joined, torch.cat([self._encode(captions), contexts]))
        own, count = measure_subject(batch, found[: len(batch)], masks), len(batch)
        outside = measure_distance(batch, found[:count], base[:count], 1 - masks)
        loss = own.mean() + self.settings.keep * outside.mean()
        if len(kept):
            loss = loss + self.settings.keep * measure_distance(kept, found[count:], base[count:]).mean()
        if not math.isfinite(value := float(loss.detach())):
            raise ModelError("training gave numbers that are no loss", got=value, do="Use a smaller rate, or `fresh`.")
        gradients = dict(zip(self.parameters, torch.autograd.grad(loss, list(self.parameters.values())), strict=True))
        self._update(gradients)
        return value

    @torch.no_grad()
    def check(self) -> LossCheck:
        """Measure the averaged weights on batches that never change."""
        with self.averaged():
            train, held_out = (self._measure_fixed(*each) for each in self._fixed)
            drift = 0.0
            if self.layers is not None:
                batch, contexts = self._fixed_retention
                drift = measure_drift(self.loss.predict(batch, contexts), self.loss.predict_base(batch, contexts))
        rows = tuple(float(row) for row in held_out)
        return LossCheck(
            step=self.steps, train=float(train.mean()), held_out=float(held_out.mean()), drift=drift, rows=rows
        )

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged weights in force for a while."""
        return self.holding(self.averages)

    @contextmanager
    def holding(self, values: Mapping[str, Tensor]) -> Generator[None]:
        """Put weights in force for a while."""
        kept = {name: value.detach().clone() for name, value in self.parameters.items()}
        self._load(values)
        try:
            yield
        finally:
            self._load(kept)

    def state(self) -> Checkpoint:
        """Return everything that `restore` needs."""
        tensors = {f"parameter.{name}": value for name, value in self.parameters.items()}
        tensors |= {f"average.{name}": value for name, value in self.averages.items()}
        for group, optimiser in self._optimisers.items():
            tensors |= {f"{group}.{name}": value for name, value in optimiser.state().items()}
        return Checkpoint({name: value.detach().clone() for name, value in tensors.items()}, {"step": self.steps})

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a saved state of the same settings."""
        self._load({name: saved.tensors[f"parameter.{name}"] for name in self.parameters})
        self.averages = {name: saved.tensors[f"average.{name}"].clone() for name in self.parameters}
        for group, optimiser in self._optimisers.items():
            start = f"{group}."
            optimiser.restore({n.removeprefix(start): t for n, t in saved.tensors.items() if n.startswith(start)})
        self.steps = int(saved.values["step"])

    def _start(self) -> Tensor:
        settings, concept = self.settings, self.concept
        if settings.rung == "words":
            if not concept.description:
                do = "Make the concept with a description, or use the rung inversion or lora."
                raise RequestError("the rung words needs a description", got=concept.name, do=do)
            return read_words(self.tower, concept.description, self.tower.length)
        return start_vectors(self.tower, f"a {concept.noun}", settings.vectors, seed=settings.seed)

    def _prepare(self) -> None:
        examples = load_examples(self.concept, self.model, seed=self.settings.seed)
        self.examples, self.held_out = examples.split()
        recipes = {"vectors": ["vectors"], "lora": [name for name in self.parameters if name != "vectors"]}
        self._optimisers = {
            group: Optimiser([(name, self.parameters[name]) for name in names], _NO_DECAY)
            for group, names in recipes.items()
            if names
        }
        with torch.no_grad():
            self._retention = encode_captions(self.tower, [text.replace("{}", self.concept.noun) for text in RETENTION])
            self._plain = {
                caption: encode_captions(self.tower, [self._without_trigger(caption)])
                for each in (*self.examples.captions, *self.held_out.captions)
                for caption in each
            }
        self._fixed = tuple(self._fix(each, seed) for seed, each in ((1, self.examples), (2, self.held_out)))
        latents = self.examples.latents[:, 0].repeat(CHECK_ROWS, 1, 1, 1)[:CHECK_ROWS]
        contexts = self._retention.repeat(CHECK_ROWS, 1, 1)[:CHECK_ROWS]
        self._fixed_retention = (self._noise(latents, torch.Generator().manual_seed(3)), contexts)

    def _without_trigger(self, caption: str) -> str:
        noun = f"a {self.concept.noun}"
        return " ".join(noun if word.lower() == self.concept.trigger.lower() else word for word in caption.split())

    def _fix(self, examples: ConceptExamples, seed: int) -> tuple[NoisedBatch, tuple[str, ...], Tensor]:
        picks = [at % len(examples) for at in range(CHECK_ROWS)]
        latents, masks = examples.latents[picks, 0], examples.masks[picks, 0]
        captions = tuple(examples.captions[at][0] for at in picks)
        return self._noise(latents, torch.Generator().manual_seed(seed)), captions, masks

    def _measure_fixed(self, batch: NoisedBatch, captions: Sequence[str], masks: Tensor) -> Tensor:
        found = self.loss.predict(batch, self._encode(captions))
        return measure_subject(batch, found, masks)

    def _draw(self, noise: torch.Generator) -> tuple[NoisedBatch, list[str], Tensor, Tensor]:
        count, examples = self.settings.batch, self.examples
        picks, crops = _pick(len(examples), count, noise), _pick(examples.latents.shape[1], count, noise)
        ways = _pick(1_000_003, count, noise)
        captions = [
            examples.captions[at][way % len(examples.captions[at])] for at, way in zip(picks, ways, strict=True)
        ]
        batch = self._noise(examples.latents[picks, crops], noise)
        return batch, captions, examples.masks[picks, crops], torch.cat([self._plain[each] for each in captions])

    def _encode(self, captions: Sequence[str]) -> Tensor:
        """Encode captions, each text once."""
        unique = list(dict.fromkeys(captions))
        return self.vectors.encode(unique)[[unique.index(each) for each in captions]]

    def _draw_retention(self, noise: torch.Generator) -> tuple[NoisedBatch, Tensor]:
        """Noise pictures for prompts without the trigger, every other step; none where the UNet is frozen."""
        count = RETENTION_ROWS if self.layers is not None and self.steps % 2 == 0 else 0
        picks, crops = (_pick(limit, count, noise) for limit in self.examples.latents.shape[:2])
        return self._noise(self.examples.latents[picks, crops], noise), self._retention[
            _pick(len(RETENTION), count, noise)
        ]

    def _noise(self, latents: Tensor, noise: torch.Generator) -> NoisedBatch:
        """Add noise at levels spread evenly over the rows, the same whatever the device."""
        count, steps = len(latents), self.model.contract.schedule.steps
        shift = torch.rand(1, generator=noise)
        times = ((torch.arange(count) + shift) / max(count, 1) * steps).long().clamp(max=steps - 1)
        normal = torch.randn(latents.shape, generator=noise)
        return self.loss.add_noise(latents, times.to(latents.device), normal.to(latents.device))

    def _update(self, gradients: dict[str, Tensor]) -> None:
        warm = min(1.0, (self.steps + 1) / WARMUP_STEPS)
        clip_gradients(gradients, CLIP_NORM)
        for group, optimiser in self._optimisers.items():
            of_vectors = group == "vectors"
            rate = self.settings.vector_rate * self.vectors.spread if of_vectors else self.settings.lora_rate
            optimiser.step({name: gradients[name] for name in optimiser.parameters}, warm * rate)
        if self.settings.rung != "words":
            self.vectors.limit_norms()
        self.steps += 1
        # Early averages forget the start sooner.
        keep = min(AVERAGE, self.steps / (self.steps + 9))
        with torch.no_grad():
            for name, value in self.parameters.items():
                self.averages[name].lerp_(value, 1 - keep)

    def _load(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(values[name])


def _pick(below: int, count: int, noise: torch.Generator) -> list[int]:
    return cast("list[int]", torch.randint(0, below, (count,), generator=noise).tolist())


def _join(first: NoisedBatch, second: NoisedBatch) -> NoisedBatch:
    names = ("noised", "times", "target", "weights")
    return NoisedBatch(*(torch.cat([getattr(first, name), getattr(second, name)]) for name in names))
