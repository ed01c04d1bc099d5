"""The files of a web page, served beside the routes: read once, small, and under the strictest rules of a browser.

A page may load from this server alone; no script or style stands inside it. Knows no job and no route of an interface.
Start reading at `add_pages`.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fastapi import FastAPI, Request
from fastapi.responses import Response

INDEX = "index.html"
# By suffix, not by the system's table: a wrong entry there would keep the script from running.
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
_PACKED = frozenset({".html", ".js", ".css", ".svg"})
# Previews come as data addresses; everything else comes from this server.
RULES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, kw_only=True)
class _PageFile:
    """One file of the page, as it is sent: plain, and packed where that makes it smaller."""

    kind: str
    plain: bytes
    packed: bytes | None
    tag: str

    def answer(self, request: Request) -> Response:
        """Return the file, or that the browser has it already."""
        # The names stay the same from build to build, so a browser asks each time whether it still has the right one.
        headers = {
            "ETag": self.tag,
            "Cache-Control": "no-cache",
            "Content-Security-Policy": RULES,
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        if self.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, media_type=self.kind, headers=headers | {"Content-Encoding": "gzip"})
        return Response(self.plain, media_type=self.kind, headers=headers)


def add_pages(app: FastAPI, folder: Path) -> None:
    """Serve the files of a folder by their names, and its `index.html` at `/`.

    They are read now. A file `NAME.gz` is served as NAME. No path of a request is ever opened; what is not a page's file
    stays unserved.
    """
    for path in sorted(folder.rglob("*")):
        packed = path.read_bytes() if path.suffix == ".gz" else None
        name = path.relative_to(folder).as_posix().removesuffix(".gz")
        suffix = PurePosixPath(name).suffix
        if suffix not in _KINDS or not path.is_file():
            continue
        plain = path.read_bytes() if packed is None else gzip.decompress(packed)
        if packed is None and suffix in _PACKED:
            packed = gzip.compress(plain, 6, mtime=0)
        tag = f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
        file = _PageFile(kind=_KINDS[suffix], plain=plain, packed=packed, tag=tag)
        _add_route(app, "/" if name == INDEX else f"/{name}", file)


def _add_route(app: FastAPI, path: str, file: _PageFile) -> None:
    async def send(request: Request) -> Response:
        return file.answer(request)

    app.add_api_route(path, send, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)
