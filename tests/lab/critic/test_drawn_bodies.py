"""What `check` says of drawn people beside the world's truth."""

from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox
from sfumato.critic.anatomy.bodies import BodyFinding, JudgedBody
from sfumato.lab.critic.judge_drawn_bodies import BodyAnswer, count_shown_hands, describe_bodies, judge_drawn_bodies
from sfumato.world.stream import Wish, make_sample


def make_body(hands, *causes, verdict="abstain"):
    person = Found(kind="person", box=PixelBox(0, 0, 50, 100), confidence=0.9, by="drawn")
    findings = tuple(BodyFinding(cause=cause, part="arm", words=cause) for cause in causes)
    return JudgedBody(
        person=person, arms=(), legs=(), hands=hands, verdict=verdict, reason="", findings=findings
    )  # fmt: skip


def test_answers_are_counted_by_fault():
    answers = [
        BodyAnswer(fault="", hands=2, body=make_body(2, verdict="not-countable")),
        BodyAnswer(fault="", hands=2, body=make_body(3, "extra")),
        BodyAnswer(fault="third_arm", hands=3, body=make_body(3, "extra")),
        BodyAnswer(fault="third_arm", hands=3, body=make_body(2, verdict="not-countable")),
        BodyAnswer(fault="swapped_hands", hands=2, body=None),
    ]
    rows = {row.name.split(": ")[1]: (row.value, row.n) for row in describe_bodies(answers)}
    assert rows["found"] == (80.0, 5)
    assert rows["limbs counted"] == (50.0, 4)
    assert rows["number of hands right"] == (50.0, 4)
    assert rows["third arm told"] == (50.0, 2)
    assert rows["swapped hands told"][1] == 0
    assert rows["anything told of right bodies"] == (50.0, 2)


def test_the_truth_counts_a_third_hand():
    wish = Wish(shot="full", style="photo", fault="third_arm", with_truth=True)
    samples = [make_sample(seed, size=256, wish=wish) for seed in range(256_100_000, 256_100_012)]
    alone = [sample for sample in samples if sample.faults and len(sample.scene.people) == 1]
    assert max(count_shown_hands(sample) for sample in alone) == 3


def test_drawn_people_are_judged():
    rows = judge_drawn_bodies(2, lambda what, done, count: None)
    assert rows[0].n == 2
