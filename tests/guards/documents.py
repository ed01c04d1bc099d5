"""Blocks of code in the documents, and how they are run.

A fence opened with ```python run or ```console run is run; commands in a console block start with
`$ `, the lines below are what they print, `…` standing for anything. Other blocks are only read.
Knows no rule about what documents say. Start reading at `find_blocks`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guards.source import ROOT, SRC
from sfumato.cli.app import make_app
from sfumato.cli.exit_codes import run_command as run_command_line

FENCE = re.compile(r"^```(\w+)?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A block that takes so long hangs. What a quiet machine does in seconds takes a shared one minutes.
LONGEST_COMMAND_S = 900
TERMINAL = {"COLUMNS": "100", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Block:
    """One fenced block: where it opens, its language, whether it runs, and its text."""

    place: str
    language: str
    runs: bool
    text: str


def find_pages() -> list[Path]:
    """Return README and every page under docs/."""
    return [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if page.exists()]


def find_blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    yield from find_blocks_in(page.read_text(), str(page.relative_to(ROOT)))


def find_blocks_in(text: str, name: str) -> Iterator[Block]:
    """Yield the fenced blocks of a text."""
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(f"{name}:{line}", match[1] or "", "run" in match[2].split(), match[3])


def split_console(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with the output written under it."""
    command, output = "", []
    for line in [*text.splitlines(), "$ "]:
        if line.startswith("$ "):
            if command:
                yield command, "\n".join(output)
            command, output = line.removeprefix("$ "), []
        else:
            output.append(line)


def run_command(command: str, folder: Path) -> str:
    """Run one command of a console block in `folder`, with `sfumato` on the path, and return what it prints.

    A plain `sfumato ...` runs in this process, which has torch imported already; anything a shell is needed for, in one.
    """
    if command.startswith("sfumato ") and not set(command) & set("|&;<>$`*"):
        return _run_here(command, folder)
    place_command(folder / ".bin")
    path = f"{folder / '.bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=os.environ | TERMINAL | {"PATH": path, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=LONGEST_COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _run_here(command: str, folder: Path) -> str:
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(printed):
        patched.chdir(folder)
        for name, value in TERMINAL.items():
            patched.setenv(name, value)
        code = run_command_line(make_app(), shlex.split(command)[1:])
    assert code == 0, f"{command}: exit {code}\n{printed.getvalue()}"
    return printed.getvalue()


def place_command(folder: Path) -> None:
    """Put a `sfumato` into a folder that runs this tree, installed or not."""
    folder.mkdir(exist_ok=True)
    script = folder / "sfumato"
    script.write_text(f"#!{sys.executable}\nfrom sfumato.cli import main\n\nmain()\n")
    script.chmod(0o755)


def matches(expected: str, printed: str) -> bool:
    """Tell whether the output is what the page says; `…` stands for anything, an empty page for all."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return not expected.strip() or re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
