"""Words of prompts that let hands differ."""

import pytest

from sfumato.critic.anatomy.verdict import find_licences


@pytest.mark.parametrize(
    ("prompt", "reasons"),
    [
        ("a cartoon of an open hand", ("cartoon",)),
        ("Comic style, a woman in green gloves", ("cartoon", "glove")),
        ("a man with a prosthetic hand, an amputee", ("prosthesis", "amputation")),
        ("a raised fist", ("fist",)),
        ("an open hand, no gloves", ()),
        ("a first hand account, pawnshop", ()),
        ("", ()),
    ],
)
def test_only_words_that_ask_for_it_count(prompt, reasons):
    assert find_licences(prompt) == reasons
