"""Sheets to look at: the same place of the same prompt in every method's picture, at full resolution.

Half of the places are where a detector or the free map says that something is wrong, half are where people
are or should not be: good and bad cases alike. Start reading at `save_hires_sheets`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from sfumato.canvas.formats.images import save_picture
from sfumato.lab.hires.cards import Group, Outcome
from sfumato.lab.hires.methods import COHESIVE, DRAWN, LANCZOS
from sfumato.lab.hires.store import Store

# A crop is two native sides of mini: a person and what is around.
CROP_PX = 256
ROWS = 4
GAP_PX, LETTER_PX, LINE_PX, LINES = 4, 6, 11, 2
# Worst cases shown for each method, and places shown because of what they are.
WORST_EACH, PLAIN_VIEWS = 2, 6
# Neither can be wrong: one is the base, the other the truth.
_BLAMELESS = (LANCZOS, DRAWN)


@dataclass(frozen=True, eq=False)
class SheetRow:
    """Hold a place to look at (its middle in px), why, and whose pictures."""

    outcome: Outcome
    middle: tuple[float, float]
    why: str


def save_hires_sheets(group: Group, store: Store, folder: Path, part: str) -> tuple[Path, ...]:
    """Save PNGs with a row for each place and a column for each method.

    Raises:
        StorageError: the folder cannot be written.
    """
    saved: list[Path] = []
    views = [*list_plain(group), *list_worst(group)]
    for number, start in enumerate(range(0, len(views), ROWS), start=1):
        path = folder / f"{part}-{number}.png"
        save_picture(path, draw_views(views[start : start + ROWS], group.names, store), {})
        saved.append(path)
    return tuple(saved)


def list_worst(group: Group) -> list[SheetRow]:
    """Return the surest phantoms of each method, or without a detector its heaviest blobs of the free map."""
    found: list[SheetRow] = []
    for name in [name for name in group.names if name not in _BLAMELESS]:
        cases: list[tuple[float, SheetRow]] = []
        for outcome in group.outcomes:
            judged = outcome.judged.get(name, {})
            for kind, *box, sureness in judged.get("phantoms", ()):
                cases.append((sureness, SheetRow(outcome, _middle(box), f"worst of {name}: {kind} {sureness:.2f}")))
            for place, box in enumerate(() if "phantoms" in judged else judged.get("blob_boxes", ())):
                cases.append((-place, SheetRow(outcome, _middle(box), f"worst of {name}: blob {place + 1}")))
        found += [view for _, view in sorted(cases, key=lambda case: -case[0])[:WORST_EACH]]
    return found


def list_plain(group: Group) -> list[SheetRow]:
    """Return places of the first prompts of each stratum: the first person of the picture, else its middle."""
    found: list[SheetRow] = []
    seen: set[str] = set()
    for outcome in group.outcomes:
        case = outcome.case
        if case.prompt.stratum in seen:
            continue
        seen.add(case.prompt.stratum)
        people = next((judged["people"] for judged in _by_trust(outcome) if judged.get("people")), [])
        middle = _middle(people[0][1:5]) if people else (case.size.width / 2, case.size.height / 2)
        found.append(SheetRow(outcome, middle, case.prompt.stratum))
    return found[:PLAIN_VIEWS]


def draw_views(views: Sequence[SheetRow], names: Sequence[str], store: Store) -> Image.Image:
    """Lay out the crops of every method, titled, with why and prompt below each row."""
    cell, band = CROP_PX + GAP_PX, CROP_PX + GAP_PX + LINES * LINE_PX
    sheet = Image.new("RGB", (cell * len(names), LINE_PX + band * len(views)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * cell + 2, 0), name, fill="black")
    for row, view in enumerate(views):
        top = LINE_PX + row * band
        for column, name in enumerate(names):
            made = view.outcome.case.made.get(name)
            if made is not None:
                sheet.paste(cut_view(store.load(made["key"]), view.middle), (column * cell, top))
        words = f"{view.why}; {view.outcome.case.prompt.text}"
        lines = textwrap.wrap(words, max(1, sheet.width // LETTER_PX))[:LINES]
        pen.multiline_text((2, top + CROP_PX), "\n".join(lines), fill="black", spacing=0)
    return sheet


def cut_view(picture: Image.Image, middle: tuple[float, float]) -> Image.Image:
    """Cut a square of `CROP_PX` around a place, moved inside; a smaller picture is shown whole."""
    wide, high = min(CROP_PX, picture.width), min(CROP_PX, picture.height)
    left = round(min(max(middle[0] - wide / 2, 0), picture.width - wide))
    top = round(min(max(middle[1] - high / 2, 0), picture.height - high))
    return picture.crop((left, top, left + wide, top + high))


def _by_trust(outcome: Outcome) -> list[dict[str, list[list[float]]]]:
    """Return what was judged, the engine's own first: its people are nearest to those of the base."""
    names = sorted(outcome.judged, key=lambda name: (name != COHESIVE, name != LANCZOS))
    return [outcome.judged[name] for name in names]


def _middle(box: Sequence[float]) -> tuple[float, float]:
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
