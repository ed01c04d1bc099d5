"""A hand that was drawn anew is kept where the critic calls it right, with as many digits, and no likelier wrong."""

import pytest

from sfumato.critic.anatomy.verdict import HandVerdict
from sfumato.workflows.focus.read_hand import compare_hands


def judged(word, *, digits=5, goof=0.1):
    return HandVerdict(word=word, reason="", digits=digits, count_sure=0.9, sure=0.9, goof=goof, countable=0.9)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (judged("goof", goof=0.9), judged("ok"), ""),
        (judged("not-countable", goof=0.4), judged("ok"), ""),
        (judged("ok"), judged("not-countable"), "not-countable"),
        (judged("ok"), judged("ok", digits=4), "now it has 4"),
        (judged("abstain", digits=4, goof=0.5), judged("ok"), ""),
        (judged("ok", goof=0.05), judged("ok", goof=0.15), "likelier"),
    ],
)
def test_what_the_critic_has_against_a_hand(before, after, said):
    found = compare_hands(before, after)
    assert said in found
    assert bool(found) == bool(said)
