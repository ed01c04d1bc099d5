"""`sfumato find` and `sfumato check`: parse, look, draw, print.

Imports the workflows only when a command runs. Start reading at `find`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.commands import Json
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.core.geometry import PixelBox
    from sfumato.workflows.check.check import CheckedPicture


def find(
    picture: Annotated[Path, typer.Argument(help="A photograph, a render, or a picture of mini.", metavar="PICTURE")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where a marked copy goes: .png, .jpg or .webp.", metavar="FILE", show_default=False
        ),
    ] = None,
    kinds: Annotated[
        str, typer.Option("--kinds", help="Only these kinds, as face,hand.", metavar="KIND,KIND", show_default=False)
    ] = "",
    by: Annotated[
        str,
        typer.Option(
            "--by", help="Only this finder: faces, persons, hands or drawn.", metavar="NAME", show_default=False
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Find people in a picture: persons, heads, faces, eyes, mouths and hands.

    Photographs and renders of checkpoints need parts: fetch them once with `sfumato parts get`. Pictures that mini
    drew are looked at by the detector that ships with it too.
    """
    from sfumato.cli.exit_codes import print_json
    from sfumato.core.errors import RequestError
    from sfumato.core.files import open_regular

    # Refused before the libraries of networks are imported, which takes seconds.
    with open_regular(picture, what="the picture"):
        if out is not None and out.exists() and out.samefile(picture):
            raise RequestError("the marked copy would replace the picture", got=str(out), do="Name another `out`.")
    if out is not None:
        from sfumato.workflows.find.mark import check_suffix

        check_suffix(out)
    from sfumato.workflows.find.find import find_things, open_store

    named = [kind for kind in kinds.split(",") if kind.strip()]
    done = find_things(picture, kinds=named, by=by)
    if done.missing:
        sys.stderr.write(f"warning: not all finders looked; fetch once: sfumato parts get {' '.join(done.missing)}\n")
    if out is not None:
        from sfumato.workflows.find.mark import save_marks

        save_marks(out, open_store(picture), done.found)
    if json:
        print_json({**done.to_json(), "marked": None if out is None else str(out)})
        return
    for one in done.found:
        box = one.box
        sys.stdout.write(
            f"{one.kind:<6}  {one.confidence:.2f}  {box.left},{box.top},{box.width},{box.height}  {one.by}\n"
        )
    if not done.found:
        sys.stdout.write(f"nothing found by {', '.join(done.by)}\n")
    if out is not None:
        sys.stdout.write(escape_controls(f"marked  {out}") + "\n")


def check(
    pictures: Annotated[
        list[Path], typer.Argument(help="Photographs, renders, or pictures of mini.", metavar="PICTURE…")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where a marked copy goes: .png, .jpg or .webp; a folder for several pictures.",
            metavar="PATH",
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            help="What was asked for; left out, the prompt that the file stores.",
            metavar="TEXT",
            show_default=False,
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box", help="A hand, instead of finding them; may be given again.", metavar="X,Y,W,H", show_default=False
        ),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="Only this finder: hands or drawn.", metavar="NAME", show_default=False)
    ] = "",
    evidence: Annotated[
        Path | None,
        typer.Option(
            "--evidence",
            help="A folder for a sheet of each hand: parts in colours, and the reasons in words.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say of each hand in a picture how many digits show, whether something is wrong, and how sure that is.

    Verdicts: ok, goof, licensed (the prompt asks for it), not-countable, abstain. Findings are no error: the exit code
    is 0. Finding hands in photographs needs parts: fetch them once with `sfumato parts get`.
    """
    from sfumato.cli.exit_codes import print_json
    from sfumato.core.errors import RequestError
    from sfumato.core.files import open_regular

    boxes = [_read_box(text) for text in box or ()]
    if boxes and by:
        raise RequestError("`by` names a finder, but with a box none looks", got=by, do="Leave one of them out.")
    if boxes and len(pictures) > 1:
        raise RequestError("a box lies in one picture", got=f"{len(pictures)} pictures", do="Name one picture.")
    # Refused before the libraries of networks are imported, which takes seconds.
    for picture in pictures:
        with open_regular(picture, what="the picture"):
            pass
    places = [None] * len(pictures) if out is None else _name_copies(pictures, out)
    if evidence is not None and evidence.exists() and not evidence.is_dir():
        raise RequestError("`evidence` names a folder", got=str(evidence), do="Name a folder.")
    from sfumato.workflows.check.check import check_picture
    from sfumato.workflows.find.find import open_store

    done = []
    for picture, place in zip(pictures, places, strict=True):
        checked = check_picture(picture, prompt=prompt, boxes=boxes, by=by)
        if checked.missing:
            words = " ".join(checked.missing)
            sys.stderr.write(f"warning: not all finders looked; fetch once: sfumato parts get {words}\n")
        if place is not None:
            from sfumato.canvas.formats.save import save_canvas
            from sfumato.workflows.check.mark import draw_verdicts

            save_canvas(place, draw_verdicts(open_store(picture), checked.hands), {})
        sheets = [] if evidence is None else _save_sheets(picture, checked, evidence)
        done.append(
            {**checked.to_json(), "marked": None if place is None else str(place), "evidence": list(map(str, sheets))}
        )
        if not json:
            sys.stdout.write("".join(escape_controls(line) + "\n" for line in checked.to_lines()))
    if json:
        print_json({"pictures": done})


def _save_sheets(picture: Path, checked: CheckedPicture, folder: Path) -> list[Path]:
    from sfumato.critic.anatomy.judge import JudgedHand
    from sfumato.workflows.check.evidence_picture import draw_evidence, save_evidence
    from sfumato.workflows.find.find import open_store

    store = open_store(picture)
    sheets = [draw_evidence(store, hand) for hand in checked.hands if isinstance(hand, JudgedHand)]
    return save_evidence(folder, picture.stem, sheets)


def _read_box(text: str) -> PixelBox:
    from sfumato.core.errors import RequestError
    from sfumato.core.geometry import PixelBox

    try:
        left, top, width, height = (int(number) for number in text.split(","))
    except ValueError as error:
        do = "Write X,Y,WIDTH,HEIGHT in px, as 120,80,64,64."
        raise RequestError("a `box` is four whole numbers", got=text, do=do) from error
    if width < 1 or height < 1:
        raise RequestError("a `box` has a width and a height of at least 1", got=text, do="Write 120,80,64,64.")
    return PixelBox(left, top, left + width, top + height)


def _name_copies(pictures: list[Path], out: Path) -> list[Path]:
    """Return where the marked copy of each picture goes: `out` itself, or files in the folder `out`."""
    from sfumato.core.errors import RequestError
    from sfumato.workflows.find.mark import check_suffix

    if len(pictures) == 1 and out.suffix and not out.is_dir():
        check_suffix(out)
        places = [out]
    else:
        if out.exists() and not out.is_dir():
            raise RequestError("several pictures need a folder", got=str(out), do="Name a folder in `out`.")
        places = [out / f"{number:02d}_{picture.stem}.png" for number, picture in enumerate(pictures, 1)]
    for place in places:
        if place.exists() and any(place.samefile(picture) for picture in pictures):
            raise RequestError("the marked copy would replace the picture", got=str(place), do="Name another `out`.")
    return places
