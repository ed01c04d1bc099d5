"""Train a concept on one base: vectors, or vectors with a LoRA; 10 steps and 10 more equal 20, to the byte.

Knows one loaded model and one concept; no render and no score. Start reading at `Learner`.

The rate is constant and the weights that are checked and kept are a running average, so the length of a run changes
nothing in what is before its end. All chance comes from the seed and the number of the step.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from sfumato.core.errors import ModelError, RequestError
from sfumato.customize.examples import ConceptExamples, load_examples
from sfumato.customize.inversion import TriggerVectors, encode_texts, read_words, start_vectors
from sfumato.customize.losses import (
    ConceptLoss,
    NoisedBatch,
    join_batches,
    measure_distance,
    measure_drift,
    measure_subject,
)
from sfumato.customize.methods.checkpointing import CheckpointedBlocks
from sfumato.customize.methods.lora import LoraLayers
from sfumato.customize.methods.oft import OftLayers
from sfumato.customize.settings import RETENTION_ROWS, ConceptSettings
from sfumato.customize.stop import LossCheck
from sfumato.models.text.encoder import EncodedText
from sfumato.train.checkpoints import Checkpoint
from sfumato.train.optimiser import Optimiser, clip_gradients
from sfumato.train.task import Recipe

if TYPE_CHECKING:
    from sfumato.customize.concept import ConceptFolder
    from sfumato.models.latent_model import LatentModel

# Prompts whose pictures are to stay as they are; {} is the class noun. The empty one is what guidance starts from.
RETENTION = (
    "", "a photo of a {}", "a portrait of a {}", "a {} in a room", "a woman with long hair", "two people on a beach",
    "a red house in a green meadow", "an open hand", "a cartoon of a man in a street", "a dog in a meadow", "a tree",
    "a city street with houses",
)  # fmt: skip
CHECK_ROWS = 16
WARMUP_STEPS = 20
AVERAGE = 0.97
CLIP_NORM = 1.0
# Vectors move nothing but their own pictures, so the distance from the base outside masks is measured on every third
# row alone, the rows taking turns, and counts three times: the same on average, for a third of the base's passes.
OUTSIDE_EVERY = 3
_NO_DECAY = Recipe(batch=1, learning_rate=1.0, optimiser="adam", weight_decay=0.0)
_VECTORS = "vectors"
# Networks by the names that adapters use.
_TEXTS = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True, eq=False, kw_only=True)
class _StepRows:
    """Hold rows of one step: pictures of the subject, then others for prompts without the trigger.

    `texts` is what the base reads for each row; `captions` what is learned on, "" for the rows without the trigger.
    `masks` [B, 1, h, w] are 0 there. `shares` [B] weighs the error on the subject, `keeps` [B] the distance from the
    base.
    """

    batch: NoisedBatch
    captions: tuple[str, ...]
    texts: tuple[str, ...]
    masks: Tensor
    shares: Tensor
    keeps: Tensor

    def cut(self, size: int) -> list[_StepRows]:
        """Return the rows in pieces of at most `size`."""
        pieces = [slice(at, at + size) for at in range(0, len(self.batch), size)]
        return [
            _StepRows(
                batch=self.batch.cut(one),
                captions=self.captions[one],
                texts=self.texts[one],
                masks=self.masks[one],
                shares=self.shares[one],
                keeps=self.keeps[one],
            )
            for one in pieces
        ]


class Learner:
    """One concept in training on one model; `close` leaves the model as it was."""

    def __init__(self, concept: ConceptFolder, model: LatentModel, settings: ConceptSettings) -> None:
        """Encode the pictures and put the trainable parts on the model.

        Raises:
            RequestError: a picture cannot be read, or a caption is too long.
            ModelError: the model has another kind of prediction.
        """
        self.concept, self.model, self.settings = concept, model, settings
        self.towers = model.text.towers
        self.steps = 0
        self.layers: LoraLayers | OftLayers | None = None
        self.triggers: list[TriggerVectors] = []
        self._text_layers: dict[str, LoraLayers] = {}
        self._checkpointed: CheckpointedBlocks | None = None
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        model, settings = self.model, self.settings
        for tower, start in zip(self.towers, self._start(), strict=True):
            self.triggers.append(TriggerVectors(tower, self.concept.trigger, start))
        if settings.rung == "lora":
            self.layers = LoraLayers(model.unet, settings.rank, seed=settings.seed)
        elif settings.rung == "oft":
            self.layers = OftLayers(model.unet, settings.block)
        if settings.text_lora:
            for name, encoder in zip(_TEXTS, model.text_encoders, strict=False):
                self._text_layers[name] = LoraLayers(encoder, settings.rank, seed=settings.seed)
        self.loss = ConceptLoss(model=model, layers=self.layers)
        self.parameters: dict[str, Tensor] = {
            name_vectors(at): trigger.vectors for at, trigger in enumerate(self.triggers)
        }
        for network, layers in {"unet": self.layers, **self._text_layers}.items():
            if layers is not None:
                self.parameters |= {f"{network}.{name}": factor for name, factor in layers.factors.items()}
        self.averages = {name: value.detach().clone() for name, value in self.parameters.items()}
        if settings.rung != "words":
            self._prepare()
            if settings.checkpointing:
                self._checkpointed = CheckpointedBlocks(model.unet, *model.text_encoders)

    def close(self) -> None:
        """Take the trainable parts off the model."""
        for part in (self._checkpointed, self.layers, *self._text_layers.values(), *self.triggers):
            if part is not None:
                part.detach()

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
        self._limit_norms()
        self.averages = {name: value.detach().clone() for name, value in self.parameters.items()}

    def step(self) -> float:
        """Train one step; return its loss.

        Raises:
            ModelError: the loss is no number.
        """
        rows = self._draw(torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.steps))
        parameters = list(self.parameters.values())
        total, summed = 0.0, list[Tensor]()
        for piece in rows.cut(self.settings.micro_batch or len(rows.batch)):
            loss = self._measure(piece)
            total += (value := float(loss.detach()))
            if not math.isfinite(value):
                do = "Use a smaller rate, or `fresh`."
                raise ModelError("training gave numbers that are no loss", got=value, do=do)
            # Rows without the trigger do not reach the vectors.
            found = cast("tuple[Tensor | None, ...]", torch.autograd.grad(loss, parameters, allow_unused=True))
            if not summed:
                summed = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
                continue
            for old, new in zip(summed, found, strict=True):
                if new is not None:
                    old.add_(new)
        self._update(dict(zip(self.parameters, summed, strict=True)))
        return total

    @torch.no_grad()
    def check(self) -> LossCheck:
        """Measure the averaged weights on batches that never change."""
        with self.averaged():
            train, held_out = (self._measure_fixed(*each) for each in self._fixed)
            drift = 0.0
            if self.layers is not None:
                batch, texts = self._fixed_retention
                drift = measure_drift(self._predict(batch, self._encode(texts)), self._predict_base(batch, texts))
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

    def keep_best(self) -> dict[str, Tensor]:
        """Return the averaged weights of now, to keep."""
        return {name: value.clone() for name, value in self.averages.items()}

    def take_best(self, best: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the best state of a stopped training."""
        return best

    def state(self, *, copied: bool = True) -> Checkpoint:
        """Return everything that `restore` needs; not `copied`, it holds what the next step changes."""
        tensors = {f"parameter.{name}": value for name, value in self.parameters.items()}
        tensors |= {f"average.{name}": value for name, value in self.averages.items()}
        for group, optimiser in self._optimisers.items():
            tensors |= {f"{group}.{name}": value for name, value in optimiser.state().items()}
        kept = {name: value.detach().clone() if copied else value.detach() for name, value in tensors.items()}
        return Checkpoint(kept, {"step": self.steps})

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a saved state of the same settings."""
        self._load({name: saved.tensors[f"parameter.{name}"] for name in self.parameters})
        self.averages = {name: saved.tensors[f"average.{name}"].clone() for name in self.parameters}
        for group, optimiser in self._optimisers.items():
            start = f"{group}."
            optimiser.restore({n.removeprefix(start): t for n, t in saved.tensors.items() if n.startswith(start)})
        self.steps = int(saved.values["step"])

    def _start(self) -> list[Tensor]:
        settings, concept = self.settings, self.concept
        if settings.rung == "words":
            if not concept.description:
                do = "Make the concept with a description, or use the rung inversion or lora."
                raise RequestError("the rung words needs a description", got=concept.name, do=do)
            return [read_words(tower, concept.description, tower.length) for tower in self.towers]
        noun = f"a {concept.noun}"
        return [start_vectors(tower, noun, settings.vectors, seed=settings.seed) for tower in self.towers]

    def _prepare(self) -> None:
        rows = self.settings.micro_batch
        examples = load_examples(self.concept, self.model, seed=self.settings.seed, rows=rows)
        self.examples, self.held_out = examples.split()
        vectors = [name for name in self.parameters if name.startswith(_VECTORS)]
        groups = {name: [name] for name in vectors} | {"lora": [n for n in self.parameters if n not in vectors]}
        self._optimisers = {
            group: Optimiser([(name, self.parameters[name]) for name in names], _NO_DECAY)
            for group, names in groups.items()
            if names
        }
        self._retention = tuple(text.replace("{}", self.concept.noun) for text in RETENTION)
        captions = (each for one in (*self.examples.captions, *self.held_out.captions) for each in one)
        texts = list(dict.fromkeys([*self._retention, *(self._without_trigger(each) for each in captions)]))
        with torch.no_grad():
            # What the frozen base reads never changes.
            self._plain = {text: encode_texts(self.towers, [text]) for text in texts}
        self._fixed = tuple(self._fix(each, seed) for seed, each in ((1, self.examples), (2, self.held_out)))
        latents = self.examples.latents[:, 0].repeat(CHECK_ROWS, 1, 1, 1)[:CHECK_ROWS]
        texts = (self._retention * CHECK_ROWS)[:CHECK_ROWS]
        self._fixed_retention = (self.loss.noise_rows(latents, torch.Generator().manual_seed(3)), texts)

    def _without_trigger(self, caption: str) -> str:
        return replace_trigger(caption, self.concept)

    def _fix(self, examples: ConceptExamples, seed: int) -> tuple[NoisedBatch, tuple[str, ...], Tensor]:
        picks = [at % len(examples) for at in range(CHECK_ROWS)]
        latents, masks = examples.latents[picks, 0], examples.masks[picks, 0]
        captions = tuple(examples.captions[at][0] for at in picks)
        return self.loss.noise_rows(latents, torch.Generator().manual_seed(seed)), captions, masks

    def _measure_fixed(self, batch: NoisedBatch, captions: tuple[str, ...], masks: Tensor) -> Tensor:
        return measure_subject(batch, self._predict(batch, self._encode(captions)), masks)

    def _measure(self, rows: _StepRows) -> Tensor:
        """Return the loss of some rows of a step: the error on the subject, and the distance from the base."""
        # The base is asked only where its answer counts.
        counts = (rows.keeps > 0) & (rows.masks.amin(dim=(1, 2, 3)) < 1)
        asked = [at for at, wanted in enumerate(counts.tolist()) if wanted]
        base = self._predict_base(rows.batch.pick(asked), tuple(rows.texts[at] for at in asked)) if asked else None
        found = self._predict(rows.batch, self._encode_rows(rows))
        loss = (rows.shares * measure_subject(rows.batch, found, rows.masks)).sum()
        if base is None:
            return loss
        distances = measure_distance(rows.batch.pick(asked), found[asked], base, 1 - rows.masks[asked])
        return loss + (rows.keeps[asked] * distances).sum()

    def _draw(self, noise: torch.Generator) -> _StepRows:
        """Draw the rows of a step: pictures of the subject; every other step others, where the UNet may change."""
        count, examples, device = self.settings.batch, self.examples, self.model.device
        picks, crops = pick_numbers(len(examples), count, noise), pick_numbers(examples.latents.shape[1], count, noise)
        ways = pick_numbers(1_000_003, count, noise)
        captions = [
            examples.captions[at][way % len(examples.captions[at])] for at, way in zip(picks, ways, strict=True)
        ]
        batch = self.loss.noise_rows(examples.latents[picks, crops], noise)
        masks = examples.masks[picks, crops]
        keeps = torch.full((count,), self.settings.keep / count)
        kept = RETENTION_ROWS if self.layers is not None and self.steps % 2 == 0 else 0
        if self.layers is None and count >= OUTSIDE_EVERY:
            turn = torch.arange(count) % OUTSIDE_EVERY == self.steps % OUTSIDE_EVERY
            keeps = torch.where(turn, keeps * count / turn.sum(), 0.0)
        others, other_crops = (pick_numbers(limit, kept, noise) for limit in examples.latents.shape[:2])
        other = self.loss.noise_rows(examples.latents[others, other_crops], noise)
        texts = [self._retention[at] for at in pick_numbers(len(RETENTION), kept, noise)]
        return _StepRows(
            batch=join_batches(batch, other),
            captions=(*captions, *[""] * kept),
            texts=(*map(self._without_trigger, captions), *texts),
            masks=torch.cat([masks, torch.zeros_like(masks[:1]).expand(kept, -1, -1, -1)]),
            shares=torch.cat([torch.full((count,), 1 / count), torch.zeros(kept)]).to(device),
            keeps=torch.cat([keeps, torch.full((kept,), self.settings.keep / max(kept, 1))]).to(device),
        )

    def _encode_rows(self, rows: _StepRows) -> EncodedText:
        """Encode what each row is learned on; what does not depend on what is trained was encoded once."""
        if self._text_layers:
            return self._encode([mine or text for mine, text in zip(rows.captions, rows.texts, strict=True)])
        trained = [caption for caption in rows.captions if caption]
        encoded = self._encode(trained) if trained else None
        plain = self._read_plain([text for mine, text in zip(rows.captions, rows.texts, strict=True) if not mine])
        # The rows of the subject stand first.
        return stack_texts([one for one in (encoded, plain) if one is not None])

    def _encode(self, captions: Sequence[str]) -> EncodedText:
        """Encode captions with what is trained in force, each text once."""
        unique = list(dict.fromkeys(captions))
        found = encode_texts(self.towers, unique)
        rows = [unique.index(each) for each in captions]
        return EncodedText(found.hidden[rows], None if found.pooled is None else found.pooled[rows])

    def _read_plain(self, texts: Sequence[str]) -> EncodedText | None:
        return stack_texts([self._plain[text] for text in texts]) if texts else None

    def _predict(self, batch: NoisedBatch, text: EncodedText) -> Tensor:
        """Predict with what is trained in force; without gradients in pieces, as many rows at once as a step takes."""
        most = len(batch) if torch.is_grad_enabled() else self.settings.micro_batch or len(batch)
        pieces = [slice(at, at + most) for at in range(0, len(batch), most)]
        pooled = [None if text.pooled is None else text.pooled[one] for one in pieces]
        found = [
            self.loss.predict(batch.cut(one), text.hidden[one], each) for one, each in zip(pieces, pooled, strict=True)
        ]
        return torch.cat(found)

    @torch.no_grad()
    def _predict_base(self, batch: NoisedBatch, texts: Sequence[str]) -> Tensor:
        text = self._read_plain(texts)
        assert text is not None, "there are rows"
        most = self.settings.micro_batch or len(batch)
        pieces = [slice(at, at + most) for at in range(0, len(batch), most)]
        return torch.cat(
            [
                self.loss.predict_base(
                    batch.cut(one), text.hidden[one], None if text.pooled is None else text.pooled[one]
                )
                for one in pieces
            ]
        )

    def _update(self, gradients: dict[str, Tensor]) -> None:
        warm = min(1.0, (self.steps + 1) / WARMUP_STEPS)
        clip_gradients(gradients, CLIP_NORM)
        rates = {name_vectors(at): self.settings.vector_rate * one.spread for at, one in enumerate(self.triggers)}
        for group, optimiser in self._optimisers.items():
            rate = rates.get(group, self.settings.lora_rate)
            optimiser.step({name: gradients[name] for name in optimiser.parameters}, warm * rate)
        if self.settings.rung != "words":
            self._limit_norms()
        self.steps += 1
        # Early averages forget the start sooner.
        keep = min(AVERAGE, self.steps / (self.steps + 9))
        with torch.no_grad():
            for name, value in self.parameters.items():
                self.averages[name].lerp_(value, 1 - keep)

    def _limit_norms(self) -> None:
        for trigger in self.triggers:
            trigger.limit_norms()

    def _load(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(values[name])


def replace_trigger(caption: str, concept: ConceptFolder) -> str:
    """Return a caption that says the class where it said the trigger."""
    noun, trigger = f"a {concept.noun}", concept.trigger.lower()
    return " ".join(noun if word.lower() == trigger else word for word in caption.split())


def name_vectors(encoder: int) -> str:
    """Return the name of the vectors of a text encoder: the first has no number."""
    return _VECTORS if encoder == 0 else f"{_VECTORS}_{encoder + 1}"


def stack_texts(texts: Sequence[EncodedText]) -> EncodedText:
    """Return encoded texts below each other."""
    pooled = [text.pooled for text in texts if text.pooled is not None]
    return EncodedText(torch.cat([text.hidden for text in texts]), torch.cat(pooled) if pooled else None)


def pick_numbers(below: int, count: int, noise: torch.Generator) -> list[int]:
    """Draw `count` numbers from 0 to `below`, each as likely."""
    return cast("list[int]", torch.randint(0, below, (count,), generator=noise).tolist())
