"""Full tuning: every weight of the UNet learns from thousands of pictures, and the base's own answers hold it back.

Knows one loaded model, which it takes over, and one concept; no render and no score. Start reading at `FullLearner`.

The trigger is a plain word here, for a whole model has no vectors beside it. Before the first step the base is asked
once about prompts without the trigger, on a pool of noised pictures; its answers are kept, so the base is not needed in
memory again. Steps happen inside the backward pass, see `methods.fused`. Like `Learner`, 10 steps and 10 more are 20.

Source: Laria et al. 2024, arXiv:2410.14159 (functional regularisation towards the frozen model).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.customize.cached_examples import CROPS, CachedTexts, cache_examples, cache_texts
from sfumato.customize.inversion import encode_texts
from sfumato.customize.learn import AVERAGE, CHECK_ROWS, RETENTION, WARMUP_STEPS, pick_numbers, replace_trigger
from sfumato.customize.losses import (
    ConceptLoss,
    NoisedBatch,
    join_batches,
    measure_distance,
    measure_drift,
    measure_subject,
)
from sfumato.customize.methods.checkpointing import CheckpointedBlocks
from sfumato.customize.methods.fused import FusedAdam
from sfumato.customize.methods.scratch import ScratchTensors
from sfumato.customize.settings import RETENTION_ROWS, ConceptSettings
from sfumato.customize.stop import LossCheck
from sfumato.models.text.encoder import EncodedText
from sfumato.train.checkpoints import Checkpoint

if TYPE_CHECKING:
    from sfumato.customize.concept import ConceptFolder
    from sfumato.models.latent_model import LatentModel

# Noised pictures with the base's own answers: enough that each is met once in 32 steps at most.
POOL_ROWS = 128
# Numbers of the seed for what is not a step.
_POOL_SEED, _CHECK_SEED = 11, 3


class FullLearner:
    """One concept in full tuning. It takes the model over: after `close` its weights are what training left.

    `best` holds the state that was kept last, float16.
    """

    layers = None

    def __init__(
        self, concept: ConceptFolder, model: LatentModel, settings: ConceptSettings, *, base: str, folder: Path
    ) -> None:
        """Encode pictures and captions into caches in `folder`, and make every weight trainable.

        `base` is the digest of the base. Offloaded weights and averages lie in `folder` too, while training runs.

        Raises:
            RequestError: a picture cannot be read, or a caption is too long.
            ModelError: the model has another kind of prediction.
            StorageError: the disk refuses.
        """
        self.concept, self.model, self.settings = concept, model, settings
        self.towers = model.text.towers
        self.steps = 0
        self.loss = ConceptLoss(model=model)
        self._examples = cache_examples(concept, model, folder, base=base, seed=settings.seed)
        self._learned, self._held = self._examples.split()
        self._retention = self._list_retention()
        self._texts: CachedTexts | None = None
        if not settings.train_text:
            captions = (each for one in self._examples.captions for each in one)
            self._texts = cache_texts(self.towers, [*captions, *self._retention], folder, base=base)
        self._fixed = [self._fix(some, seed) for seed, some in ((1, self._learned), (2, self._held))]
        self._pool = self._noise_pool(POOL_ROWS, _POOL_SEED)
        self._drift = self._noise_pool(CHECK_ROWS, _CHECK_SEED)
        self._answers: dict[str, Tensor] = {}
        self._scratch = ScratchTensors(folder if settings.offload else None)
        self.parameters = self._take_over()
        self._hooks = self._release_after_use() if settings.offload else []
        self._checkpointed = CheckpointedBlocks(model.unet, *model.text_encoders) if settings.checkpointing else None
        packed = settings.optimiser == "adam8"
        self._optimiser = FusedAdam(self.parameters, self._scratch, packed=packed, seed=settings.seed)
        self.averages = self._optimiser.averages
        self.best: dict[str, Tensor] = {}
        self._live: dict[str, Tensor] = {}

    @property
    def file_bytes(self) -> int:
        """Return the bytes of the scratch file; 0 without offload."""
        return self._scratch.file_bytes

    def close(self) -> None:
        """Let the model be; its weights are not the base's any more."""
        self._optimiser.detach()
        if self._checkpointed is not None:
            self._checkpointed.detach()
        for hook in self._hooks:
            hook.remove()
        for parameter in self.parameters.values():
            parameter.requires_grad = False

    def step(self) -> float:
        """Train one step; return its loss.

        Raises:
            ModelError: the loss is no number.
        """
        self._ask_base()
        noise = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.steps)
        loss = self._measure(noise)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError("training gave numbers that are no loss", got=value, do="Use a smaller rate, or `fresh`.")
        warm = min(1.0, (self.steps + 1) / WARMUP_STEPS)
        done = self.steps + 1
        self._optimiser.arm(done, warm * self.settings.full_rate, min(AVERAGE, done / (done + 9)))
        loss.backward()
        self.steps = done
        return value

    @torch.no_grad()
    def check(self) -> LossCheck:
        """Measure the averaged weights on batches that never change."""
        self._ask_base()
        with self.averaged():
            train, held_out = (self._measure_fixed(*each) for each in self._fixed)
            batch, texts = self._drift
            drift = measure_drift(self._predict(batch, texts), self._answers["drift"])
        rows = tuple(float(row) for row in held_out)
        return LossCheck(
            step=self.steps, train=float(train.mean()), held_out=float(held_out.mean()), drift=drift, rows=rows
        )

    @contextmanager
    def averaged(self) -> Generator[None]:
        """Put the averaged weights in force for a while."""
        with torch.no_grad():
            for name, value in self.parameters.items():
                if name not in self._live:
                    self._live[name] = self._scratch.make(f"live.{name}", value, value.dtype)
                self._live[name].copy_(value)
                value.copy_(self.averages[name])
                self._let_go(name)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self.parameters.items():
                    value.copy_(self._live[name])
                    self._let_go(name)
            if not self.settings.offload:
                self._live.clear()

    @torch.no_grad()
    def keep_best(self) -> Mapping[str, Tensor]:
        """Keep the averaged weights of now as the best state, float16, and return it."""
        for name, value in self.averages.items():
            if name not in self.best:
                self.best[name] = self._scratch.make(f"best.{name}", value, torch.float16, tuple(value.shape))
            self.best[name].copy_(value)
            self._let_go(name)
        return self.best

    def state(self, *, copied: bool = True) -> Checkpoint:
        """Return everything that `restore` needs; not `copied`, it holds what the next step changes."""
        self._ask_base()
        tensors = {f"parameter.{name}": value for name, value in self.parameters.items()}
        tensors |= self._optimiser.state() | {f"answer.{name}": value for name, value in self._answers.items()}
        kept = {name: _lay_flat(value).clone() if copied else _lay_flat(value) for name, value in tensors.items()}
        return Checkpoint(kept, {"step": self.steps})

    @torch.no_grad()
    def restore(self, saved: Checkpoint) -> None:
        """Go on from a saved state of the same settings."""
        self._answers = {name: torch.empty_like(batch.noised) for name, (batch, _) in self._asked().items()}
        tensors = {f"parameter.{name}": value for name, value in self.parameters.items()}
        tensors |= self._optimiser.state() | {f"answer.{name}": value for name, value in self._answers.items()}
        for name, value in tensors.items():
            _lay_flat(value).copy_(saved.tensors[name])
            self._scratch.release(name.replace("parameter.", "weight."))
        self.steps = int(saved.values["step"])

    @torch.no_grad()
    def take_best(self, best: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take over the best state of a stopped training, and return it."""
        if best:
            self.keep_best()
            for name, value in self.best.items():
                value.copy_(best[name])
                self._let_go(name)
        return self.best

    def _take_over(self) -> dict[str, Tensor]:
        """Make weights trainable, and move them into the scratch file where they are offloaded."""
        networks: dict[str, Any] = {"unet": self.model.unet}
        if self.settings.train_text:
            networks |= dict(zip(("text_encoder", "text_encoder_2"), self.model.text_encoders, strict=False))
        found: dict[str, Tensor] = {}
        for network, module in networks.items():
            for name, parameter in module.named_parameters():
                whole = f"{network}.{name}"
                if self._scratch.folder is not None:
                    moved = self._scratch.make(f"weight.{whole}", parameter, parameter.dtype)
                    moved.copy_(parameter.detach())
                    parameter.data = moved
                    self._scratch.release(f"weight.{whole}")
                found[whole] = parameter.requires_grad_()
        return found

    def _release_after_use(self) -> list[Any]:
        """Let weights of the UNet go out of memory after each layer has used them."""
        hooks: list[Any] = []
        for path, module in self.model.unet.named_modules():
            own = [f"weight.unet.{path}.{name}" for name, _ in module.named_parameters(recurse=False)]
            if own:
                hooks.append(module.register_forward_hook(lambda *_, own=own: self._scratch.release(*own)))
        return hooks

    def _let_go(self, name: str) -> None:
        self._optimiser.release(name)
        self._scratch.release(f"live.{name}", f"best.{name}")

    def _list_retention(self) -> list[str]:
        """Return prompts whose pictures stay as they are: usual ones, and captions with the class for the trigger."""
        usual = [text.replace("{}", self.concept.noun) for text in RETENTION]
        captions = (replace_trigger(one[0], self.concept) for one in self._examples.captions)
        others = list(dict.fromkeys(captions))[:POOL_ROWS]
        return list(dict.fromkeys([*usual, *others]))

    def _noise_pool(self, count: int, seed: int) -> tuple[NoisedBatch, list[str]]:
        """Noise pictures for prompts without the trigger: the usual ones and the others take turns."""
        noise = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + _POOL_SEED * 7919 + seed)
        picks = [self._learned[at] for at in pick_numbers(len(self._learned), count, noise)]
        latents, _ = self._examples.read(picks, pick_numbers(CROPS, count, noise), self.model.device)
        usual, others = self._retention[: len(RETENTION)], self._retention[len(RETENTION) :]
        ways = pick_numbers(1_000_003, count, noise)
        lists = [usual if at % 2 == 0 or not others else others for at in range(count)]
        texts = [some[way % len(some)] for some, way in zip(lists, ways, strict=True)]
        # Neighbours in noise are no neighbours in the pool: a step takes any rows.
        return self.loss.noise_rows(latents, noise), texts

    @torch.no_grad()
    def _ask_base(self) -> None:
        """Ask the base about the pool, while the weights are still its own."""
        if self._answers:
            return
        assert self.steps == 0, "a restored state brings the answers"
        # In one order of numbers: a saved state is laid flat.
        self._answers = {name: self._predict(*each).contiguous() for name, each in self._asked().items()}

    def _asked(self) -> dict[str, tuple[NoisedBatch, list[str]]]:
        return {"pool": self._pool, "drift": self._drift}

    def _fix(self, some: Sequence[int], seed: int) -> tuple[NoisedBatch, list[str], Tensor]:
        picks = [some[at * len(some) // CHECK_ROWS] if len(some) > CHECK_ROWS else some[at % len(some)]
                 for at in range(CHECK_ROWS)]  # fmt: skip
        latents, masks = self._examples.read(picks, [0] * CHECK_ROWS, self.model.device)
        captions = [self._examples.captions[at][0] for at in picks]
        return self.loss.noise_rows(latents, torch.Generator().manual_seed(seed)), captions, masks

    def _measure_fixed(self, batch: NoisedBatch, captions: list[str], masks: Tensor) -> Tensor:
        return measure_subject(batch, self._predict(batch, captions), masks)

    def _measure(self, noise: torch.Generator) -> Tensor:
        """Return the loss of a step: the error on pictures, and every other step the distance from the base."""
        count, examples = self.settings.batch, self._examples
        picks = [self._learned[at] for at in pick_numbers(len(self._learned), count, noise)]
        latents, masks = examples.read(picks, pick_numbers(CROPS, count, noise), self.model.device)
        ways = pick_numbers(1_000_003, count, noise)
        texts = [examples.captions[at][way % len(examples.captions[at])] for at, way in zip(picks, ways, strict=True)]
        batch = self.loss.noise_rows(latents, noise)
        kept = min(RETENTION_ROWS, count) if self.steps % 2 == 0 and self.settings.keep > 0 else 0
        others = pick_numbers(POOL_ROWS, kept, noise)
        if kept:
            pool, pool_texts = self._pool
            batch = join_batches(batch, pool.pick(others))
            texts += [pool_texts[at] for at in others]
        found = self.loss.predict(batch, *self._encode(texts))
        loss = measure_subject(batch.cut(slice(count)), found[:count], masks).mean()
        if not kept:
            return loss
        distance = measure_distance(batch.cut(slice(count, None)), found[count:], self._answers["pool"][others])
        return loss + self.settings.keep * distance.mean()

    def _encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        if self._texts is not None:
            read: EncodedText = self._texts.read(texts, self.model.device)
            return read.hidden, read.pooled
        unique = list(dict.fromkeys(texts))
        encoded = encode_texts(self.towers, unique)
        rows = [unique.index(each) for each in texts]
        return encoded.hidden[rows], None if encoded.pooled is None else encoded.pooled[rows]

    @torch.no_grad()
    def _predict(self, batch: NoisedBatch, texts: Sequence[str]) -> Tensor:
        """Predict with what is in force, as many rows at once as a step takes."""
        pieces = [slice(at, at + self.settings.batch) for at in range(0, len(batch), self.settings.batch)]
        return torch.cat([self.loss.predict(batch.cut(one), *self._encode(texts[one])) for one in pieces])


def _lay_flat(tensor: Tensor) -> Tensor:
    """Return the numbers of a dense tensor in the order in which they lie, without a copy."""
    flat = tensor.detach()
    return flat.as_strided((flat.numel(),), (1,), flat.storage_offset())
