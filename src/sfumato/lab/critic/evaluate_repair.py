"""Judge the repair of hands: what the judges accept where the truth is known, what they do to right hands, what mini mends.

| part | truth | what is counted |
| --- | --- | --- |
| auditor | labels of hands that it never saw | its own error, before anything is built on it |
| plans | the twin without the fault | a lacking digit's place is freed, right digits stay |
| baselines | planted fault or none | redrawing, templates and best of k beside ours, see `repair_baselines` |
| twins | the same drawn hand without the fault, or with another | accepted as a repair, or not |
| right hands | nothing is wrong | how many are called goof, and so would be worked on |
| renders | none: look at the sheets | hands with a planted fault that mini repaired, and every pixel outside |

Joins the worlds, the critic and the engine; prints nothing. Start reading at `run_evaluate_repair`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.canvas.formats.save import save_canvas
from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.cards import Card, Measurement, measure_share
from sfumato.core.errors import RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelSize
from sfumato.critic.anatomy.auditor import Opinion, SecondJudge
from sfumato.critic.anatomy.judge import judge_hands
from sfumato.critic.anatomy.labels import MOST_DIGITS
from sfumato.critic.anatomy.parser import Parser, load_parser
from sfumato.critic.anatomy.verdict import judge_evidence
from sfumato.lab.critic.calibrate import pick_countable, read_evidence
from sfumato.lab.critic.close_ups import FAULTS, PICTURE_PX, draw_hand, find_hand_box, list_open_hands
from sfumato.lab.critic.evaluate import KINDS, measure_area
from sfumato.lab.critic.examples import UNKNOWN, HandExamples
from sfumato.lab.critic.judge_plans import judge_plans
from sfumato.lab.critic.repair_baselines import judge_baselines, repair_sample
from sfumato.lab.critic.tables import DRAWN_COUNTS, make_table
from sfumato.lab.critic.train_auditor import list_expected
from sfumato.lab.reader.autoencoder_round_trip import find_trained_autoencoder
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.render.passes.repair import HandCrop, HandWork, RepairOutcome
from sfumato.render.passes.repair_box import RepairStep
from sfumato.workflows.repair.judge import HandJudge
from sfumato.workflows.repair.run import open_auditor
from sfumato.world.stream import Sample

OnProgress = Callable[[str, int, int], None]
Flags = NDArray[np.bool_]

# Seeds of pictures that trained, calibrated and judged nothing else; see `lab.critic.tables`.
TWIN_SEEDS, RENDER_SEEDS = 250_000_000, 255_000_000
MOST_RENDERS, MOST_K = 500, 16


@dataclass(frozen=True, kw_only=True)
class RepairEvaluation:
    """Say how many twins and labelled hands to judge, how many hands mini repairs, and where sheets go."""

    hands: int = 200
    renders: int = 8
    baselines: int = 0
    k: int = 4
    state: Path = Path(".state/mini/parser")
    sheets: Path | None = None
    vae: Path | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.hands <= DRAWN_COUNTS["judge"]:
            raise RequestError("this number of hands is not possible", got=self.hands, do="Use 8 to 600.")
        for name, count in (("renders", self.renders), ("baselines", self.baselines)):
            if not 0 <= count <= MOST_RENDERS:
                raise RequestError(f"this number of {name} is not possible", got=count, do="Use 0 to 500.")
        if not 2 <= self.k <= MOST_K:
            raise RequestError("this number of candidates is not possible", got=self.k, do=f"Use a k of 2 to {MOST_K}.")

    @property
    def command(self) -> str:
        """Write the command line that repeats this evaluation."""
        more = f" --baselines {self.baselines} --k {self.k}" if self.baselines else ""
        return f"sfumato evaluate repair --n {self.hands} --renders {self.renders}{more}"


def run_evaluate_repair(wanted: RepairEvaluation, *, on_progress: OnProgress | None = None) -> Card:
    """Measure auditor, acceptance and harm, and what mini repairs, and return the card.

    Raises:
        ModelError: there is no parser or auditor, or the part with the 3-D hand was not fetched yet.
        StorageError: the sets of hands cannot be read or written.
    """
    tell = on_progress or _keep_quiet
    parser, auditor = load_parser(), open_auditor(drawn=True)
    assert auditor is not None, "a counter stands in"
    autoencoder = find_trained_autoencoder(wanted.vae)
    rows: list[Measurement] = []
    for kind, name in KINDS.items():
        examples = make_table(wanted.state, "judge", kind, autoencoder=autoencoder).take(np.s_[: wanted.hands])
        tell(f"labelled hands, {name}", 0, len(examples))
        rows += judge_auditor(name, auditor, examples)
        rows += judge_right(name, parser, auditor, examples)
    rows += judge_twins(parser, auditor, wanted.hands // 2, tell)
    rows += judge_plans(parser, wanted.hands // 4, tell)
    model = load_model("mini") if wanted.renders or wanted.baselines else None
    if model is not None and wanted.renders:
        rows += judge_renders(model, wanted.renders, wanted.sheets, tell)
    if model is not None and wanted.baselines:
        rows += judge_baselines(model, parser, wanted.baselines, wanted.k, tell)
    notes = (
        "twins: the judges see the true picture without the fault, or with another fault, as if it were a candidate",
        "harm of renders is not counted here: no truth is known of what a model draws; look at the sheets",
    )
    return Card(title="the repair of hands", rows=tuple(rows), seed=0, command=wanted.command, notes=notes)


def _keep_quiet(what: str, done: int, count: int) -> None:
    del what, done, count


def judge_auditor(name: str, auditor: SecondJudge, examples: HandExamples) -> list[Measurement]:
    """Return the auditor's own error on labelled hands, which comes before all it is used for."""
    expected = list_expected(examples)
    opinions = ask_all(auditor, examples)
    countable, cause = pick_countable(examples), np.asarray(examples.cause)
    truth = np.minimum(examples.count_digits(), MOST_DIGITS - 1)
    told, faults = np.array([one.digits for one in opinions]), np.array([one.fault for one in opinions])
    passes = (faults <= auditor.most_fault) & (told == np.array(expected))
    faulty = countable & (cause > 0)
    area = measure_area(faults[countable], cause[countable] > 0)
    return [
        _share(f"auditor, {name}: count wrong, countable hands", told[countable] != truth[countable]),
        Measurement(
            name=f"auditor, {name}: any fault, area under the curve", value=area, unit="", n=int(countable.sum())
        ),
        _share(f"auditor, {name}: lets a faulty hand pass", passes[faulty]),
        replace(
            _share(f"auditor, {name}: lets a right open hand pass", passes[_pick_right_open(examples)]), aim_is="least"
        ),
    ]


def ask_all(auditor: SecondJudge, examples: HandExamples) -> list[Opinion]:
    """Return the auditor's opinion on each crop of a set, from one look."""
    crops = (np.array(examples.images[row : row + 1]) for row in range(len(examples)))
    return [auditor.ask(crop, count) for crop, count in zip(crops, list_expected(examples), strict=True)]


def _pick_right_open(examples: HandExamples) -> Flags:
    whole = np.asarray(examples.count_digits()) == np.array(list_expected(examples))
    return pick_countable(examples) & (np.asarray(examples.cause) == 0) & whole


def judge_right(name: str, parser: Parser, auditor: SecondJudge, examples: HandExamples) -> list[Measurement]:
    """Return how many right hands would be worked on, and where critic or auditor disagree with the truth."""
    evidence = read_evidence(parser, examples)
    verdicts = [judge_evidence(one, parser.beliefs, prompted=True) for one in evidence]
    goof = np.array([one.word == "goof" for one in verdicts])
    cause, hands = np.asarray(examples.cause), np.asarray(examples.hand, np.bool_)
    exception = np.asarray(examples.exception, np.bool_)
    right = hands & (cause == 0) & ~exception
    closed = right & ~np.asarray(examples.countable, np.bool_)
    faults = np.array([one.fault for one in ask_all(auditor, examples)])
    countable = pick_countable(examples)
    rows = [
        _share(f"{name}: right hands that would be worked on", goof[right], 0.5),
        _share(f"{name}: closed, cut or hidden hands that would be worked on", goof[closed], 0.5),
        _share(f"{name}: critic disagrees with the truth", (goof != (cause > 0))[countable]),
        _share(f"{name}: auditor disagrees with the truth", ((faults > auditor.most_fault) != (cause > 0))[countable]),
    ]
    odd = hands & exception & (cause != UNKNOWN)
    return (
        [*rows, _share(f"{name}: amputees and gloves that would be worked on", goof[odd], 0.5)] if odd.any() else rows
    )


def judge_twins(parser: Parser, auditor: SecondJudge, count: int, tell: OnProgress) -> list[Measurement]:
    """Return how often both judges accept the true twin of a faulty hand, and how often a twin that is wrong too."""
    accepted: dict[str, list[bool]] = {}
    for number, (fault, seed) in enumerate(list_open_hands(TWIN_SEEDS, count)):
        if number % 20 == 0:
            tell("twins", number, count)
        wrong, sound = draw_hand(seed, fault), draw_hand(seed, "")
        other = draw_hand(seed, FAULTS[(FAULTS.index(fault) + 1) % len(FAULTS)])
        judge, crop = _make_judge(parser, auditor, wrong)
        if judge.hands[crop.work.box].verdict.word != "goof":
            accepted.setdefault("seen", []).append(False)
            continue
        accepted.setdefault("seen", []).append(True)
        for name, twin in (("sound", sound), ("wrong", other)):
            if twin.faults or name == "sound":
                accepted.setdefault(name, []).append(_accepts(judge, crop, wrong, twin))
                cause = fault.split("_")[0]
                accepted.setdefault(f"{name} {cause}", []).append(accepted[name][-1])
    names = {
        "seen": "drawn faults that are worked on",
        "sound": "true twins that are accepted as a repair",
        "wrong": "twins with another fault that are accepted",
    }
    rows = [
        replace(_share(words, np.array(accepted.get(name, []), np.bool_), 0.5 if name == "wrong" else None),
                aim_is="most" if name == "wrong" else "least")
        for name, words in names.items()
    ]  # fmt: skip
    more = sorted(name for name in accepted if name.startswith("sound "))
    return [*rows, *(_share(f"true twins accepted: {name.split()[1]}", np.array(accepted[name])) for name in more)]


def _make_judge(parser: Parser, auditor: SecondJudge, sample: Sample) -> tuple[HandJudge, HandCrop]:
    pixels = MemoryPixels(PixelSize(PICTURE_PX, PICTURE_PX), sample.image.copy())
    box = find_hand_box(sample)
    (hand,) = judge_hands(parser, pixels, [Found(kind="hand", box=box, confidence=1.0, by="truth")], prompted=True)
    judge = HandJudge(parser=parser, auditor=auditor, finders=(), hands={box: hand})
    cause = hand.verdict.findings[0].cause if hand.verdict.findings else ""
    frame = pixels.size.box
    return judge, HandCrop(work=HandWork(box=box, cause=cause), frame=frame, before=pixels.read(frame))


def _accepts(judge: HandJudge, crop: HandCrop, wrong: Sample, twin: Sample) -> bool:
    """Tell whether both judges take a twin as a repair; all of the picture counts as freed."""
    pixels = MemoryPixels(crop.frame.size, wrong.image.copy())
    change = np.ones(crop.before.shape[:2], np.float32)
    step = RepairStep(change=change, start=crop.before, strength=0.5, words="twin")
    choice = judge.choose(pixels, crop, step, [twin.image])
    return choice.index is not None and judge.audit(pixels, crop, twin.image).index is not None


def judge_renders(model: LatentModel, count: int, sheets: Path | None, tell: OnProgress) -> list[Measurement]:
    """Let mini repair planted faults, and return how many it mended, how fast, and what changed outside."""
    outcomes: list[tuple[str, RepairOutcome]] = []
    outside, began = 0, time.monotonic()
    for number, (fault, seed) in enumerate(list_open_hands(RENDER_SEEDS, count)):
        tell("hands that mini repairs", number, count)
        sample = draw_hand(seed, fault)
        after, outcome = repair_sample(model, sample, seed)
        outcomes.append((fault.split("_")[0], outcome))
        changed = (after != sample.image).any(axis=2)
        if outcome.frame is not None:
            changed[outcome.frame.slices_hw] = False
        outside += int(changed.sum())
        if sheets is not None:
            both = Image.fromarray(np.concatenate((sample.image, after), axis=1))
            save_canvas(sheets / f"{number:03d} {fault} {outcome.verdict}.png", both, {})
    worked = [one for _, one in outcomes if one.verdict != "left"]
    mended = [one for one in worked if one.verdict == "repaired"]
    rows = [
        _share("renders: planted faults that are worked on", np.array([one.verdict != "left" for _, one in outcomes])),
        _share(
            "renders: of these, repaired as both judges say", np.array([one.verdict == "repaired" for one in worked])
        ),
        Measurement(
            name="renders: pixels changed outside the crops", value=outside, unit="px", n=count, aim=0, aim_is="most"
        ),
        _mean("renders: rounds of a repaired hand", [len(one.rounds) for one in mended], "rounds"),
        _mean("renders: seconds of a hand", [(time.monotonic() - began) / max(1, count)], "s"),
    ]
    causes = sorted({cause for cause, _ in outcomes})
    return rows + [
        _share(
            f"renders: {cause}, repaired",
            np.array([one.verdict == "repaired" for name, one in outcomes if name == cause]),
        )
        for cause in causes
    ]


def _share(name: str, hits: Flags, aim: float | None = None) -> Measurement:
    return replace(measure_share(name, int(hits.sum()), len(hits), aim=aim), aim_is="most")


def _mean(name: str, values: Sequence[float], unit: str) -> Measurement:
    value = float(np.mean(values)) if values else float("nan")
    return Measurement(name=name, value=value, unit=unit, n=len(values))
