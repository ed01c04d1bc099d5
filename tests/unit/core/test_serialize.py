"""JSON text from outside."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.serialize import canonical_text, parse_json


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"a": Infinity}', '{"a": 1, "a": 2}', "[" * 100_000, "x" * 1_000_001]
)
def test_text_that_is_not_our_json_is_refused(text):
    with pytest.raises(RequestError, match="the test"):
        parse_json(text, what="the test")


def test_canonical_text_is_sorted_and_compact():
    assert canonical_text({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'
