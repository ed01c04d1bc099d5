"""Tell a report of ours from another page, so that none of somebody else is written over.

Knows the mark in the head of a page. Start reading at `check_report_place`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

# Every report says in its head who wrote it.
MARK = '<meta name="generator" content="Sfumato report">'
# The mark stands in front of everything that differs from report to report.
HEAD_BYTES = 1024


def check_report_place(page: Path) -> None:
    """Check, before anything is rendered, that a report would replace nothing but a report.

    Raises:
        RequestError: another file has the name of the page.
    """
    if page.exists() and not _is_report(page):
        raise RequestError(
            "a file that is no report of ours is in the way of the report",
            got=str(page),
            do="Give another --out, or --no-report.",
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
