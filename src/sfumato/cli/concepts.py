"""`sfumato concept`: make a concept from photos, teach it, show its card; probe, compose, rebase, export. And `promptset`.

Nothing is imported before a command runs. Start reading at `CONCEPT`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.workflows.personalize.teach import TaughtConcept, TeachEvent

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last on stdout.", show_default=False)]
_Name = Annotated[str, typer.Argument(help="The concept, by name or folder.", metavar="NAME", show_default=False)]
_Model = Annotated[str, typer.Option("--model", help="The base: mini, a diffusers folder, or a file.", metavar="REF")]

_Rung = Annotated[
    str,
    typer.Option(
        "--rung",
        help="words: no training. inversion: vectors. lora: vectors and a LoRA (default). oft: vectors and rotations. "
        "full: every weight, for thousands of pictures. auto: the first that is enough.",
        metavar="NAME",
        show_default=False,
    ),
]

_Budget = Annotated[
    float | None,
    typer.Option(
        "--budget-gb",
        help="Memory it may use: batch, checkpoints, numbers, rank and rung are chosen to fit. Exit 3 if none does.",
        metavar="X",
        show_default=False,
    ),
]


def concept_new(
    name: Annotated[str, typer.Argument(help="Its name: a-z, 0-9, - and _.", metavar="NAME", show_default=False)],
    photos: Annotated[
        Path, typer.Argument(help="Folder with pictures of the subject.", metavar="FOLDER", show_default=False)
    ],
    noun: Annotated[
        str,
        typer.Option("--class", help="What it is, in a word or two: man, dog.", metavar="WORDS", show_default=False),
    ],
    trigger: Annotated[
        str, typer.Option("--trigger", help="The word in prompts; left out: NAME.", metavar="WORD", show_default=False)
    ] = "",
    description: Annotated[
        str,
        typer.Option("--description", help="What a stranger would see.", metavar="TEXT", show_default=False),
    ] = "",
    masks: Annotated[
        str,
        typer.Option(
            "--masks",
            help="Mask photos that have none: found, or the name of a finder.",
            metavar="HOW",
            show_default=False,
        ),
    ] = "",
    json: _Json = False,
) -> None:
    """Make a concept from photos: IMG.png, its mask IMG_mask.png and its caption IMG.txt, both left out at will."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.customize.create import NewConcept, create_concept

    wanted = NewConcept(name=name, photos=photos, noun=noun, trigger=trigger, description=description)
    find_mask = None
    if masks:
        from sfumato.workflows.personalize.masks import find_person_mask

        find_mask = partial(find_person_mask, by="" if masks == "found" else masks)
    made = create_concept(wanted, find_mask)
    found = made.to_json()
    if json:
        print_json(found)
        return
    _say(f"concept  {made.path}  ({found['pictures']} pictures, {found['masks']} masks, trigger {made.trigger})")
    _say(f"next     sfumato concept train {made.name}")


def concept_train(
    name: _Name,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Time to train (default 3, without --steps).", metavar="N", show_default=False),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps in all, earlier runs counted.", metavar="N", show_default=False)
    ] = None,
    model: _Model = "mini",
    rung: _Rung = "",
    rank: Annotated[int, typer.Option("--rank", help="Rank of the LoRA, 1 to 16.", metavar="N")] = 8,
    text_lora: Annotated[
        bool, typer.Option("--text-lora", help="A LoRA in the text encoders too.", show_default=False)
    ] = False,
    block: Annotated[int, typer.Option("--block", help="Width of a rotation of an OFT, 2 to 64.", metavar="N")] = 8,
    train_text: Annotated[
        bool, typer.Option("--train-text", help="Full tuning of the text encoders too.", show_default=False)
    ] = False,
    vectors: Annotated[int, typer.Option("--vectors", help="Vectors of the trigger, 1 to 8.", metavar="N")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the training.", metavar="N")] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget stopped training and start again.", show_default=False)
    ] = False,
    no_card: Annotated[bool, typer.Option("--no-card", help="Draw and score nothing.", show_default=False)] = False,
    budget_gb: _Budget = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the memory that it takes and train nothing.", show_default=False)
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME")] = "auto",
    json: _Json = False,
) -> None:
    """Teach a base a concept; the base's files are only read. Ctrl-C keeps everything: the same command goes on."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.customize.settings import ConceptSettings
    from sfumato.workflows.personalize.ladder import climb
    from sfumato.workflows.personalize.teach import TeachOptions, plan_teaching, teach_concept

    way = "lora" if rung in ("", "auto") else rung
    settings = ConceptSettings(
        rung=way,  # pyright: ignore[reportArgumentType]
        rank=rank,
        block=block,
        vectors=vectors,
        seed=seed,
        text_lora=text_lora,
        train_text=train_text,
    )
    options = TeachOptions(
        concept=name,
        model=model,
        settings=settings,
        minutes=minutes,
        steps=steps,
        fresh=fresh,
        device=device,
        score=not no_card,
        budget_gb=budget_gb,
        any_rung=not rung,
    )
    if plan:
        planned = plan_teaching(options)
        if json:
            print_json(planned.to_json())
        else:
            _say(planned.to_text())
        return
    with _stop_softly() as should_stop:
        if rung == "auto":
            taught = climb(options, on_event=_tell, should_stop=should_stop).taught
        else:
            taught = teach_concept(options, on_event=_tell, should_stop=should_stop)
    if json:
        print_json(taught.to_json())
    else:
        _describe(taught)


def concept_card(name: _Name, model: _Model = "mini", json: _Json = False) -> None:
    """Draw and score again what a base learned of a concept; writes card.html and card.json into its folder."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.customize.build import find_build
    from sfumato.customize.concept import find_concept
    from sfumato.workflows.personalize.score import score_concept
    from sfumato.workflows.personalize.teach import open_model

    concept = find_concept(name)
    build = find_build(concept, model)
    scores = score_concept(concept, build, open_model(model), model)
    if json:
        print_json({**scores.card.to_json(), "page": str(scores.page)})
        return
    _say(scores.card.to_text())
    _say(f"card     {scores.page}")


def concept_list(json: _Json = False) -> None:
    """List the concepts and the bases that were taught them."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.customize.build import list_builds
    from sfumato.customize.concept import concepts_folder, list_concepts, list_unreadable

    rows: list[dict[str, Any]] = []
    for concept in list_concepts():
        bases = [f"{build.base} ({build.settings.get('rung')})" for build in list_builds(concept)]
        rows.append({**concept.to_json(), "bases": bases})
    broken = [str(error) for error in list_unreadable()]
    sys.stderr.writelines(escape_controls(f"warning: {said}") + "\n" for said in broken)
    if json:
        print_json({"folder": str(concepts_folder()), "concepts": rows, "unreadable": broken})
        return
    for row in rows:
        taught = ", ".join(row["bases"]) or "taught to no base yet"
        _say(f"{row['name']}  {row['class']}, trigger {row['trigger']}, {row['pictures']} pictures; {taught}")
    if not rows and not broken:
        _say(f"none in {concepts_folder()}")


def concept_export(
    name: _Name,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.", metavar="DIR", show_default=False)],
    form: Annotated[
        str, typer.Option("--form", help="a1111 (kohya too), comfyui or diffusers.", metavar="NAME")
    ] = "a1111",
    model: _Model = "mini",
    dtype: Annotated[str, typer.Option("--dtype", help="Numbers in the files: fp16 or fp32.", metavar="TYPE")] = "fp16",
    strength: Annotated[
        float | None,
        typer.Option("--strength", help="Multiply the LoRA's alpha by this.", metavar="X", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.", show_default=False)
    ] = False,
    json: _Json = False,
) -> None:
    """Write what a base learned as an embedding and a LoRA that other programs read."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.customize.export import ExportOptions, export_build

    exported = export_build(
        ExportOptions(
            concept=name,
            out=out,
            form=form,  # pyright: ignore[reportArgumentType]
            model=model,
            dtype=dtype,
            strength=strength,
            overwrite=overwrite,
        )
    )
    if json:
        print_json(exported.to_json())
        return
    for path in (exported.embedding, exported.lora, exported.model):
        if path is not None:
            _say(f"file     {path}")
    if exported.lost:
        _say(f"lost     {exported.lost}")
    _say(f"use      {exported.use}")


def concept_probe(
    name: Annotated[str, typer.Argument(help="The name to ask about.", metavar="NAME", show_default=False)] = "",
    names: Annotated[
        Path | None,
        typer.Option("--names", help="File with one name a line: a ranking.", metavar="FILE", show_default=False),
    ] = None,
    noun: Annotated[str, typer.Option("--class", help="What a bearer of the name is.", metavar="WORDS")] = "person",
    photos: Annotated[
        Path | None,
        typer.Option("--photos", help="Folder with pictures of the bearer.", metavar="FOLDER", show_default=False),
    ] = None,
    ages: Annotated[bool, typer.Option("--ages", help="Ask too: as a child, young, old.", show_default=False)] = False,
    model: _Model = "mini",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the noise.", metavar="N")] = 1,
    json: _Json = False,
) -> None:
    """Ask a base whether it knows a name, before anything is taught."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.personalize.probing import ADVICE, ProbeOptions, probe

    options = ProbeOptions(name=name, names=names, noun=noun, photos=photos, ages=ages, model=model, seed=seed)
    found = probe(options)
    if json:
        print_json(found.to_json())
        return
    for one in found.answers:
        gain = (
            ""
            if one.gain is None
            else f", gain {100 * one.gain:.1f} % ({100 * (one.gain_low or 0):.1f} to {100 * (one.gain_high or 0):.1f})"
        )
        copied = ", perhaps a training picture by heart" if one.memorised else ""
        _say(f"{one.verdict:<8} {one.probability:.2f}  {one.name}{gain}{copied}")
    if len(found.answers) == 1 or ages:
        _say(f"next     {ADVICE[found.answers[0].verdict]}")
    _say(f"asked {model} in {found.seconds:.0f} s")


def concept_compose(
    prompt: Annotated[str, typer.Argument(help="The whole picture in words.", metavar="PROMPT", show_default=False)],
    place: Annotated[
        list[str],
        typer.Option(
            "--place",
            help="NAME@REGION or NAME@REGION:WORDS; left, right, a box in shares, a mask file; may be repeated.",
            metavar="PLACE",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The picture.", metavar="FILE")] = Path("composed.png"),
    model: _Model = "mini",
    size: Annotated[
        str | None,
        typer.Option("--size", help="WIDTHxHEIGHT in px; left out: native.", metavar="WxH", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed; left out: random, and told.", metavar="N", show_default=False)
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Denoising steps.", metavar="N", show_default=False)
    ] = None,
    json: _Json = False,
) -> None:
    """Draw several concepts in one picture, each in its own region with words of its own."""
    from sfumato import api
    from sfumato.cli.exit_codes import print_json

    drawn = api.render(prompt, model=model, concept=place, size=size, seed=seed, steps=steps, method="native", out=out)
    if json:
        print_json({"path": str(out), "sha256": drawn.sha256, "request": drawn.request.to_json()})
        return
    _say(f"picture  {out}  (seed {drawn.seed})")


def concept_rebase(
    name: _Name,
    new: Annotated[str, typer.Option("--to", help="The base to carry it to.", metavar="REF", show_default=False)],
    old: Annotated[
        str,
        typer.Option(
            "--old", help="The base that was taught it; left out: the only one.", metavar="REF", show_default=False
        ),
    ] = "",
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", help="Steps of polish (default: a tenth of the first).", metavar="N", show_default=False
        ),
    ] = None,
    withhold: Annotated[
        bool,
        typer.Option("--withhold", help="Learn from pictures that the old base draws.", show_default=False),
    ] = False,
    no_card: Annotated[bool, typer.Option("--no-card", help="Draw and score nothing.", show_default=False)] = False,
    json: _Json = False,
) -> None:
    """Carry a concept to another base, and say how much of it was kept; the old build stays."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.personalize.rebase import RebaseOptions, rebase

    options = RebaseOptions(concept=name, new=new, old=old, steps=steps, withhold=withhold, score=not no_card)
    found = rebase(options, on_event=lambda said: sys.stderr.write(escape_controls(said) + "\n"))
    if json:
        print_json(found.to_json())
        return
    for said in found.said:
        _say(f"how      {said}")
    if found.kept is not None:
        _say(f"kept     {100 * found.kept:.0f} % of the identity: {found.before:.2f} before, {found.after:.2f} after")
    for file in found.build.files:
        _say(f"file     {found.build.folder / file}")


def promptset_lock(
    out: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE", show_default=False)],
    prompts: Annotated[
        Path, typer.Option("--prompts", help="File with one prompt a line.", metavar="FILE", show_default=False)
    ],
    model: _Model = "mini",
    seeds: Annotated[int, typer.Option("--seeds", help="Pictures of each prompt, 4 to 8.", metavar="N")] = 5,
    json: _Json = False,
) -> None:
    """Note what a base draws for prompts, to compare another base with later."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.personalize.promptset import lock_prompts, read_prompts

    lock = lock_prompts(out, read_prompts(prompts), model, seeds=seeds)
    if json:
        print_json({"file": str(out), "base_sha256": lock["base_sha256"], "prompts": len(lock["prompts"])})
        return
    _say(f"locked   {out}  ({len(lock['prompts'])} prompts, {seeds} seeds, {model})")


def promptset_check(
    lock: Annotated[Path, typer.Argument(help="A file of promptset lock.", metavar="FILE", show_default=False)],
    model: _Model = "mini",
    json: _Json = False,
) -> None:
    """List the prompts of a lock that draw something else on a base, beyond what seeds differ by."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.personalize.promptset import check_prompts

    found = check_prompts(lock, model)
    if json:
        print_json(found.to_json())
        return
    for row in found.rows:
        _say(f"{'changed' if row.changed else 'kept':<8} {row.shift:.2f}  {row.prompt}")
    if found.same_base:
        _say("note     the base has the same weights as the locked one")


def _describe(taught: TaughtConcept) -> None:
    build = taught.build
    sys.stderr.writelines(escape_controls(f"warning: {said}") + "\n" for said in taught.warnings)
    if taught.scores:
        _say(taught.scores.card.to_text())
    stopped = f", {build.stopped}" if build.stopped else ""
    _say(f"steps    {build.steps}, kept {build.best_step}{stopped}")
    for file in [build.model] if build.model else build.files:
        _say(f"file     {build.folder / file}")
    if taught.scores:
        _say(f"card     {taught.scores.page}")
    model = "" if build.base == "mini" else f" --model {build.base}"
    _say(f'next     sfumato render "{taught.concept.trigger} waving on a beach" --concept {taught.concept.name}{model}')


def _say(text: str) -> None:
    sys.stdout.write(escape_controls(text, keep="\n") + "\n")


def _tell(event: TeachEvent) -> None:
    sys.stderr.write(escape_controls(str(event)) + "\n")


@contextmanager
def _stop_softly() -> Generator[Callable[[], bool]]:
    """Let the first Ctrl-C end the step that runs; a second one stops at once, and what was saved stays."""
    wanted: list[int] = []

    def note(number: int, _frame: object) -> None:
        if wanted:
            raise KeyboardInterrupt
        wanted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(wanted)
    finally:
        signal.signal(signal.SIGINT, before)


CONCEPT: dict[str, Callable[..., None]] = {
    "new": concept_new,
    "train": concept_train,
    "card": concept_card,
    "list": concept_list,
    "probe": concept_probe,
    "compose": concept_compose,
    "rebase": concept_rebase,
    "export": concept_export,
}
PROMPTSET: dict[str, Callable[..., None]] = {"lock": promptset_lock, "check": promptset_check}
