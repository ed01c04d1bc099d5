"""A server for tests: the real application and queue, with a fake worker unless another is named.

Start reading at `make_server`.
"""

from __future__ import annotations

import os
from pathlib import Path

import fake_worker
from sfumato.server.app import make_app
from sfumato.server.context import ServerContext
from sfumato.server.hub import Hub
from sfumato.server.intake import Intake
from sfumato.server.queue.store import JobStore
from sfumato.server.workers.supervisor import Supervisor

ADDRESS = "http://localhost:7860"


def make_context(folder: Path, *, command=None, **limits) -> ServerContext:
    """Return the parts of a server whose state lies in a folder."""
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    store, hub = JobStore(folder), Hub()
    supervisor = Supervisor(store=store, hub=hub, command=command or fake_worker.make_command(folder))
    intake = Intake(store=store, **{"most_pixels": 2**22, "most_sent_pixels": 2**22, "most_queued": 100} | limits)
    return ServerContext(store=store, hub=hub, supervisor=supervisor, intake=intake)


def make_server(context: ServerContext, **gate):
    """Return the application around a context."""
    return make_app(context, **{"most_bytes": 2**20} | gate)


def forget_settings(monkeypatch, room: Path) -> None:
    """Take away the settings of the machine that runs the tests."""
    for name in list(os.environ):
        if name.startswith("SFUMATO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(room / "cache"))
