"""Forms with files, multipart/form-data: split into parts by their boundary, with limits, in time linear in the message.

The gate has read the message and limited its size. Knows no field. Start reading at `read_parts`.

Source: RFC 7578, and RFC 2046 section 5.1 for boundaries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError

MOST_PARTS, LONGEST_HEAD_BYTES, LONGEST_FIELD_BYTES = 100, 8192, 2**20
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb';\s*name="((?:[^"\\\r\n]|\\.){0,255})"', re.IGNORECASE)
_FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
_DO = "Send multipart/form-data as RFC 7578 has it."


@dataclass(frozen=True, kw_only=True)
class FormPart:
    """One part of a form: its name, what it holds, and whether it is a file."""

    name: str
    content: bytes
    is_file: bool

    @property
    def text(self) -> str:
        """Return a field as text.

        Raises:
            RequestError: it is too long, or no UTF-8.
        """
        if len(self.content) > LONGEST_FIELD_BYTES:
            raise RequestError("a field of the form is too long", got=len(self.content), do="Send files as files.")
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise RequestError("a field of the form is no UTF-8", got=self.name) from error


def read_parts(content_type: str, body: bytes) -> list[FormPart]:
    """Return the parts of a form.

    Raises:
        RequestError: it is no form, a part has no name, or there are too many.
    """
    match = _BOUNDARY.search(content_type)
    if match is None or "multipart/form-data" not in content_type.lower():
        raise RequestError("the message is no form", got=content_type[:100], do=_DO)
    mark = b"\r\n--" + (match[1] or match[2]).encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(mark, MOST_PARTS + 2)
    # Before the first mark stands nothing that counts, behind the last two dashes.
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        what = "the form has too many parts" if len(pieces) > MOST_PARTS + 2 else "the form has no end"
        raise RequestError(what, got=len(pieces), do=_DO)
    return [_read_part(piece) for piece in pieces[1:-1]]


def _read_part(piece: bytes) -> FormPart:
    head, gap, content = piece[: LONGEST_HEAD_BYTES + 4].partition(b"\r\n\r\n")
    if not gap:
        raise RequestError("a part of the form has no head, or a very long one", do=_DO)
    content = piece[len(head) + len(gap) :]
    line = next((one for one in head.split(b"\r\n") if one.lower().startswith(b"content-disposition:")), b"")
    name = _NAME.search(line)
    if name is None:
        raise RequestError("a part of the form has no name", do=_DO)
    return FormPart(name=name[1].decode(errors="replace"), content=content, is_file=_FILE.search(line) is not None)
