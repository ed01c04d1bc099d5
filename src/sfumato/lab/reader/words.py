"""The words a reader of the world knows: every label the world can give, and what it cannot tell.

Joins the world's words with the critic's `Vocabulary`. Start reading at `make_vocabulary`.
"""

from __future__ import annotations

from sfumato.critic.reader.questions import Vocabulary, Word
from sfumato.world.palette import CLOTHES, HAIR, SKIN
from sfumato.world.people.hand import GESTURES
from sfumato.world.people.person import BOTTOMS, POSES, TOPS
from sfumato.world.places import PLACES, PLAIN, TEXTURES
from sfumato.world.scene import SHOTS, STYLES
from sfumato.world.stream import Sample
from sfumato.world.things import THINGS

# The world draws at most four people.
PEOPLE = (0, 1, 2, 3, 4)
# Six is one more than any right hand: a reader that cannot say so would read faults away.
DIGITS = (0, 1, 2, 3, 4, 5, 6)
# "five" holds out the same digits as "open", and nothing in the picture tells them apart.
SAME_GESTURES = {"five": "open"}
# Hands of people only, never close-ups.
FAR_GESTURES = ("grip", "relaxed")
# A fork opened this far shows two tips; fused to this share two digits show one.
SPLIT_SHOWS, FUSED_SHOWS = 0.5, 1.0


def make_vocabulary() -> Vocabulary:
    """Return every head and class that `find_labels` can give."""
    colours = tuple(CLOTHES)
    gestures = tuple(g for g in GESTURES if g not in SAME_GESTURES and g not in FAR_GESTURES)
    heads: dict[str, tuple[Word, ...]] = {
        "shot": SHOTS,
        "style": STYLES,
        "place": (*PLACES, PLAIN, *TEXTURES),
        "people": PEOPLE,
        "kind": ("man", "woman"),
        "age": ("young", "adult", "old"),
        "hair": (*HAIR, "none"),
        "hair_style": ("long", "short", "bun", "bald"),
        "skin": tuple(SKIN),
        "glasses": (0, 1),
        "smile": (0, 1),
        "beard": (0, 1),
        "top": TOPS,
        "top_colour": colours,
        "pose": POSES,
        "bottom": (*BOTTOMS, "dress"),
        "bottom_colour": ("blue", "black", "white", "green", "red"),
        "thing": THINGS,
        "thing_colour": (*colours, "brown"),
        "gesture": gestures,
        "digits": DIGITS,
        "hand_side": ("left", "right"),
        "hand_view": ("palm", "back"),
    }
    return Vocabulary(tuple(heads.items()))


def find_labels(sample: Sample) -> dict[str, Word]:
    """Return what the picture of a sample shows, planted faults of its hand included."""
    labels: dict[str, Word] = dict(sample.labels)
    if "gesture" in labels:
        labels["gesture"] = SAME_GESTURES.get(str(labels["gesture"]), labels["gesture"])
    for fault in sample.faults if "digits" in labels else ():
        shown = _count_change(fault.kind, fault.amount)
        # With digits more or less the gesture has no name any more.
        labels.pop("gesture", None)
        digits = int(labels.pop("digits"))
        if shown is not None:
            labels["digits"] = digits + shown
    return labels


def _count_change(kind: str, amount: float) -> int | None:
    """Return how many tips a fault adds; None where one could argue."""
    if kind == "split_digit":
        return 1 if amount >= SPLIT_SHOWS else None
    if kind == "fused_digits":
        return -1 if amount >= FUSED_SHOWS else None
    return {"extra_digit": 1, "missing_digit": -1}.get(kind)
