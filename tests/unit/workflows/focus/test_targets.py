"""Which parts are worked on: kinds with a predictable look, smaller than the model could draw them, not too deep."""

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.focus import FocusBox, FocusSettings
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.models.describe import load_contract
from sfumato.render.passes.focus import LeftPart
from sfumato.render.passes.focus_part import FocusTarget
from sfumato.workflows.focus.targets import PartChooser

SIZE = PixelSize(400, 400)
REQUEST = RenderRequest(prompt="a photo of a woman with red hair in a street", size=SIZE)


class FixedFinder:
    """Finds what it is told."""

    name, kinds = "fixed", frozenset(("face", "house", "hand"))

    def __init__(self, *found, by=name):
        self.found = tuple(Found(kind=kind, box=box, confidence=0.9, by=by) for kind, box in found)

    def find(self, pixels):
        return self.found


def choose(*found, level=1, kept=(), boxes=(), by="fixed", request=REQUEST, **more):
    settings = FocusSettings(boxes=boxes, **more)
    chooser = PartChooser(
        request=request, settings=settings, contract=load_contract("mini"), finders=(FixedFinder(*found, by=by),)
    )
    return chooser.find(MemoryPixels(SIZE), level, kept)


FACE = PixelBox(100, 100, 120, 122)


def test_a_small_face_is_taken_in_the_words_of_its_person():
    (part,) = choose(("face", FACE))
    assert isinstance(part, FocusTarget)
    assert part.prompt == "a photo of a close-up of a woman with red hair"
    assert part.core.contains(FACE)
    assert part.depth == 0


def test_large_unpredictable_and_repeated_parts_are_left_and_told():
    large, hand = PixelBox(10, 10, 110, 110), PixelBox(200, 200, 220, 220)
    parts = choose(("face", large), ("hand", hand), ("face", large.shift(2, 2)))
    assert [(part.kind, type(part)) for part in parts] == [("face", LeftPart), ("hand", LeftPart)]
    assert ["large enough" in parts[0].reason, "predictable" in parts[1].reason] == [True, True]
    (named,) = choose(("hand", hand), words=("hand",))
    assert isinstance(named, FocusTarget)


def test_a_part_in_one_that_was_drawn_anew_is_deeper_and_focus_ends_at_its_depth():
    person = PixelBox(80, 80, 160, 200)
    (part,) = choose(("face", FACE), kept=(person,))
    assert part.depth == 1
    (left,) = choose(("face", FACE), kept=(person,), depth=1)
    assert "as deep as focus goes" in left.reason


def test_boxes_of_the_user_are_always_taken_and_need_no_finder():
    box = FocusBox(left=5, top=6, width=200, height=100, prompt="a hat")
    (part,) = choose(level=0, boxes=(box,), words=())
    assert (part.kind, part.box, part.prompt) == ("box", box.box, "a hat")
    assert choose(("face", FACE), level=1, boxes=(box,), words=()) == ()


PERSON = PixelBox(100, 100, 150, 260)


def test_the_head_of_a_drawn_person_without_a_face_is_taken():
    (part,) = choose(("person", PERSON), by="drawn")
    assert (part.kind, part.box.top, part.box.height) == ("head", 100, 27)
    assert abs(part.box.left + part.box.right - 250) <= 1
    # Of a real person nobody knows where the head is, nor whether it looks at us.
    assert choose(("person", PERSON)) == ()


def test_a_head_with_a_face_is_worked_on_once():
    face = PixelBox(116, 104, 134, 124)
    (part,) = choose(("person", PERSON), ("face", face), by="drawn")
    assert (part.kind, part.box) == ("face", face)
    (part,) = choose(("head", PERSON.clip(PixelSize(400, 130))), ("face", face))
    assert part.kind == "face"


def test_raised_arms_say_nothing_of_the_head():
    assert choose(("person", PixelBox(100, 100, 220, 260)), by="drawn") == ()


def test_a_thing_of_the_prompt_is_drawn_in_its_own_words():
    request = RenderRequest(prompt="a photo of a man beside a small red car in a street", size=SIZE)
    (part,) = choose(("car", FACE), level=0, words=("car",), request=request)
    assert part.prompt == "a photo of a small red car"
    (left,) = choose(("car", FACE), level=0, words=("face",), request=request)
    assert "not named" in left.reason
