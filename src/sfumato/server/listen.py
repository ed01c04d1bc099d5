"""From a bound socket to a server that answers: queue, workers and routes put together, and run until a signal.

Knows no option of the command line. Start reading at `listen`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn

from sfumato.server.app import make_app
from sfumato.server.context import ServerContext
from sfumato.server.hub import Hub
from sfumato.server.intake import Intake
from sfumato.server.job_log import JobLog
from sfumato.server.queue.store import JobStore
from sfumato.server.workers.supervisor import Supervisor, make_command

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from sfumato.core.settings import Settings

_MB, _GB = 1024**2, 1024**3
# Clients that wait are answered at once when the server stops; what is left is cut off.
_GRACE_S = 10
_MOST_SOCKET_BYTES = 2**16


def listen(
    listener: socket.socket,
    folder: Path,
    settings: Settings,
    *,
    token: str,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    pages: Path | None,
    on_ready: Callable[[str], None] | None,
) -> None:
    """Serve the queue of a state folder on a socket that is bound, until a signal says stop."""
    store = JobStore(folder)
    hub = Hub()
    log = JobLog(is_on=settings.job_log)
    supervisor = Supervisor(store=store, hub=hub, command=make_command(folder, settings.device), log=log)
    intake = Intake(
        store=store,
        most_pixels=settings.max_render_pixels,
        most_sent_pixels=settings.max_picture_pixels,
        most_queued=settings.max_queued,
        budget_bytes=round(settings.budget_gb * _GB) if settings.budget_gb else None,
        device=settings.device,
        dtype=settings.dtype,
    )
    context = ServerContext(store=store, hub=hub, supervisor=supervisor, intake=intake, log=log)
    app = make_app(
        context,
        token=token,
        hosts=hosts,
        origins=origins,
        most_bytes=settings.max_body_mb * _MB,
        pages=pages,
    )
    _run(app, listener, hub, on_ready)
    store.close()


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
        ws="websockets-sansio",
        # Clients say next to nothing there.
        ws_max_size=_MOST_SOCKET_BYTES,
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
