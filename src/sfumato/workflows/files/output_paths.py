"""Where the pictures of a request go, and which of them lie there already.

Knows names and the texts stored in pictures; no networks. Start reading at `list_paths`, then `check_places`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.canvas.formats.deepzoom_read import has_all_tiles
from sfumato.canvas.formats.images import read_texts
from sfumato.canvas.formats.save import check_place
from sfumato.canvas.workspace.disk_workspace import find_resumable, name_work, read_identity
from sfumato.canvas.workspace.fingerprint import join_differences, list_differences
from sfumato.core.errors import RequestError, SfumatoError
from sfumato.core.files import check_path, remove_leftovers
from sfumato.core.metadata.provenance import XMP_NAME
from sfumato.core.metadata.write import WeightDigests, write_metadata
from sfumato.core.request import InpaintSource, TextSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfumato.core.request import RenderRequest


# Every report says in its head who wrote it.
MARK = '<meta name="generator" content="Sfumato report">'
# The mark stands in front of everything that differs from report to report.
HEAD_BYTES = 1024


def check_report_place(page: Path) -> None:
    """Check, before anything is rendered, that a report would replace nothing but a report.

    What processes left there that were killed while they wrote the report is removed.

    Raises:
        RequestError: another file has the name of the page, or the system takes no such name.
    """
    check_path(page, what="the report")
    remove_leftovers(page)
    if page.exists() and not _is_report(page):
        raise RequestError(
            "a file that is no report of ours is in the way of the report",
            got=str(page),
            do="Give another `out`, or write no report.",
        )


def _is_report(page: Path) -> bool:
    if not page.is_file():
        return False
    try:
        with page.open("rb") as stream:
            return MARK.encode() in stream.read(HEAD_BYTES)
    except OSError:
        # What cannot be read cannot be told to be ours.
        return False


def list_paths(out: Path, batch: int) -> list[Path]:
    """Return where the pictures of a batch go: `out` for one, else `out` with a number before the suffix."""
    if batch == 1:
        return [out]
    digits = max(2, len(str(batch)))
    return [out.with_name(f"{out.stem}-{index + 1:0{digits}d}{out.suffix}") for index in range(batch)]


def check_places(request: RenderRequest, out: Path, preview: Path | None = None) -> None:
    """Check, before anything is rendered, that the pictures of a request can lie where they are wanted.

    Raises:
        RequestError: something is in the way, a side is longer than the format has, or a picture that the request
            starts from would be replaced: then the request stored in the new one could never be repeated.
    """
    places = [("`out`", path) for path in list_paths(out, request.batch)]
    for _, path in places:
        check_place(path, request.size)
        remove_leftovers(name_work(path))
    if preview is not None:
        check_path(preview, what="the preview")
        remove_leftovers(preview)
    for option, path in [*places, *([] if preview is None else [("`preview`", preview)])]:
        for source in _list_sources(request):
            if _is_one_file(path, source):
                what = f"{option} would replace a picture that the request starts from"
                raise RequestError(what, got=str(path), do=f"Give another {option}.")


def _list_sources(request: RenderRequest) -> list[Path]:
    source = request.source
    if isinstance(source, TextSource):
        return []
    return [Path(source.path), *([Path(source.mask)] if isinstance(source, InpaintSource) else [])]


def _is_one_file(first: Path, second: Path) -> bool:
    """Tell whether two paths lead to one file, through links too."""
    # What is not there is nothing that could be replaced.
    with suppress(OSError):
        return first.samefile(second)
    return False


def is_finished(path: Path, request: RenderRequest, digests: WeightDigests) -> bool:
    """Tell whether the picture of a request, by the same weights, lies whole at a path and nothing is left to be done on it."""
    if find_resumable(name_work(path)) or not path.is_file():
        return False
    try:
        found = read_texts(path)
        if path.suffix.lower() == ".dzi" and not has_all_tiles(path):
            return False
    except SfumatoError:
        return False
    # Pictures of older versions carry no XMP and are whole all the same.
    texts = {name: text for name, text in write_metadata(request, digests).items() if name != XMP_NAME}
    return all(found.get(name) == text for name, text in texts.items())


def find_stopped(outs: Iterable[Path], request: RenderRequest) -> Path | None:
    """Return the first of some places where this very request was stopped, None where nothing was.

    Raises:
        RequestError: something else was stopped there; says what, and how it differs.
    """
    others = list[str]()
    for out in outs:
        for index, path in enumerate(list_paths(out, request.batch)):
            folder = name_work(path)
            if not find_resumable(folder):
                continue
            differences = _list_differences(folder, request.choose_picture(index))
            if not differences:
                return out
            others.append(f"{folder}: {join_differences(differences)}")
    if others:
        do = "Ask for the same as one of them, give the `out` of another, or leave `resume` out to start anew."
        raise RequestError(
            "of the renders that were stopped none is the one to be resumed", got=" | ".join(others), do=do
        )
    return None


def _list_differences(folder: Path, request: RenderRequest) -> list[str]:
    """Say where stopped work is not a request; weights and machine are looked at when it is opened."""
    wanted = request.to_json()
    try:
        found = read_identity(folder)
    except RequestError as error:
        return [error.what]
    return list_differences({name: value for name, value in found.items() if name in wanted}, wanted)
