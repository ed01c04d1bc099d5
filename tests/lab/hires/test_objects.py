"""Who counts as new, lost, or beyond the caption."""

from dataclasses import dataclass, replace

import numpy as np

from sfumato.lab.hires.objects import (
    SeenObject,
    Watcher,
    count_excess,
    find_objects,
    join_known,
    list_lost,
    list_phantoms,
    measure_iou,
)

PERSON = SeenObject("person", (100, 100, 200, 400), 0.9)


def test_an_object_at_its_place_is_known_and_one_elsewhere_is_not():
    moved = replace(PERSON, box=(110, 105, 210, 405))
    stranger = replace(PERSON, box=(400, 20, 430, 90))
    assert list_phantoms([moved, stranger], [PERSON]) == (stranger,)


def test_a_second_object_in_the_place_of_one_is_new():
    inside = replace(PERSON, box=(120, 150, 180, 300), confidence=0.8)
    assert list_phantoms([PERSON, inside], [PERSON]) == (inside,)
    assert list_phantoms([PERSON, inside], [PERSON, inside]) == ()


def test_another_kind_excuses_nothing():
    house = replace(PERSON, kind="house")
    assert list_phantoms([house], [PERSON]) == (house,)


def test_a_doubt_is_no_phantom_but_excuses_one():
    doubt = replace(PERSON, confidence=0.2, sure=False)
    assert list_phantoms([doubt], []) == ()
    assert list_phantoms([PERSON], [doubt]) == ()


def test_a_person_excuses_one_face_and_two_hands_on_it():
    face = SeenObject("face", (130, 110, 170, 160), 0.9)
    other = replace(face, box=(130, 200, 170, 250), confidence=0.8)
    hands = [SeenObject("hand", (90, 200 + 40 * n, 110, 220 + 40 * n), 0.9 - n / 10) for n in range(3)]
    assert list_phantoms([face], [PERSON]) == ()
    assert list_phantoms([face, other], [PERSON]) == (other,)
    assert list_phantoms(hands, [PERSON]) == (hands[2],)
    assert list_phantoms([face], []) == (face,)


def test_a_known_face_uses_up_the_place_of_its_person():
    face = SeenObject("face", (130, 110, 170, 160), 0.9)
    second = replace(face, box=(130, 300, 170, 350), confidence=0.7)
    assert list_phantoms([face, second], [PERSON, face]) == (second,)


def test_two_scales_of_the_base_show_one_object_once():
    near = replace(PERSON, box=(102, 98, 203, 402), confidence=0.95, sure=False)
    joined = join_known([PERSON], [near, replace(PERSON, kind="house")])
    assert [one.kind for one in joined] == ["person", "house"]
    assert joined[0].sure
    assert joined[0].confidence == 0.95


def test_what_is_not_found_at_its_place_is_lost():
    away = replace(PERSON, box=(180, 100, 280, 400))
    assert list_lost([PERSON], [away]) == (PERSON,)
    assert list_lost([PERSON], [replace(PERSON, sure=False)]) == ()
    assert list_lost([replace(PERSON, sure=False)], []) == ()


def test_a_scene_excuses_as_many_as_it_holds():
    crowd = [PERSON, PERSON, replace(PERSON, kind="house")]
    assert count_excess(crowd, {"person": 1, "face": 1, "hand": 2, "house": 0}) == 2
    assert count_excess(crowd, {"person": 1}) == 1


def test_boxes_overlap_by_their_shares():
    assert measure_iou((0, 0, 2, 2), (1, 0, 3, 2)) == 1 / 3
    assert measure_iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0.0


@dataclass
class Told:
    kind: str
    box: tuple[float, ...]
    confidence: float


class Fixed:
    def find(self, picture):
        return [Told("person", (1, 2, 3, 4), 0.4), Told("dog", (1, 2, 3, 4), 0.9), Told("face", (0, 0, 1, 1), 0.6)]


def test_boxes_are_brought_to_the_large_picture_and_trust_is_by_kind():
    watcher = Watcher(Fixed(), {"person": 0.3, "face": 0.7})
    found = find_objects(watcher, np.zeros((10, 20, 3), np.uint8), (200, 100))
    assert found == (
        SeenObject("person", (10, 20, 30, 40), 0.4, sure=True),
        SeenObject("face", (0, 0, 10, 10), 0.6, sure=False),
    )
