"""What stands before every route: who may ask at all, and how much may be sent.

A page in a browser can reach a server on this machine. So the name in `Host` has to be a number or a known name, which
stops DNS rebinding, and `Origin` has to be this server or a known one, which stops foreign pages. Knows no route.
Start reading at `Gate.__call__`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from sfumato.server.answers import make_answer

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_SOCKETS = frozenset({"/ws", "/api/ws"})
# Scripts for ComfyUI send JSON here as a form or as nothing, because that server reads it without a look. A page of
# another site could send that too, but not without `Origin`.
_UNTYPED = frozenset(
    {f"{prefix}/{name}" for prefix in ("", "/api") for name in ("prompt", "queue", "interrupt", "free")}
)
_UNTYPED_KINDS = ("", "application/x-www-form-urlencoded", "text/plain")
_OPEN_PATHS = frozenset({"/healthz"})
# Where krita-ai-diffusion puts pictures, without saying of what kind.
_BLOBS = "/upload/blob/"
_LOCAL = frozenset({"localhost", "localhost.localdomain"})
_BODY_KINDS = ("application/json", "multipart/form-data", "image/png", "image/jpeg", "image/webp")
# Nothing that is served runs as a page of this server, whatever a file says it is.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


class Gate:
    """Let through what may pass, answer the rest. An ASGI application around another."""

    def __init__(
        self,
        inner: Application,
        *,
        token: str = "",
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        most_bytes: int,
    ) -> None:
        """Guard `inner`. `hosts` and `origins` are allowed beside this machine and this server itself."""
        self._inner, self._token, self._most_bytes = inner, token, most_bytes
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.rstrip("/").lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] != "http":
            if scope["path"] in _SOCKETS and self._find_stranger(scope, headers) is None:
                await self._inner(scope, receive, send)
                return
            # Refused before it is accepted: the client reads status 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self._find_refusal(scope, headers)
        body = b""
        if refused is None:
            try:
                body = await self._read_body(receive)
            except _TooLargeError:
                refused = 413, f"a message has at most {self._most_bytes} bytes"
        if refused is not None:
            await self._refuse(scope, receive, send, *refused)
            return
        if scope["path"] in _UNTYPED and _read_kind(headers) in _UNTYPED_KINDS:
            kept = [pair for pair in scope["headers"] if pair[0].lower() != b"content-type"]
            scope["headers"] = [*kept, (b"content-type", b"application/json")]
        await self._inner(scope, _replay(body, receive), _add_headers(send))

    def _find_stranger(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return why this client may not ask at all: its name for us, its page, or its token."""
        host = headers.get("host", "")
        if not self._knows_host(host):
            return 403, "this server does not answer to that name; allow it when you start the server"
        origin = headers.get("origin")
        if origin is not None and not self._knows_origin(origin, host):
            return 403, "pages of other sites may not use this server"
        is_preflight = scope.get("method") == "OPTIONS" and "access-control-request-method" in headers
        if self._token and scope["path"] not in _OPEN_PATHS and not is_preflight and not self._knows_token(headers):
            return 401, "Incorrect username or password"
        return None

    def _find_refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        stranger = self._find_stranger(scope, headers)
        if stranger is not None:
            return stranger
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self._most_bytes:
            return 413, f"a message has at most {self._most_bytes} bytes"
        has_body = length != "0" or "transfer-encoding" in headers
        kind = _read_kind(headers)
        # No page of another site can send PUT without being asked first, see CORS.
        is_blob = scope["method"] == "PUT" and scope["path"].startswith(_BLOBS)
        is_script = scope["path"] in _UNTYPED and kind in _UNTYPED_KINDS
        if has_body and kind not in _BODY_KINDS and not is_blob and not is_script:
            return 415, "a message is application/json, multipart/form-data or a picture"
        return None

    def _knows_host(self, host: str) -> bool:
        name = _read_host(host)
        if name in _LOCAL or name in self._hosts:
            return True
        try:
            # A number cannot be bent to another machine by DNS.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _knows_origin(self, origin: str, host: str) -> bool:
        origin = origin.lower()
        if origin in self._origins:
            return True
        return origin in (f"http://{host.lower()}", f"https://{host.lower()}")

    def _knows_token(self, headers: dict[str, str]) -> bool:
        scheme, _, word = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                word = base64.b64decode(word, validate=True).decode().partition(":")[2]
            except (binascii.Error, ValueError):
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(word.strip().encode(), self._token.encode())

    async def _read_body(self, receive: Receive) -> bytes:
        parts, total = list[bytes](), 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)
            parts.append(message.get("body", b""))
            total += len(parts[-1])
            if total > self._most_bytes:
                raise _TooLargeError
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
        answer = make_answer(scope["path"], status, {"error": "refused", "what": why, "got": None, "do": ""})
        if status == 401:
            answer.headers["WWW-Authenticate"] = 'Basic realm="sfumato"'
        if status == 413:
            # The rest of the message is not read, so the connection cannot be used again.
            answer.headers["Connection"] = "close"
        await answer(scope, receive, _add_headers(send))


class _TooLargeError(Exception):
    """More was sent than a message may have."""


def _read_kind(headers: dict[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _read_host(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _add_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            found = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in found)]
        await send(message)

    return with_headers
