"""Filters while rendering, without training, measured on hands that mini draws: what each removes, keeps and costs.

| way | what it does |
| --- | --- |
| plain | nothing |
| negative words | the usual words in the negative prompt |
| concept | every step is steered away from the same words, `nn.steering` |
| best of k | the critic picks one of k seeds |
| trajectory | pictures whose predicted hand still changes in the last steps are removed |

The critic picks; the auditor, which saw none of it, judges; sheets are for the eye. Start reading at `run_evaluate_filters`.

Source: variance of predicted x0 over the last steps, Aithal et al. 2024, "Understanding Hallucinations in Diffusion
Models through Mode Interpolation", section 5.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sfumato.canvas.formats.images import save_picture
from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.errors import RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.critic.anatomy.judge import cut_hands, frame_hand, judge_hands
from sfumato.critic.anatomy.parser import Parser, load_parser
from sfumato.critic.anatomy.verdict import count_expected
from sfumato.lab.critic.evaluate import measure_area
from sfumato.models.load import load_model
from sfumato.nn.steering import Steering, steer_away
from sfumato.render.methods.native import Start, walk_steps
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render
from sfumato.render.sampling.pixels import to_bytes
from sfumato.render.sampling.preview import Preview
from sfumato.render.sampling.prompt_schedule import PromptSchedule
from sfumato.render.sampling.run_steps import Work, make_noise, predict, stage_sigmas
from sfumato.workflows.find.finders import FINDERS, make_finders
from sfumato.workflows.repair.run import open_auditor

if TYPE_CHECKING:
    from sfumato.critic.anatomy.auditor import SecondJudge
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.stages import Stage

PROMPTS = (
    "an open hand, photograph",
    "a close-up of an open hand, photograph",
    "a hand showing five fingers, photograph",
)
BAD_WORDS = "extra fingers, fused fingers, missing fingers, a deformed hand"
PLAIN, NEGATIVE, CONCEPT, BEST = "plain", "negative words", "concept", "best of k"
WAYS = (PLAIN, NEGATIVE, CONCEPT)
# The last share of the steps in which the predicted picture should have settled, and the share of pictures removed.
LAST_FRAC, REMOVED_FRAC = 0.3, 0.25
# Two looks of the auditor, as in the repair.
AUDIT_SIDES = (0.9, 1.1)
MOST_HANDS, SEED = 500, 700_000
_SHEET_PX = 160


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawnHand:
    """Hold a hand that mini drew: its pixels, what critic and auditor say, how it changed at last, and its cost.

    `goof` and `fault` are the probabilities of critic and auditor; `variance` is that of the predicted latents, mean over
    the hand; `evaluations` counts those of the denoiser.
    """

    pixels: NDArray[np.uint8]
    goof: float
    fault: float
    passes: bool
    variance: float
    evaluations: int


@dataclass(frozen=True, kw_only=True)
class FilterEvaluation:
    """Say how many hands each way draws, from how many seeds the best is picked, and where sheets go."""

    hands: int = 24
    k: int = 4
    sheets: Path | None = None

    def __post_init__(self) -> None:
        if not (2 <= self.k <= self.hands <= MOST_HANDS):
            do = f"Use 2 to {MOST_HANDS} hands, and a k from 2 to that."
            raise RequestError("this number of hands is not possible", got=(self.hands, self.k), do=do)

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        return f"sfumato evaluate filters --n {self.hands} --k {self.k}"


def run_evaluate_filters(
    wanted: FilterEvaluation, *, on_progress: Callable[[str, int, int], None] | None = None
) -> Card:
    """Draw the hands in every way, and return the card.

    Raises:
        ModelError: there is no parser.
        StorageError: a sheet cannot be written.
    """
    model, parser, auditor = load_model("mini", device="cpu"), load_parser(), open_auditor(drawn=True)
    assert auditor is not None, "a counter stands in"
    drawn: dict[str, list[DrawnHand]] = {way: [] for way in WAYS}
    seconds: dict[str, float] = dict.fromkeys(WAYS, 0.0)
    for number in range(wanted.hands):
        request = RenderRequest(
            prompt=PROMPTS[number % len(PROMPTS)],
            size=model.contract.native,
            seed=SEED + number,
            guidance=model.contract.guidance,
        )
        for way in WAYS:
            began = time.process_time()
            drawn[way].append(draw_hand(way, request, model, parser, auditor))
            seconds[way] += time.process_time() - began
        if wanted.sheets is not None:
            save_filter_sheet(drawn, wanted.sheets)
        if on_progress is not None:
            on_progress("hands", number + 1, wanted.hands)
    notes = (
        "the judge is the auditor that stands in; it is wrong about a third of drawn hands, so look at the sheets",
        "best of k: the critic's pick of k pictures of other seeds, the groups in the order of the seeds",
    )
    rows = describe_ways(drawn, seconds, wanted.k)
    return Card(title="filters while rendering", rows=tuple(rows), seed=SEED, command=wanted.command, notes=notes)


def draw_hand(way: str, request: RenderRequest, model: LatentModel, parser: Parser, auditor: SecondJudge) -> DrawnHand:
    """Draw one hand in one way and judge it."""
    request = replace(request, negative=BAD_WORDS) if way == NEGATIVE else request
    work = Work(model=model, request=request, prompts=PromptSchedule(model, request), preview=Preview(model))
    plan = plan_render(request, model.contract, RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"]))
    (stage,) = plan.stages
    noise = make_noise(work, stage, (stage.canvas.to_latent(model.contract.factor).box,)).initial()
    start = Start(x=float(stage_sigmas(work, stage)[0]) * noise)
    denoise = ConceptDenoiser(work=work, stage=stage) if way == CONCEPT else _plain(work, stage)
    seen, steps = list[Tensor](), walk_steps(work, stage, start, denoise)
    while True:
        try:
            state = next(steps)
        except StopIteration as end:
            clean = end.value
            break
        assert state.x0 is not None, "a step leaves its prediction behind"
        seen.append(state.x0)
    pixels = to_bytes(model.decode(clean))
    cells = measure_variance(seen[-max(2, round(LAST_FRAC * len(seen))) :])
    halves = 3 if way == CONCEPT else 2
    return _judge(pixels, cells, halves * stage.steps, parser, auditor)


def _plain(work: Work, stage: Stage) -> Callable[[int, Tensor, float], Tensor]:
    return lambda step, x, sigma: predict(work, x, sigma, step=step, steps=stage.steps)


@dataclass(eq=False, kw_only=True)
class ConceptDenoiser:
    """Predict x0 steered away from the bad words; keeps the momentum of one picture. A leaf."""

    work: Work
    stage: Stage
    how: Steering = field(default_factory=Steering)
    _momentum: Tensor | None = None

    def __call__(self, step: int, x: Tensor, sigma: float, /) -> Tensor:
        """Return the guided prediction of a step."""
        work = self.work
        wanted, nothing = work.prompts.at_step(step, self.stage.steps, self.stage.canvas)
        bad = PromptSchedule(work.model, replace(work.request, prompt=BAD_WORDS))
        named, _ = bad.at_step(step, self.stage.steps, self.stage.canvas)
        guided, self._momentum = steer_away(
            work.model.denoise(x, sigma, wanted),
            work.model.denoise(x, sigma, nothing),
            work.model.denoise(x, sigma, named),
            self._momentum,
            sigma=sigma,
            guidance=work.request.guidance,
            progress=step / self.stage.steps,
            how=self.how,
        )
        return guided


def measure_variance(predictions: Sequence[Tensor]) -> NDArray[np.float32]:
    """Return how much predicted latents [1, C, h, w] still change from step to step: the variance of each cell [h, w]."""
    return torch.stack(list(predictions)).var(dim=0, correction=0).mean(dim=1)[0].cpu().numpy()


def _judge(
    pixels: NDArray[np.uint8], cells: NDArray[np.float32], evaluations: int, parser: Parser, auditor: SecondJudge
) -> DrawnHand:
    size = PixelSize(pixels.shape[1], pixels.shape[0])
    store = MemoryPixels(size, pixels)
    (finder,) = make_finders(row for row in FINDERS if row.world == "drawn")
    found = [one for one in finder.find(store) if one.kind == "hand"]
    # A close-up shows its hand in the middle, also where the finder sees none.
    middle = PixelBox(size.width // 8, size.height // 8, 7 * size.width // 8, 7 * size.height // 8)
    hand = found[0] if found else Found(kind="hand", box=middle, confidence=0.5, by="middle")
    (judged,) = judge_hands(parser, store, [hand], prompted=True)
    square = frame_hand(hand)
    expected = count_expected(judged.evidence)
    opinion = auditor.ask(
        cut_hands(store, [replace(square, side=square.side * side) for side in AUDIT_SIDES]), expected
    )
    factor = size.width // cells.shape[1]
    rows, columns = hand.box.slices_hw
    inside = cells[rows.start // factor : -(-rows.stop // factor), columns.start // factor : -(-columns.stop // factor)]
    return DrawnHand(
        pixels=pixels,
        goof=judged.verdict.goof,
        fault=opinion.fault,
        passes=opinion.fault <= auditor.most_fault and opinion.digits == expected,
        variance=float(inside.mean()) if inside.size else float(cells.mean()),
        evaluations=evaluations,
    )


def describe_ways(drawn: dict[str, list[DrawnHand]], seconds: dict[str, float], k: int) -> list[Measurement]:
    """Return the rows: hands that pass the auditor by way, change of colours against plain, cost, and the trajectory."""
    plain = drawn[PLAIN]
    groups = [plain[start : start + k] for start in range(0, len(plain) - k + 1, k)]
    best = [min(group, key=lambda one: one.goof) for group in groups]
    rows = [_share_passing(way, drawn[way]) for way in WAYS]
    rows.append(_share_passing(f"{BEST} = {k}", best))
    rows += [
        Measurement(name=f"{way}: {name}", value=float(np.mean(values)), unit=unit, n=len(values))
        for way in WAYS
        for name, unit, values in (
            ("probability of a fault, critic", "", [one.goof for one in drawn[way]]),
            ("evaluations of a picture", "", [one.evaluations for one in drawn[way]]),
            ("mean colour moved from plain", "levels", _measure_drift(drawn[way], plain)),
            ("processor time of a picture", "s", [seconds[way] / len(drawn[way])]),
        )
    ]
    order = np.argsort([one.variance for one in plain])
    kept = [plain[place] for place in order[: round((1.0 - REMOVED_FRAC) * len(plain))]]
    rows.append(_share_passing(f"trajectory, the most variable {REMOVED_FRAC:.0%} removed", kept))
    faulty = np.array([not one.passes for one in plain])
    if 0 < faulty.sum() < len(faulty):
        area = measure_area(np.array([one.variance for one in plain]), faulty)
        name = "trajectory: variance tells hands that the auditor refuses, area under the curve"
        rows.append(Measurement(name=name, value=area, unit="", n=len(plain)))
    return rows


def _share_passing(way: str, hands: Sequence[DrawnHand]) -> Measurement:
    return measure_share(f"{way}: hands that pass the auditor", sum(one.passes for one in hands), len(hands))


def _measure_drift(hands: Sequence[DrawnHand], plain: Sequence[DrawnHand]) -> list[float]:
    means = [
        np.abs(a.pixels.mean(axis=(0, 1)) - b.pixels.mean(axis=(0, 1))).mean()
        for a, b in zip(hands, plain, strict=True)
    ]
    return [float(mean) for mean in means]


def save_filter_sheet(drawn: dict[str, list[DrawnHand]], folder: Path) -> None:
    """Save a sheet with a row for each way and a column for each hand.

    Raises:
        StorageError: the folder cannot be written.
    """
    rows = [
        np.concatenate(
            [
                np.asarray(Image.fromarray(one.pixels).resize((_SHEET_PX, _SHEET_PX), Image.Resampling.BICUBIC))
                for one in hands
            ],
            axis=1,
        )
        for hands in drawn.values()
    ]
    save_picture(folder / "filters.png", Image.fromarray(np.concatenate(rows)), {})
