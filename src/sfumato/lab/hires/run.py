"""Compare the ways to a large picture, side by side: same model, prompts, seeds and bases, one run.

Goes prompt by prompt, all methods in turn, so a run that stops early has whole rows; a rerun goes on where it
stopped. Joins studio, judge and cards; prints nothing. Start reading at `run_evaluate_hires`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from sfumato.core.cards import Card
from sfumato.core.errors import RequestError
from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, Method
from sfumato.core.validate import check_int
from sfumato.critic.reader.reader import Reader, load_reader
from sfumato.lab.hires.cards import Group, Outcome, make_card, make_table
from sfumato.lab.hires.drawn_bases import compare_drawn_bases
from sfumato.lab.hires.judge import Case, Judge, load_watcher
from sfumato.lab.hires.measures import REFERENCE_SCENES, make_crops
from sfumato.lab.hires.methods import (
    COHESIVE,
    DRAWN,
    LANCZOS,
    METHODS,
    Studio,
    list_ablations,
    list_methods,
)
from sfumato.lab.hires.objects import Watcher
from sfumato.lab.hires.prompts import ScenePrompt, list_prompts
from sfumato.lab.hires.sheets import save_hires_sheets
from sfumato.lab.hires.store import Store, digest_folder, make_key
from sfumato.lab.mini.run import find_reader
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model
from sfumato.workflows.files.digests import digest_weights

# How many native sides a picture is wide and high.
AREAS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"4x": (2, 2), "16x": (4, 4), "64x": (8, 8), "wide": (8, 4.5)}
)
# What the issue asks for at least at 16 and 64 times the native area.
PICTURES: Mapping[str, int] = MappingProxyType({"4x": 24, "16x": 60, "64x": 8, "wide": 0})
# The ablation looks at the size that the aims are set for.
ABLATED, ABLATION_PICTURES = "16x", 24
MOST_PICTURES, MOST_SEED = 5_000, 79
# The packages that a picture depends on, drawn ones included.
CODE = ("core", "canvas", "nn", "models", "render", "world")
TABLE, CARDS, SHEETS = "table.md", "cards.jsonl", "sheets"

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class HiresEvaluation:
    """Say what to compare and how thoroughly; `out` keeps pictures and results between runs.

    `pictures` counts prompts for each of `AREAS`, `reference` the drawn scenes that crops are held against.
    `drawn_bases` counts scenes whose base is drawn, so that the truth of their small parts is known.
    With `minutes` no prompt but the first is begun after that time; what was finished before is still counted.

    Raises:
        RequestError: a size, method, count, seed or time that cannot be compared, or nothing to compare.
    """

    model: str = "mini"
    pictures: Mapping[str, int] = field(default_factory=lambda: dict(PICTURES))
    methods: tuple[str, ...] = METHODS
    ablations: bool = False
    ablation_pictures: int = ABLATION_PICTURES
    drawn_bases: int = 0
    reference: int = REFERENCE_SCENES
    seed: int = 1
    minutes: float | None = None
    out: Path = Path("out/hires")
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        _check_names("size", tuple(self.pictures), tuple(AREAS))
        _check_names("method", self.methods, METHODS)
        for name, count in {**self.pictures, "ablation": self.ablation_pictures, "drawn": self.drawn_bases}.items():
            check_int(f"--pictures-{name}", count, low=0, high=MOST_PICTURES)
        check_int("--seed", self.seed, low=0, high=MOST_SEED)
        check_int("the number of drawn scenes to compare with", self.reference, low=2, high=MOST_PICTURES)
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            do = "Give minutes above 0, or leave --minutes away to go on to the end."
            raise RequestError("no time to compare in", got=self.minutes, do=do)
        others = self.drawn_bases or (self.ablations and self.ablation_pictures)
        if not any(self.pictures.values()) and not others:
            do = "Give a --pictures-... above 0, or --ablations."
            raise RequestError("there is nothing to compare", got=dict(self.pictures), do=do)

    @property
    def command(self) -> str:
        """Write the command line that repeats this comparison."""
        # A size that is left out has as many as the command line would take.
        counts = {name: self.pictures.get(name, 0) for name in AREAS}
        told = [f"--pictures-{name} {count}" for name, count in counts.items() if count or PICTURES[name]]
        words = ["sfumato evaluate hires", *told]
        words += [f"--methods {','.join(self.methods)}"] if self.methods != METHODS else []
        words += [f"--ablations --pictures-ablation {self.ablation_pictures}"] if self.ablations else []
        words += [f"--pictures-drawn {self.drawn_bases}"] if self.drawn_bases else []
        words += [f"--model {self.model}"] if self.model != "mini" else []
        words += [f"--device {self.device}"] if self.device != "auto" else []
        words += [f"--dtype {self.dtype}"] if self.dtype != "auto" else []
        return " ".join([*words, f"--seed {self.seed}"])


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or (what == "method" and not names):
        raise RequestError(f"no such {what}", got=", ".join(unknown), do=f"Choose from {', '.join(known)}.")


@dataclass(frozen=True, eq=False)
class _MethodJob:
    """One prompt at one size with its methods, in the part of the comparison that it belongs to."""

    part: str
    size: PixelSize
    prompt: ScenePrompt
    methods: Mapping[str, Method | None]


def run_evaluate_hires(
    wanted: HiresEvaluation,
    *,
    model: LatentModel | None = None,
    reader: Reader | None = None,
    watcher: Watcher | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Card, ...]:
    """Make and judge all pictures that are not there yet; return a card for each size and one for the ablation.

    `on_progress` gets (what, done, all). Writes cards, a table for documents and sheets into `wanted.out`. When time
    is up, what is not made and judged yet is left out.

    Raises:
        ModelError: the model or the reader is missing or broken.
        StorageError: the folder cannot be written.
    """
    report = on_progress or (lambda _what, _done, _all: None)
    ends = time.monotonic() + 60.0 * wanted.minutes if wanted.minutes is not None else None
    reader = reader or load_reader(find_reader())
    model = model or load_model(wanted.model, device=wanted.device, dtype=wanted.dtype)
    studio = open_studio(wanted, model)
    judge = Judge(studio.store, watcher or load_watcher(str(model.device)))
    jobs = _list_jobs(wanted, studio)
    outcomes: dict[str, list[Outcome]] = {}
    if jobs:
        studio.warm_up(jobs[0].prompt, jobs[0].size)
    for done, job in enumerate(jobs):
        # The first is made however late: a run that ends with nothing would have been for nothing.
        late = ends is not None and bool(outcomes) and time.monotonic() > ends
        outcome = _find_outcome(job, studio, judge) if late else _make_outcome(job, studio, judge)
        if outcome is not None:
            outcomes.setdefault(job.part, []).append(outcome)
            report(f"{job.part}, {job.prompt.stratum}", done + 1, len(jobs))
    more: list[Card] = []
    if wanted.drawn_bases:
        size, count = find_size(ABLATED, model.contract.native), wanted.drawn_bases
        told = partial(_report_base, report, count)
        more.append(compare_drawn_bases(studio, size, count, command=wanted.command, on_progress=told))
    return _write_cards(wanted, studio, reader, outcomes, more)


def _report_base(report: OnProgress, count: int, done: int) -> None:
    report("drawn bases", done, count)


def open_studio(wanted: HiresEvaluation, model: LatentModel) -> Studio:
    """Open the folder of results with a model that renders into it."""
    store, engine = Store(wanted.out), digest_code(Path(__file__).parents[2])
    studio = Studio(model=model, store=store, seed=wanted.seed, engine=engine)
    request = studio.ask(list_prompts(1, seed=wanted.seed)[0], model.contract.native, CohesiveMethod())
    weights = digest_weights(replace(request, model=wanted.model)).model
    return replace(studio, weights=weights)


def digest_code(package: Path) -> str:
    """Return a digest of all code of a package that a picture depends on."""
    return make_key({name: digest_folder(package / name, "*.py") for name in CODE})


def find_size(area: str, native: PixelSize) -> PixelSize:
    """Return the size of a name such as 16x for a native size."""
    across, down = AREAS[area]
    return PixelSize(round(native.width * across), round(native.height * down))


def _list_jobs(wanted: HiresEvaluation, studio: Studio) -> list[_MethodJob]:
    """Return all work: sizes in step with each other, so that every one has its share when time runs out."""
    methods = list_methods((DRAWN, *wanted.methods), studio.model)
    found: list[tuple[float, _MethodJob]] = []
    for area, count in wanted.pictures.items():
        size = find_size(area, studio.model.contract.native)
        prompts = list_prompts(count, seed=wanted.seed, aspect=size.width / size.height)
        found += [
            ((place + 0.5) / count, _MethodJob(area, size, prompt, methods)) for place, prompt in enumerate(prompts)
        ]
    jobs = [job for _, job in sorted(found, key=lambda pair: pair[0])]
    return [*jobs, *(_list_ablation_jobs(wanted, studio) if wanted.ablations else ())]


def _list_ablation_jobs(wanted: HiresEvaluation, studio: Studio) -> list[_MethodJob]:
    size = find_size(ABLATED, studio.model.contract.native)
    whole = list_methods((DRAWN, LANCZOS, COHESIVE), studio.model)
    engine = whole[COHESIVE]
    assert isinstance(engine, CohesiveMethod), "the engine is what is taken apart"
    methods = whole | list_ablations(engine)
    prompts = list_prompts(wanted.ablation_pictures, seed=wanted.seed)
    return [_MethodJob("ablation", size, prompt, methods) for prompt in prompts]


def _make_outcome(job: _MethodJob, studio: Studio, judge: Judge) -> Outcome:
    base = studio.make_base(job.prompt, job.size)
    made = {name: studio.make(name, method, job.prompt, job.size) for name, method in job.methods.items()}
    case = Case(job.prompt, job.size, base, made)
    return Outcome(case, judge.judge(case))


def _find_outcome(job: _MethodJob, studio: Studio, judge: Judge) -> Outcome | None:
    """Return what is made and judged already, None where anything is missing."""
    base = studio.find_base(job.prompt, job.size)
    found = {name: studio.find(name, method, job.prompt, job.size) for name, method in job.methods.items()}
    made = {name: record for name, record in found.items() if record is not None}
    if base is None or len(made) < len(job.methods):
        return None
    case = Case(job.prompt, job.size, base, made)
    judged = judge.find(case)
    return Outcome(case, judged) if len(judged) == len(made) else None


def _write_cards(
    wanted: HiresEvaluation,
    studio: Studio,
    reader: Reader,
    outcomes: Mapping[str, Sequence[Outcome]],
    more: Sequence[Card],
) -> tuple[Card, ...]:
    cards: list[Card] = []
    for part, some in outcomes.items():
        size = some[0].case.size
        area = size.area / studio.model.contract.native.area
        title = f"{part}: {size}, {area:g} times the native area of {wanted.model}, {len(some)} prompts"
        clock = "cpu_s" if studio.model.device.type == "cpu" else "seconds"
        ran = ", ".join(f"{name} {word}" for name, word in studio.run_with.items())
        group = Group(title=title, size=size, outcomes=some, aims=part == ABLATED, clock=clock, run_with=ran)
        crops = make_crops(reader, size, seed=wanted.seed, scenes=wanted.reference)
        cards.append(make_card(group, studio.store, crops, seed=wanted.seed, command=wanted.command))
        save_hires_sheets(group, studio.store, wanted.out / SHEETS, part)
    cards += more
    assert cards, "finished cards are never replaced by none"
    lines = "".join(f"{card.to_line()}\n" for card in cards)
    tables = "\n".join(make_table(card) for card in cards)
    write_atomic(wanted.out / CARDS, lambda stream: stream.write(lines.encode()))
    write_atomic(wanted.out / TABLE, lambda stream: stream.write(tables.encode()))
    return tuple(cards)
