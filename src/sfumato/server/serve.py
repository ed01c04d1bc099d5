"""`sfumato serve`: one server per state folder, on loopback unless there is a token.

Start reading at `serve`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import hold, make_state_folder
from sfumato.core.settings import Settings, load_settings
from sfumato.server.app import make_app
from sfumato.server.context import ServerContext
from sfumato.server.gate import check_address
from sfumato.server.hub import Hub
from sfumato.server.intake import Intake
from sfumato.server.queue.store import JobStore
from sfumato.server.workers.supervisor import Supervisor, make_command

_MB, _GB = 1024**2, 1024**3
_BACKLOG = 128
# Clients that wait are answered at once when the server stops; what is left is cut off.
_GRACE_S = 10


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Say where to serve. `hosts` and `origins` are allowed beside this machine; port 0 takes a free one.

    `pages` is the folder of a web page to show. `on_ready` is called with the server's address once it listens.
    """

    host: str
    port: int
    token: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    pages: Path | None = None
    on_ready: Callable[[str], None] | None = None


def serve(options: ServeOptions) -> None:
    """Serve until a signal says stop.

    Raises:
        RequestError: a public address without a token, a port that is taken, or a state folder that is in use.
        StorageError: the state folder cannot be written.
    """
    settings = load_settings()
    token = options.token or settings.token
    check_address(options.host, token)
    folder = find_state_folder(settings)
    lock = _hold_folder(folder)
    try:
        listener = _bind(options.host, options.port)
        store = JobStore(folder)
        hub = Hub()
        supervisor = Supervisor(store=store, hub=hub, command=make_command(folder, settings.device))
        intake = Intake(
            store=store,
            most_pixels=settings.max_render_pixels,
            most_sent_pixels=settings.max_picture_pixels,
            most_queued=settings.max_queued,
            budget_bytes=round(settings.budget_gb * _GB) if settings.budget_gb else None,
            device=settings.device,
            dtype=settings.dtype,
        )
        context = ServerContext(store=store, hub=hub, supervisor=supervisor, intake=intake)
        app = make_app(
            context,
            token=token,
            hosts=options.hosts,
            origins=options.origins,
            most_bytes=settings.max_body_mb * _MB,
            pages=options.pages,
        )
        _run(app, listener, hub, options.on_ready)
        store.close()
    finally:
        os.close(lock)


def find_state_folder(settings: Settings) -> Path:
    """Return the folder of the setting `state`, or the usual one of the system, with room for jobs; make it.

    Raises:
        StorageError: it cannot be made.
    """
    folder = make_state_folder(settings.state)
    try:
        (folder / "jobs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        do = "Set SFUMATO_STATE to a folder that you may write."
        raise StorageError("the state folder cannot be made", got=f"{folder}: {error}", do=do) from error
    return folder


class StoppableServer(uvicorn.Server):
    """A server that answers waiting clients when it is told to stop."""

    hub: Hub
    on_ready: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if self.started and self.on_ready is not None:
            self.on_ready()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Hear a signal; the second Ctrl-C does not wait."""
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_soon_threadsafe(self.hub.close)
        super().handle_exit(sig, frame)


def _run(app: Any, listener: socket.socket, hub: Hub, on_ready: Callable[[str], None] | None) -> None:
    config = uvicorn.Config(
        app,
        log_level="warning",
        # A log of addresses would hold prompts.
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = StoppableServer(config)
    server.hub = hub
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    if on_ready is not None:
        server.on_ready = lambda: on_ready(address)
    sys.stderr.write(f"sfumato serves {address}  (Ctrl-C stops it; queued jobs are kept)\n")
    sys.stderr.flush()
    # uvicorn sends itself the signal again once it has stopped, which was the wish.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _hold_folder(folder: Path) -> int:
    try:
        handle = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        do = "Set SFUMATO_STATE to a folder that you may write."
        raise StorageError("the state folder cannot be written", got=f"{folder}: {error}", do=do) from error
    if not hold(handle):
        os.close(handle)
        do = "Stop it, or set SFUMATO_STATE to another folder."
        raise RequestError("another server uses this state folder", got=str(folder), do=do)
    return handle


def _bind(host: str, port: int) -> socket.socket:
    try:
        found: Sequence[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.socket(found[0][0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[0][4])
        # From here on a client may knock: it is answered as soon as the application is there.
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        do = "Is another server running? Give another `port`."
        raise RequestError("the address cannot be used", got=f"{host}:{port}: {error}", do=do) from error
    return listener
