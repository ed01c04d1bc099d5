"""The reader's vocabulary covers the world, faults included."""

from sfumato.lab.reader.pictures import SHARES, draw_hand, draw_mix, draw_training_sample
from sfumato.lab.reader.words import find_labels, make_vocabulary
from sfumato.world.compose import MIXES
from sfumato.world.stream import Wish, make_labels, make_sample


def test_every_label_of_the_world_has_a_class():
    vocabulary = make_vocabulary()
    seen: set[tuple[str, object]] = set()
    for seed in range(150):
        labels = find_labels(draw_training_sample(seed))
        vocabulary.encode(labels)
        seen |= set(labels.items())
    assert {head for head, _ in seen} == set(vocabulary.names)
    assert set(SHARES) == set(MIXES["mini"])


def test_right_hands_keep_their_count():
    for seed in range(30):
        sample = make_sample(seed, size=32, wish=Wish(shot="hand"))
        assert find_labels(sample)["digits"] == make_labels(sample.scene)["digits"]


def test_faults_change_the_count_of_tips():
    changes: dict[str, set[object]] = {}
    for seed in range(60):
        sample = draw_hand(seed)
        for fault in sample.faults:
            before, labels = make_labels(sample.scene)["digits"], find_labels(sample)
            after = labels.get("digits")
            assert "gesture" not in labels
            changes.setdefault(fault.kind, set()).add(None if after is None else int(after) - int(before))
    assert changes["extra_digit"] == changes["split_digit"] == {1}
    assert changes["missing_digit"] == {-1}
    assert changes["fused_digits"] == {-1, None}


def test_drawing_is_repeatable():
    first, second = (draw_mix(7, 3) for _ in range(2))
    assert (first.pictures == second.pictures).all()
    assert first.labels == second.labels
