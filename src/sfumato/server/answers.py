"""How an error of ours looks to each family of clients: its status, and the shape that they read.

Knows errors and paths, no job. Start reading at `add_error_answers`.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sfumato.core.errors import (
    BudgetError,
    InterruptedRender,
    ModelError,
    RequestError,
    SfumatoError,
    StorageError,
    UnsafeFileError,
)
from sfumato.server.queue.records import NotFoundError, QueueFullError

# The first class that fits gives the status.
_STATUSES: tuple[tuple[type[SfumatoError], int], ...] = (
    (NotFoundError, 404),
    (QueueFullError, 429),
    (RequestError, 422),
    (BudgetError, 422),
    (UnsafeFileError, 422),
    (ModelError, 500),
    (StorageError, 507),
    (InterruptedRender, 503),
)
OPENAI, A1111 = "/v1/", "/sdapi/"
_MOST_FAULTS = 8


class StoppingError(InterruptedRender):
    """The server stops while a client waits; the job is kept."""


def find_status(error: SfumatoError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def make_answer(path: str, status: int, error: dict[str, Any]) -> JSONResponse:
    """Return an error in the shape that clients of a path read; `error` has the JSON shape of every error."""
    text = ". ".join(part for part in (error["what"], error["do"]) if part)
    if error.get("got") is not None:
        text = f"{error['what']} (got {error['got']}). {error['do'] or ''}".rstrip()
    if path.startswith(OPENAI):
        # Its clients know 400 for every wrong request, and try a 5xx twice more unless told not to.
        shown = 400 if status == 422 else status
        kind = "invalid_request_error" if shown < 500 else "server_error"
        body: dict[str, Any] = {"error": {"message": text, "type": kind, "param": None, "code": error["error"]}}
        headers = {} if shown in (429, 503) else {"x-should-retry": "false"}
        return JSONResponse(body, shown, headers)
    if path.startswith(A1111):
        return JSONResponse({"error": error["error"], "detail": text, "body": "", "errors": text}, status)
    return JSONResponse({**error, "detail": text}, status)


def add_error_answers(app: FastAPI) -> None:
    """Let every error of a route be answered in the shape of its surface."""

    def tell(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SfumatoError), "registered for these"
        return make_answer(request.url.path, find_status(error), error.to_json())

    def tell_fields(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError), "registered for these"
        # Where and why; what was sent may be megabytes and comes back in no error.
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'][1:]) or 'the body'}: {fault['msg']}"
            for fault in error.errors()[:_MOST_FAULTS]
        ]
        told = RequestError("the request has wrong fields", got="; ".join(faults), do="Mend them and send it again.")
        return make_answer(request.url.path, 422, told.to_json())

    def tell_plain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException), "registered for these"
        # Clients of A1111 compare this word for word.
        if error.status_code == 404 and error.detail == "Not Found" and not request.url.path.startswith(OPENAI):
            return JSONResponse({"detail": "Not Found"}, 404)
        told = {"error": "http", "what": str(error.detail), "got": None, "do": ""}
        return make_answer(request.url.path, error.status_code, told)

    app.add_exception_handler(SfumatoError, tell)
    app.add_exception_handler(RequestValidationError, tell_fields)
    app.add_exception_handler(HTTPException, tell_plain)
