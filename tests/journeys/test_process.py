"""What only a real process shows: how it starts, and how it stops."""

import json
import signal
import subprocess
import sys

from bundles import tiny_mini
from processes import command, environment, listen_to_ctrl_c


def test_help_waits_for_nothing_heavy(room):
    code = (
        "import sys\nfrom sfumato.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'diffusers', 'transformers', 'skia'} & set(sys.modules)\n"
        "print('heavy:', *heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(room), check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_ctrl_c_stops_a_render_and_leaves_nothing(room):
    arguments = ("render", "a cat", "--model", tiny_mini(), "--dtype", "fp32", "--steps", 1000, "--out", "a.png")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        command(*arguments), **pipes, env=environment(room), cwd=room, preexec_fn=listen_to_ctrl_c
    ) as run:
        # Nobody waits in silence while libraries and weights are read; the line after is the first step.
        assert run.stderr.readline() == "opening the model\n"
        assert "native" in run.stderr.readline()
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
        assert run.wait(timeout=600) == 130
    assert "stopped" in rest
    assert "Traceback" not in rest
    assert [path.name for path in room.iterdir() if path.name != "cache"] == []


def test_a_render_stays_within_the_memory_of_its_plan(room):
    arguments = ("render", "a cat", "--model", tiny_mini(), "--dtype", "fp32", "--steps", 2, "--size", "256x144")
    done = subprocess.run(
        command(*arguments, "--json"), capture_output=True, text=True, env=environment(room), cwd=room, check=True
    )
    told = json.loads(done.stdout)
    assert told["peak_bytes"] <= told["planned_bytes"]


def test_a_closed_pipe_is_no_error_message(room):
    with subprocess.Popen(
        command("models", "--help"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(room), cwd=room
    ) as run:
        run.stdout.close()
        assert b"Traceback" not in run.stderr.read()
