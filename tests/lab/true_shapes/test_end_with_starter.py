"""A process does not outlive the one that started it, nor does what it has started itself."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

PATIENCE_S = 120
WAIT = "print(os.getpid(), flush=True); time.sleep(600)"
CHILD = f"""
import os, subprocess, sys, time
from sfumato.lab.true_shapes.render_process import end_with_starter
end_with_starter()
subprocess.Popen([sys.executable, "-c", "import os, time; {WAIT}"])
{WAIT}
"""
STARTER = """
import subprocess, sys
with subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, start_new_session=True) as child:
    child.wait()
"""


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_ends_with_its_killed_starter():
    pids = []
    try:
        with subprocess.Popen([sys.executable, "-c", STARTER, CHILD], stdout=subprocess.PIPE, text=True) as starter:
            pids = [int(starter.stdout.readline()) for _ in range(2)]
            assert all(is_there(pid) for pid in pids)
            starter.kill()
        until = time.monotonic() + PATIENCE_S
        while any(is_there(pid) for pid in pids):
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_process_that_is_done_ends_in_order():
    code = "from sfumato.lab.true_shapes.render_process import end_with_starter; end_with_starter(); print('done')"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes, start_new_session=True) as process:
        # Its stdin stays open meanwhile.
        assert process.wait(PATIENCE_S) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("done\n", "")
