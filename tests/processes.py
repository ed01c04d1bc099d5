"""Start the command line as a process of its own. Start reading at `command`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def command(*arguments: object) -> list[str]:
    """Return the words that start a command of ours."""
    return [sys.executable, "-m", "sfumato.cli", *map(str, arguments)]


def environment(room: Path) -> dict[str, str]:
    """Return an environment with our sources, an empty cache, one thread and no settings from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SFUMATO_")}
    return kept | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_CACHE_HOME": str(room / "cache"),
        "OMP_NUM_THREADS": "1",
    }


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to background jobs, and a test run may be one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
