"""`sfumato serve`: one server per state folder, on loopback unless there is a token.

Refuses before it imports the server: see `listen`. Start reading at `serve`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import hold, make_state_folder
from sfumato.core.settings import Settings, load_settings

_BACKLOG = 128
_LOCAL = frozenset({"localhost", "localhost.localdomain"})
_PUBLIC_DO = "Give a token, or serve on 127.0.0.1 and use a tunnel."


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
        # Refused before it is imported: the server and its libraries take seconds.
        from sfumato.server.listen import listen

        listen(
            listener,
            folder,
            settings,
            token=token,
            hosts=options.hosts,
            origins=options.origins,
            pages=options.pages,
            on_ready=options.on_ready,
        )
    finally:
        os.close(lock)


def check_address(host: str, token: str) -> None:
    """Check that only this machine can reach a server without a token.

    Raises:
        RequestError: the address is public and there is no token, or it is no address.
    """
    if token or host.lower() in _LOCAL:
        return
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise RequestError("a public address needs a `token`", got=host, do=_PUBLIC_DO)


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
