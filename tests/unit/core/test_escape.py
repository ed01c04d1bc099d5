"""No text from outside steers a terminal, and no name ends a command that is pasted."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.errors import RequestError
from sfumato.core.escape import escape_controls, escape_json, quote_argument, write_command

NAMES = [
    "a b",
    "m;touch P;.ckpt",
    "$(touch P)",
    "`touch P`",
    "it's",
    "a\\b",
    "a\nb",
    "\x1b]0;PWN\x07\x1b[2J",
    "\x9b2J",
    "a\u202eb",
    "猫",
    "x\x1b'\\\"",
    "-rf",
    "",
    "\udcff.png",
]


@given(st.text())
def test_what_is_escaped_is_printable_and_stays_so(text):
    shown = escape_controls(text)
    assert shown.isprintable()
    assert escape_controls(shown) == shown
    if text.isprintable():
        assert shown == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_json_means_the_same(text):
    line = escape_json(json.dumps({"a": text}, ensure_ascii=False))
    assert line.isprintable()
    assert json.loads(line) == {"a": text}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell")
@pytest.mark.parametrize("name", NAMES)
def test_a_pasted_command_gets_the_very_name(tmp_path, name):
    command = write_command("printf", "%s.", name)
    assert command.isprintable()
    done = subprocess.run(["bash", "-c", command], capture_output=True, cwd=tmp_path, check=True)
    assert done.stdout == os.fsencode(name) + b"."
    assert not list(tmp_path.iterdir())


def test_a_file_that_looks_like_an_option_stays_a_file():
    assert quote_argument(Path("-x.png")) == "./-x.png"


@pytest.mark.parametrize("name", NAMES)
def test_no_part_of_an_error_holds_control_characters(name):
    error = RequestError(f"what {name}", got=name, do=f"do {name}")
    assert str(error).isprintable()
    assert all(part is None or part.isprintable() for part in error.to_json().values())


def test_a_number_that_python_does_not_write_is_still_told():
    assert "too long" in str(RequestError("x", got=10**9999))
