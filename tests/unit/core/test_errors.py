"""The three parts of an error, its exit code and its JSON shape."""

import json
import pickle

import pytest

from sfumato.core import errors

CODES = {
    errors.RequestError: (2, "request"),
    errors.BudgetError: (3, "budget"),
    errors.UnsafeFileError: (4, "unsafe_file"),
    errors.ModelError: (5, "model"),
    errors.StorageError: (5, "storage"),
    errors.InterruptedRender: (130, "interrupted"),
}


@pytest.mark.parametrize("kind", CODES)
def test_exit_code_and_kind_are_the_contract(kind):
    assert (kind.exit_code, kind.kind) == CODES[kind]
    assert issubclass(kind, errors.SfumatoError)


def test_message_has_what_got_do():
    error = errors.RequestError("a size is too small", got="0x0", do="Ask for 8x8.")
    assert str(error) == "a size is too small (got 0x0). Ask for 8x8."


def test_json_holds_the_three_parts():
    error = errors.RequestError("wrong", got=7, do="mend")
    assert error.to_json() == {"error": "request", "what": "wrong", "got": "7", "do": "mend"}
    assert errors.RequestError("wrong").to_json()["got"] is None


def test_control_characters_stay_visible_and_messages_short():
    error = errors.RequestError("wrong", got="\x1b[31m" + "x" * 10_000)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 500
    assert json.loads(json.dumps(error.to_json()))["got"].startswith("'\\x1b[31mxxx")


def test_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(errors.BudgetError("too much", got=9, do="less")))
    assert (type(error), error.what, error.got, error.do) == (errors.BudgetError, "too much", 9, "less")
