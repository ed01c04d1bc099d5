"""One page and one table that set several renders of one prompt side by side.

Knows no model; it is given what was drawn. Start reading at `write_comparison`, then `list_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from sfumato.core.files import write_atomic
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.critic.picture.checks import Judged
from sfumato.workflows.compare.sheet import CROPS, SheetPicture
from sfumato.workflows.job import Picture
from sfumato.workflows.report.before_after import list_crops
from sfumato.workflows.report.check_table import WORDS
from sfumato.workflows.report.commands import list_settings
from sfumato.workflows.report.frame import (
    WIDEST_PICTURE_PX,
    write_bytes,
    write_cell,
    write_copy_text,
    write_figure,
    write_frame,
    write_heading,
    write_image,
    write_table,
)

HEAD = ("method", "size", "seconds", "model calls", "memory, planned", "self-check")
# Wide enough for two columns of a screen with twice the pixels.
_OVERVIEW_PX = 800


def write_comparison(
    path: Path, request: RenderRequest, pictures: Mapping[str, Picture], shown: Sequence[SheetPicture]
) -> None:
    """Write the page of a comparison; it appears whole or not at all. What is `shown` has one size.

    Raises:
        StorageError: the disk refuses.
    """
    parts = [
        write_heading(request.prompt, request.negative),
        _overviews(pictures, shown),
        _crops(shown),
        _table(pictures),
        _settings(request),
    ]
    title = request.prompt or "untitled"
    page = write_frame(title, parts, "prompt, seed and steps are the same for each picture").encode("utf-8", "replace")
    write_atomic(path, lambda stream: stream.write(page))


def _overviews(pictures: Mapping[str, Picture], shown: Sequence[SheetPicture]) -> str:
    """Return the whole pictures, each with its title and a link to its file."""
    figures = "".join(_overview(picture, one) for picture, one in zip(pictures.values(), shown, strict=True))
    return f"<section><h2>Side by side</h2><div class=row>{figures}</div></section>"


def _overview(picture: Picture, one: SheetPicture) -> str:
    small = one.picture.copy()
    small.thumbnail((_OVERVIEW_PX, _OVERVIEW_PX), Image.Resampling.LANCZOS)
    link = ""
    if picture.path is not None:
        link = f' · <a href="./{quote(picture.path.name, errors="replace")}">{escape(picture.path.name)}</a>'
    return f"<figure>{write_image(small, one.title)}<figcaption>{escape(one.title)}{link}</figcaption></figure>"


def _crops(shown: Sequence[SheetPicture]) -> str:
    """Return the same places of all pictures; nothing where no picture differs."""
    size = PixelSize(*shown[0].picture.size)
    grain = max(1, -(-max(size.width, size.height) // WIDEST_PICTURE_PX))
    small = [np.asarray(one.picture.reduce(grain), np.float32) for one in shown if one.chooses_crops]
    boxes = list_crops(np.stack(small).std(axis=0).mean(axis=2), size, CROPS)
    rows = "".join(_crop_row(shown, box) for box in boxes)
    return f"<section><h2>Where they differ most</h2>{rows}</section>" if rows else ""


def _crop_row(shown: Sequence[SheetPicture], box: PixelBox) -> str:
    area = (box.left, box.top, box.right, box.bottom)
    figures = "".join(write_figure(one.picture.crop(area), one.title) for one in shown)
    place = f"{box.width} × {box.height} px at {box.left}, {box.top}"
    return f"<h3>{place}</h3><div class=row>{figures}</div>"


def list_rows(pictures: Mapping[str, Picture]) -> list[tuple[str, ...]]:
    """Return `HEAD` and a row for each method."""
    return [HEAD, *(_row(name, one) for name, one in pictures.items())]


def _row(name: str, one: Picture) -> tuple[str, ...]:
    return (
        name,
        str(one.plan.size),
        describe_seconds(one).removesuffix(" s"),
        f"{one.plan.evaluations:,}",
        write_bytes(one.plan.memory_bytes),
        describe_checks(one.checks) if one.trace else "-",
    )


def describe_seconds(one: Picture) -> str:
    """Say what a render took, or that it was finished before an earlier comparison was stopped."""
    return f"{one.seconds:.1f} s" if one.trace else "kept"


def describe_checks(judged: Judged | None) -> str:
    """Say what a self-check found in a few words."""
    told = [verdict for verdict in judged.verdicts if verdict.fine is not None] if judged else []
    if not told:
        return "not checked"
    faults = [WORDS[verdict.name].fault for verdict in told if not verdict.fine]
    return f"look at {', '.join(faults)}" if faults else "nothing found"


def _table(pictures: Mapping[str, Picture]) -> str:
    head, *rows = list_rows(pictures)
    lines = ["<tr>" + "".join(map(write_cell, head, row)) + "</tr>" for row in rows]
    note = "<p class=note>Each picture is a render of its own and stores its settings.</p>"
    return f"<section><h2>What each took</h2>{write_table(head, lines)}{note}</section>"


def _settings(request: RenderRequest) -> str:
    kept = [(name, value) for name, value in list_settings(request) if name not in ("method", "request")]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in kept)
    seed = f"<tr><th>seed</th><td>{request.seed}</td></tr>"
    prompt = f"<h3>The prompt</h3>{write_copy_text(request.prompt)}" if request.prompt else ""
    return f"<section><h2>Settings of all</h2><table class=settings>{seed}{rows}</table>{prompt}</section>"
