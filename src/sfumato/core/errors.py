"""The errors a caller can cause, each with three parts: what, got, do.

One class is one CLI exit code and one JSON shape. This module knows neither the CLI nor the
server that report them. Start reading at `SfumatoError`; the children only name a kind.
"""

from __future__ import annotations

from typing import ClassVar

from sfumato.core.escape import escape_controls

# A caller may hand us a megabyte of nonsense; a message has to stay readable in a log line.
LONGEST_GOT_CHARACTERS = 400
# What helps with any picture that turns out to be damaged.
DAMAGED_DO = "Copy it again from where it came, or save it anew with another program."


class SfumatoError(Exception):
    """Tell a caller what is wrong, what was received, and what to do about it."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, what: str, *, got: object = None, do: str = "") -> None:
        """Keep the three parts; control characters in any of them are shown as escapes."""
        what, do = escape_controls(what), escape_controls(do)
        super().__init__(what, got, do)
        self.what = what
        self.got = got
        self.do = do

    def __str__(self) -> str:
        """Join the parts into one line."""
        got = "" if self.got is None else f" (got {_clip(self.got)})"
        do = f". {self.do}" if self.do else ""
        return f"{self.what}{got}{do}"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive a process boundary: keyword-only parts need their own way back."""
        return _rebuild, (type(self), self.what, self.got, self.do)

    def to_json(self) -> dict[str, str | None]:
        """Return the one JSON shape of every error."""
        got = None if self.got is None else _clip(self.got)
        return {"error": self.kind, "what": self.what, "got": got, "do": self.do}


class RequestError(SfumatoError):
    """The request itself is wrong: a value, a name, a combination without effect."""

    exit_code = 2
    kind = "request"


class BudgetError(SfumatoError):
    """The request is fine but costs more memory, disk or time than allowed."""

    exit_code = 3
    kind = "budget"


class UnsafeFileError(SfumatoError):
    """A file is refused before anything in it is used."""

    exit_code = 4
    kind = "unsafe_file"


class ModelError(SfumatoError):
    """A model cannot be loaded, or gave numbers that are no picture."""

    exit_code = 5
    kind = "model"


class StorageError(SfumatoError):
    """A file could not be written or read back."""

    exit_code = 5
    kind = "storage"


class LostWorkError(StorageError):
    """What stopped work needs is gone or damaged: it cannot be gone on with, and nothing may be made in its place."""


class InterruptedRender(SfumatoError):  # noqa: N818 - stopping is no mistake of anyone
    """The caller stopped a render between two steps."""

    exit_code = 130
    kind = "interrupted"


def _clip(got: object) -> str:
    try:
        text = got if isinstance(got, str) and got.isprintable() and len(got) <= LONGEST_GOT_CHARACTERS else repr(got)
    except ValueError:
        # Python writes no whole number of more than some thousand digits.
        text = f"a {type(got).__name__} that is too long to write"
    text = escape_controls(text)
    if len(text) <= LONGEST_GOT_CHARACTERS:
        return text
    return text[: LONGEST_GOT_CHARACTERS - 1] + "…"


def _rebuild(kind: type[SfumatoError], what: str, got: object, do: str) -> SfumatoError:
    return kind(what, got=got, do=do)
