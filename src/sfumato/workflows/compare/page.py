"""One page and one table that set several renders of one prompt side by side.

Knows no model; it is given what was made. Start reading at `write_comparison`, then `list_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from PIL import Image

from sfumato.core.files import write_atomic
from sfumato.core.request import RenderRequest
from sfumato.critic.picture.checks import Judged
from sfumato.workflows.job import Picture
from sfumato.workflows.report.page import list_settings, write_bytes, write_figure, write_frame

HEAD = ("method", "size", "seconds", "evaluations", "peak memory, planned", "self-check")


def write_comparison(path: Path, request: RenderRequest, made: Mapping[str, Picture], sheet: Image.Image) -> None:
    """Write the page of a comparison; it appears whole or not at all.

    Raises:
        StorageError: the disk refuses.
    """
    title = request.prompt or "untitled"
    words = "The whole pictures, reduced, and below the places where they differ most"
    parts = [
        f"<header><h1>{escape(title)}</h1></header>",
        f"<section><h2>Side by side</h2>{write_figure(sheet, words)}</section>",
        _table(made),
        _settings(request),
    ]
    page = write_frame(title, parts, "the same prompt, seed, steps and base each").encode()
    write_atomic(path, lambda stream: stream.write(page))


def list_rows(made: Mapping[str, Picture]) -> list[tuple[str, ...]]:
    """Return `HEAD` and a row for each method."""
    return [HEAD, *(_row(name, one) for name, one in made.items())]


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
    """Say what a self-check found in one line."""
    told = [verdict for verdict in judged.verdicts if verdict.fine is not None] if judged else []
    if not told:
        return "nothing to hold it against"
    bad = [verdict.name for verdict in told if not verdict.fine]
    return f"look at {', '.join(bad)}" if bad else f"fine ({len(told)} measures)"


def _table(made: Mapping[str, Picture]) -> str:
    head = "".join(f"<th>{escape(word)}" for word in HEAD)
    rows = "".join(f"<tr>{_cells(row)}</tr>" for row in list_rows(made)[1:])
    files = ", ".join(one.path.name for one in made.values() if one.path)
    return (
        f"<section><h2>What each took</h2><div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        f"</table></div><p class=note>Each picture is a render of its own with its request inside: {escape(files)}.</p>"
        "</section>"
    )


def _cells(row: tuple[str, ...]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in row)


def _settings(request: RenderRequest) -> str:
    kept = [(name, value) for name, value in list_settings(request) if name not in ("method", "request")]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in kept)
    seed = f"<tr><th>seed</th><td>{request.seed}</td></tr>"
    return f"<section><h2>Settings of all</h2><table class=settings>{seed}{rows}</table></section>"
