"""`sfumato concept`: make a concept from photos, teach it to a base, show its card, list what is there, export it.

Nothing is imported before a command runs. Start reading at `CONCEPT`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.workflows.personalize.teach import TaughtConcept, TeachEvent

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last on stdout.", show_default=False)]
_Name = Annotated[str, typer.Argument(help="The concept, by name or folder.", metavar="NAME", show_default=False)]
_Model = Annotated[str, typer.Option("--model", help="The base: mini, a diffusers folder, or a file.", metavar="REF")]


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
    json: _Json = False,
) -> None:
    """Make a concept from photos: IMG.png, its mask IMG_mask.png and its caption IMG.txt, both left out at will."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.customize.create import NewConcept, create_concept

    made = create_concept(NewConcept(name=name, photos=photos, noun=noun, trigger=trigger, description=description))
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
    rung: Annotated[
        str,
        typer.Option(
            "--rung",
            help="words: the description, no training. inversion: vectors. lora: vectors and a LoRA.",
            metavar="NAME",
        ),
    ] = "lora",
    rank: Annotated[int, typer.Option("--rank", help="Rank of the LoRA, 1 to 16.", metavar="N")] = 8,
    vectors: Annotated[int, typer.Option("--vectors", help="Vectors of the trigger, 1 to 8.", metavar="N")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the training.", metavar="N")] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget stopped training and start again.", show_default=False)
    ] = False,
    no_card: Annotated[bool, typer.Option("--no-card", help="Draw and score nothing.", show_default=False)] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME")] = "auto",
    json: _Json = False,
) -> None:
    """Teach a base a concept; the base's files are only read. Ctrl-C keeps everything: the same command goes on."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.customize.learn import ConceptSettings
    from sfumato.workflows.personalize.teach import TeachOptions, teach_concept

    settings = ConceptSettings(rung=rung, rank=rank, vectors=vectors, seed=seed)  # pyright: ignore[reportArgumentType]
    options = TeachOptions(
        concept=name,
        model=model,
        settings=settings,
        minutes=minutes,
        steps=steps,
        fresh=fresh,
        device=device,
        score=not no_card,
    )
    with _stop_softly() as should_stop:
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
    for path in (exported.embedding, exported.lora):
        if path is not None:
            _say(f"file     {path}")
    _say(f"use      {exported.use}")


def _describe(taught: TaughtConcept) -> None:
    build = taught.build
    sys.stderr.writelines(escape_controls(f"warning: {said}") + "\n" for said in taught.warnings)
    if taught.scores:
        _say(taught.scores.card.to_text())
    stopped = f", {build.stopped}" if build.stopped else ""
    _say(f"steps    {build.steps}, kept {build.best_step}{stopped}")
    for file in build.files:
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
    "export": concept_export,
}
