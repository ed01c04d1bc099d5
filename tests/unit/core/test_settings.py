"""Settings from the environment."""

import dataclasses

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.settings import Settings, find_row, load_settings


def test_defaults_hold_without_variables():
    assert load_settings({"PATH": "/bin"}) == Settings()


def test_variables_are_read_with_their_types():
    settings = load_settings({"SFUMATO_MAX_PICTURE_PIXELS": " 3 ", "SFUMATO_BUDGET_GB": "2.5", "SFUMATO_DEVICE": "cpu"})
    assert (settings.max_picture_pixels, settings.budget_gb, settings.device) == (3, 2.5, "cpu")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SFUMATO_DEVISE", "cpu", "Did you mean SFUMATO_DEVICE"),
        ("SFUMATO_QQ", "3", "Settings: "),
        ("SFUMATO_MAX_PICTURE_PIXELS", "many", "is a number"),
        ("SFUMATO_MAX_PICTURE_PIXELS", "0", "between 1 and"),
        ("SFUMATO_BUDGET_GB", "nan", "finite"),
        ("SFUMATO_DTYPE", "int3", "one of auto, fp32"),
    ],
)
def test_wrong_variables_are_errors(variable, text, message):
    with pytest.raises(RequestError, match=message):
        load_settings({variable: text})


def test_every_row_of_the_table_is_complete():
    for field in dataclasses.fields(Settings):
        row = find_row(field.name)
        assert row.words.endswith(".")
        if not isinstance(field.default, str | bool):
            assert row.low is not None, f"{field.name} needs a range"
