"""Drive the command line as a user does: arguments in; exit code, stdout and stderr out.

In this process, because starting torch takes longer than rendering; the journeys that need a real
process start one. Start reading at `sfumato`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest

from bundles import tiny_mini
from sfumato.cli.app import make_app
from sfumato.cli.exit_codes import run_command


@dataclass(frozen=True)
class Outcome:
    """What a user sees."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Parse the last line of stdout."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in an empty folder, with an empty cache and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("SFUMATO_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def sfumato(room, capfd):
    """Run a command line."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = run_command(make_app(), [str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def render(sfumato):
    """Run `sfumato render` on the tiny model with few steps; options may be given again."""

    def run(*arguments: object, command: str = "render", seed: bool = True) -> Outcome:
        usual = ["--model", tiny_mini(), "--dtype", "fp32"]
        usual += [] if "--from" in arguments or "--steps" in arguments else ["--steps", 3]
        # Pictures are compared: a seed that is not said would be random.
        usual += ["--seed", 1] if seed and not {"--from", "--seed"} & set(arguments) else []
        return sfumato(command, *usual, *arguments)

    return run
