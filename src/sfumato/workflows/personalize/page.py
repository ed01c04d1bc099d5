"""The card of a concept as one HTML file: photos, pictures with and without it, and every number with its interval.

Start reading at `write_page`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.cards import Card, Measurement
from sfumato.workflows.report.frame import (
    write_cell,
    write_copy_text,
    write_figure,
    write_frame,
    write_heading,
    write_table,
)

if TYPE_CHECKING:
    from sfumato.customize.build import ConceptBuild
    from sfumato.customize.concept import ConceptFolder

MOST_PHOTOS = 8
_USE = 'sfumato render "TRIGGER waving on a beach" --concept NAME'
_HEAD = ("measure", "value", "95 % interval", "n")


@dataclass(frozen=True, eq=False, kw_only=True)
class CardPictures:
    """Hold what a card shows: photos, and pictures by prompt with the concept and without it, uint8 [H, W, 3]."""

    photos: list[NDArray[np.uint8]]
    drawn: dict[str, list[NDArray[np.uint8]]] = field(default_factory=dict)
    without: dict[str, list[NDArray[np.uint8]]] = field(default_factory=dict)


def write_page(concept: ConceptFolder, build: ConceptBuild, card: Card, shown: CardPictures) -> str:
    """Return the page as HTML; nothing in it is loaded from elsewhere."""
    parts = [
        write_heading(f"{concept.name}: {concept.trigger}, a {concept.noun}"),
        "<h2>Photos</h2>",
        write_figure(_join([shown.photos[:MOST_PHOTOS]]), f"{len(shown.photos)} photos that it was learned from"),
        "<h2>With the concept, and the class alone</h2>",
        *_write_pairs(shown),
        "<h2>Numbers</h2>",
        write_table(_HEAD, [_write_row(row) for row in card.rows]),
        "<h2>Checks on the way</h2>",
        _write_checks(build),
        "<h2>Use it</h2>",
        write_copy_text(_USE.replace("TRIGGER", concept.trigger).replace("NAME", concept.name)),
    ]
    notes = [*card.notes, *(f"{row.name}: {row.note}" for row in card.rows if row.note)]
    return write_frame(f"Concept {concept.name}", parts, ". ".join(notes))


def _write_pairs(shown: CardPictures) -> list[str]:
    found: list[str] = []
    for (prompt, drawn), (plain, without) in zip(shown.drawn.items(), shown.without.items(), strict=True):
        found.append(write_figure(_join([drawn, without]), f"{prompt} (above); {plain} (below), same seeds"))
    return found


def _write_row(row: Measurement) -> str:
    interval = "" if row.low is None or row.high is None else f"{row.low:.3g} to {row.high:.3g}"
    texts = (row.name, f"{row.value:.3g} {row.unit}", interval, str(row.n))
    return f"<tr>{''.join(write_cell(name, text) for name, text in zip(_HEAD, texts, strict=True))}</tr>"


def _write_checks(build: ConceptBuild) -> str:
    head = ("step", "loss", "held out", "drift")
    rows = [
        "<tr>"
        + write_cell("step", f"{check['step']:.0f}{' (kept)' if check['step'] == build.best_step else ''}")
        + write_cell("loss", f"{check['train']:.4f}")
        + write_cell("held out", f"{check['held_out']:.4f}")
        + write_cell("drift", f"{100 * check['drift']:.2f} %")
        + "</tr>"
        for check in build.checks
    ]
    return write_table(head, rows) if rows else "<p>The rung words needs no training.</p>"


def _join(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> Image.Image:
    return Image.fromarray(np.vstack([np.hstack(list(row)) for row in rows]))
