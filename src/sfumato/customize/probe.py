"""Ask a base whether it knows a name, before anything is trained and without its training pictures.

Knows one loaded model; draws no picture. Start reading at `probe_names`.

A name that the base knows moves predictions far from what made-up names do; one made-up name differs little from the
others. All are measured on the class's own way from noise to picture, so that they differ by the words
alone. 24 made-up names with as many tokens are the control. With pictures there is a second answer: whether the name
denoises them better than the class does.

Sources: Wen et al. 2024, Detecting, Explaining, and Mitigating Memorization in Diffusion Models, section 4 (the size of
what words change); Li et al. 2023, Your Diffusion Model is Secretly a Zero-Shot Classifier, section 3 (errors paired by
noise).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.core.cards import bootstrap_interval
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.prompt.grammar import WeightedSpan
from sfumato.core.validate import check_text
from sfumato.customize.inversion import encode_captions
from sfumato.customize.losses import ConceptLoss, NoisedBatch

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

Verdict = Literal["known", "partly", "unknown"]
SEEDS = 8
# Steps of the way from noise to a picture of the class, and the places on it where names are compared: the layout, the
# person, the marks.
WAY_STEPS = 12
PLACES = (0, 3, 6)
CONTROLS = 24
# Differences are compared on a grid of so many cells a side: where a person stands may differ from seed to seed.
GRID = 4
TEMPLATES = ("a photo of {}", "a portrait of {}")
MOST_NAMES = 200
LONGEST_NAME = 60
# Logistic weights, fitted on 17 phrases of mini's captions and 15 other words; and the bounds of the verdict. Consistency
# does not tell them apart better and is left out; see docs/log and `evaluate customize --probe`.
INTERCEPT, STRENGTH_WEIGHT = -2.2, 1.45
KNOWN_FROM, PARTLY_FROM = 0.75, 0.35
# A z-score is not trusted beyond this: the controls' spread comes from two dozen names.
MOST_Z = 6.0
# What words change is rarely so far above what other words change, unless they call one training picture.
MEMORISED_FROM_Z = 4.0
GAIN_TIMES = 16
AGES = {"as a child": "a child", "young": "a young {}", "old": "an old {}"}
_SYLLABLES = (
    "ba",
    "dro",
    "fi",
    "gle",
    "hu",
    "jo",
    "ke",
    "lu",
    "mi",
    "no",
    "pra",
    "qui",
    "ru",
    "sta",
    "tov",
    "wex",
    "zy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameSignals:
    """Hold what a name does to predictions.

    `strength` is the size of the change against made-up names over that of the class against no words; `consistency`
    the mean cosine between changes of different seeds.
    """

    strength: float
    consistency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedName:
    """Hold an answer: `probability` that the base knows the name, and what it rests on.

    `gain` is the share of the class's error that the name saves on pictures, with its interval; None without pictures.
    """

    name: str
    noun: str
    probability: float
    verdict: Verdict
    strength_z: float
    consistency_z: float
    memorised: bool
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassWay:
    """Hold the way of a class from noise to picture, at `PLACES`: noised latents, and predictions for class and no words."""

    batches: tuple[NoisedBatch, ...]
    of_class: tuple[Tensor, ...]
    of_nothing: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class MadeUpNames:
    """Hold the mean predictions for made-up names at each place, and the signals of each name."""

    usual: tuple[Tensor, ...]
    signals: tuple[NameSignals, ...]


class Prober:
    """Ask one model about names of one class. A leaf."""

    def __init__(self, model: LatentModel, noun: str, *, seed: int = 1) -> None:
        """Walk the class's way once.

        Raises:
            RequestError: the class is no text.
            ModelError: the model has two text encoders, or another kind of prediction.
        """
        check_text("the class", noun, most=80, empty=False)
        if len(model.text.towers) != 1:
            do = "Use an SD 1.x or 2.x checkpoint, or mini."
            raise ModelError("names are probed on models with one text encoder", got=model.contract.family, do=do)
        self.model, self.noun, self.seed = model, noun, seed
        (self.tower,) = model.text.towers
        self.loss = ConceptLoss(model=model)
        self._controls: dict[int, MadeUpNames] = {}
        with torch.inference_mode():
            self._way = self._walk()

    @torch.inference_mode()
    def predict(self, words: str) -> tuple[Tensor, ...]:
        """Predict for words in place of the class, at each place of its way. Cost: `SEEDS` rows for each place."""
        context = self._encode(words)
        return tuple(self.loss.predict(batch, context) for batch in self._way.batches)

    def read(self, found: tuple[Tensor, ...], usual: tuple[Tensor, ...]) -> NameSignals:
        """Compare predictions for a name with the mean ones of made-up names."""
        strengths, cosines = list[float](), list[float]()
        for mine, theirs, of_class, nothing in zip(found, usual, self._way.of_class, self._way.of_nothing, strict=True):
            change = mine - theirs
            strengths.append(float(change.norm() / (of_class - nothing).norm().clamp(min=1e-9)))
            cosines.append(_measure_agreement(change))
        return NameSignals(strength=float(np.mean(strengths)), consistency=float(np.mean(cosines)))

    def read_controls(self, tokens: int) -> MadeUpNames:
        """Measure made-up names of so many tokens, each against the others; once."""
        if tokens not in self._controls:
            every = [self.predict(name) for name in make_up_names(self, tokens, CONTROLS, seed=self.seed)]
            usual = tuple(torch.stack(each).mean(dim=0) for each in zip(*every, strict=True))
            # Each leaves itself out of the mean, as a probed name is no part of it.
            share = CONTROLS / (CONTROLS - 1)
            signals = tuple(
                self.read(one, tuple(mine + (mean - mine) * share for mine, mean in zip(one, usual, strict=True)))
                for one in every
            )
            self._controls[tokens] = MadeUpNames(usual=usual, signals=signals)
        return self._controls[tokens]

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text."""
        return len(self.tower.cut([[WeightedSpan(text)]])[0].ids)

    def ask(self, name: str, latents: Tensor | None = None, noun: str | None = None) -> ProbedName:
        """Answer whether the base knows a name; `latents` [n, 4, h, w] are pictures of its bearer.

        Raises:
            RequestError: the name is no text, or too long.
        """
        check_text("a name", name, most=LONGEST_NAME, empty=False)
        controls = self.read_controls(self.count_tokens(name))
        found = self.read(self.predict(name), controls.usual)
        strengths = [math.log(max(one.strength, 1e-9)) for one in controls.signals]
        strength = _score(strengths, math.log(max(found.strength, 1e-9)))
        consistency = _score([one.consistency for one in controls.signals], found.consistency)
        probability = calibrate(strength)
        gain = (None, None, None) if latents is None else self.measure_gain(name, latents, noun)
        return ProbedName(
            name=name,
            noun=noun or f"a {self.noun}",
            probability=round(probability, 4),
            verdict=judge(probability),
            strength_z=round(strength, 2),
            consistency_z=round(consistency, 2),
            memorised=strength >= MEMORISED_FROM_Z and found.consistency > 0.9,
            gain=gain[0],
            gain_low=gain[1],
            gain_high=gain[2],
        )

    @torch.inference_mode()
    def measure_gain(self, name: str, latents: Tensor, noun: str | None = None) -> tuple[float, float, float]:
        """Return the share of the class's error that a name saves on pictures, and its interval over pictures and noises."""
        rows = latents.repeat_interleave(GAIN_TIMES, dim=0)
        steps = self.model.contract.schedule.steps
        times = ((torch.arange(GAIN_TIMES) + 0.5) / GAIN_TIMES * steps).long().repeat(len(latents))
        normal = torch.randn(rows.shape, generator=torch.Generator().manual_seed(self.seed))
        batch = self.loss.add_noise(rows, times.to(rows.device), normal.to(rows.device))
        errors = [
            (self.loss.predict(batch, self._encode(words, len(batch))) - batch.target)
            .square()
            .mean(dim=(1, 2, 3))
            .cpu()
            for words in (name, noun or f"a {self.noun}")
        ]
        saved = ((errors[1] - errors[0]) / errors[1].clamp(min=1e-9)).numpy()
        low, high = bootstrap_interval(saved)
        return round(float(saved.mean()), 4), round(low, 4), round(high, 4)

    def _walk(self) -> ClassWay:
        """Draw the class without guidance in few steps, and keep the way.

        Source: Song et al. 2021, Denoising Diffusion Implicit Models, eq. 12 without noise.
        """
        native = self.model.contract.native.to_latent(self.model.contract.factor)
        shape = (SEEDS, self.model.contract.latent_channels, *native.shape_hw)
        noise = torch.Generator().manual_seed(self.seed)
        latents = torch.randn(shape, generator=noise).to(self.model.device)
        last = self.model.contract.schedule.steps - 1
        times = [round(last * (1 - step / WAY_STEPS)) for step in range(WAY_STEPS + 1)]
        words, nothing = self._encode(f"a {self.noun}"), encode_captions(self.tower, [""]).repeat(SEEDS, 1, 1)
        batches, of_class, of_nothing = list[NoisedBatch](), list[Tensor](), list[Tensor]()
        for step, (time, after) in enumerate(pairwise(times)):
            if step > PLACES[-1]:
                break
            rows = torch.full((SEEDS,), time, device=latents.device)
            batch = NoisedBatch(latents, rows, latents, torch.ones(SEEDS))
            found = self.loss.predict(batch, words)
            if step in PLACES:
                batches.append(batch)
                of_class.append(found)
                of_nothing.append(self.loss.predict(batch, nothing))
            latents = self._step(latents, found, time, after)
        return ClassWay(batches=tuple(batches), of_class=tuple(of_class), of_nothing=tuple(of_nothing))

    def _step(self, latents: Tensor, found: Tensor, time: int, after: int) -> Tensor:
        alphas = self.model.contract.schedule.alphas_cumprod
        (kept, lost), (kept_after, lost_after) = (
            (math.sqrt(float(alphas[at])), math.sqrt(1 - float(alphas[at]))) for at in (time, after)
        )
        if self.model.contract.prediction == "v_prediction":
            clean, normal = kept * latents - lost * found, kept * found + lost * latents
        else:
            clean, normal = (latents - lost * found) / kept, found
        return kept_after * clean + lost_after * normal

    def _encode(self, words: str, rows: int | None = None) -> Tensor:
        with torch.no_grad():
            contexts = encode_captions(self.tower, [text.replace("{}", words) for text in TEMPLATES])
        return contexts[[row % len(TEMPLATES) for row in range(rows or SEEDS)]]


def probe_names(
    model: LatentModel, names: Sequence[str], noun: str, *, latents: Tensor | None = None, seed: int = 1
) -> list[ProbedName]:
    """Ask about several names of one class; the best known first.

    Raises:
        RequestError: no name, too many, or one that is no text.
        ModelError: as `Prober`.
    """
    if not 1 <= len(names) <= MOST_NAMES:
        raise RequestError("the number of names is out of range", got=len(names), do=f"Name 1 to {MOST_NAMES}.")
    prober = Prober(model, noun, seed=seed)
    found = [prober.ask(name, latents) for name in dict.fromkeys(names)]
    return sorted(found, key=lambda one: -one.probability)


def probe_ages(
    model: LatentModel, name: str, noun: str, *, latents: Tensor | None = None, seed: int = 1
) -> list[ProbedName]:
    """Ask about a name at several ages, each against its class at that age: "old X" against "an old man".

    Raises: as `probe_names`.
    """
    prober = Prober(model, noun, seed=seed)
    found = [prober.ask(name, latents)]
    for said, plain in AGES.items():
        words = f"{name} {said}" if said.startswith("as ") else f"{said} {name}"
        found.append(prober.ask(words, latents, plain.replace("{}", noun)))
    return found


def make_up_names(prober: Prober, tokens: int, count: int, *, seed: int) -> list[str]:
    """Make names of syllables that the tokenizer cuts into so many tokens, or as near as syllables come."""
    rng = random.Random(f"made-up names {seed}")
    pool = list(
        dict.fromkeys("".join(rng.choices(_SYLLABLES, k=rng.choice((2, 3, 4)))).capitalize() for _ in range(40 * count))
    )
    return sorted(pool, key=lambda name: abs(prober.count_tokens(name) - tokens))[:count]


def calibrate(strength_z: float) -> float:
    """Return the probability that a name with this z-score is known."""
    logit = INTERCEPT + STRENGTH_WEIGHT * strength_z
    return 1 / (1 + math.exp(-logit))


def judge(probability: float) -> Verdict:
    """Return the word for a probability."""
    return "known" if probability >= KNOWN_FROM else "partly" if probability >= PARTLY_FROM else "unknown"


def _measure_agreement(change: Tensor) -> float:
    """Return the mean cosine between changes [n, 4, h, w] of different seeds, on a coarse grid."""
    coarse = F.adaptive_avg_pool2d(change, GRID).flatten(1)
    unit = F.normalize(coarse, dim=1)
    cosines = unit @ unit.T
    count = len(cosines)
    return float((cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1)))


def _score(controls: Sequence[float], value: float) -> float:
    spread = max(float(np.std(controls, ddof=1)), 1e-6)
    return max(-MOST_Z, min(MOST_Z, (value - float(np.mean(controls))) / spread))
