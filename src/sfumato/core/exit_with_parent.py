"""A process that ends when the one that started it does, however that one ended.

The starter holds the other end of the pipe that is this process's stdin; the system closes it with the starter,
killed or not. Knows no work. Start reading at `end_with_starter`.
"""

from __future__ import annotations

import os
import signal
import threading

_STDIN = 0


def end_with_starter() -> None:
    """Kill this process and all of its group once stdin ends; for one with a group of its own and a pipe as stdin."""
    assert os.getpgrp() == os.getpid(), "the group that is killed must not be the starter's"
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    # Not sys.stdin: its lock, held by a thread that waits, is fatal when the interpreter ends.
    while os.read(_STDIN, 1):
        continue
    os.killpg(os.getpgrp(), signal.SIGKILL)
