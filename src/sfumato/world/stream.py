"""The endless stream of samples: a seed in; picture, caption, labels and truth out. Start reading at `make_sample`.

The same seed, size and version give the same bytes. The truth is drawn beside the picture, with the same paths.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sfumato.world.broad.caption import make_broad_captions
from sfumato.world.broad.compose import Cast, make_broad_scene
from sfumato.world.caption import make_captions
from sfumato.world.compose import make_scene
from sfumato.world.ink import Ink, Window, tube_path
from sfumato.world.palette import CLOTHES, SKIN
from sfumato.world.people.body import BodyShape
from sfumato.world.people.draw_hand import draw_hand
from sfumato.world.people.draw_person import draw_person
from sfumato.world.people.goofs import plant_fault
from sfumato.world.people.hand import HandShape
from sfumato.world.people.person import HandView
from sfumato.world.places import draw_place
from sfumato.world.scene import Scene
from sfumato.world.scenery.skies import light_subjects
from sfumato.world.shapes import Fault, Shapes, make_shapes
from sfumato.world.things import Thing, draw_thing
from sfumato.world.truth import PartTree, Truth

LEAST_PX = 6.0
"""Below this expected area a digit's pixels say nothing; the plan is believed."""
HIDDEN_SHARE = 0.30
"""A digit that shows less than this share of its drawn area is occluded."""


def settle_states(truth: Truth) -> Truth:
    """Return the truth with out-of-frame and occluded digits marked, and areas replaced by pixels."""
    height, width = truth.ids.shape
    counts = np.bincount(truth.ids.ravel(), minlength=len(truth.paths))
    facts = {path: dict(known) for path, known in truth.facts.items()}
    for path, known in facts.items():
        if "area" not in known:
            continue
        expected = cast("float", known.pop("area")) * height * height
        x, y = cast("tuple[float, float]", known["tip"])
        seen = sum(int(counts[i]) for i, name in enumerate(truth.paths) if name.startswith(path + "/"))
        known["expected_px"] = round(expected, 1)
        if not (0.0 <= x < width / height and 0.0 <= y < 1.0):
            known["state"] = "out-of-frame"
        elif known["state"] == "visible" and expected >= LEAST_PX and seen < HIDDEN_SHARE * expected:
            known["state"] = "occluded"
    return Truth(truth.ids, truth.paths, facts)


Labels = dict[str, str | int]


def make_labels(scene: Scene) -> Labels:
    """List what a reader can be asked about a scene; an attribute that does not apply is left out."""
    labels: Labels = {"shot": scene.shot, "style": scene.style, "place": scene.place.kind, "people": len(scene.people)}
    if len(scene.people) == 1:
        person = scene.people[0][0]
        labels |= {
            "kind": person.kind,
            "age": person.age,
            "hair": person.hair if person.hair_style != "bald" else "none",
            "hair_style": person.hair_style,
            "skin": person.skin,
            "glasses": int(person.glasses),
            "smile": int(person.smile),
            "beard": int(person.beard),
            "top": person.top.kind,
            "top_colour": person.top.colour,
        }
        if scene.shot != "portrait":
            labels |= {"pose": person.pose}
        if scene.shot == "full":
            labels |= {"bottom": "dress" if person.top.kind == "dress" else person.bottom.kind}
            if person.top.kind != "dress":
                labels |= {"bottom_colour": person.bottom.colour}
    if len(scene.things) == 1:
        labels |= {"thing": scene.things[0].kind, "thing_colour": scene.things[0].colour}
    if scene.shot == "hand":
        spec = scene.hands[0].spec
        labels |= {
            "gesture": spec.gesture,
            "digits": len(spec.raised()),
            "hand_side": spec.side,
            "hand_view": spec.view,
        }
    return labels


WORLD_VERSION = 1
"""Raised when the same seed gives other bytes than before, in any mix but `broad`."""
BROAD = "broad"
BROAD_VERSION = 1
"""Raised when the same seed of the mix `broad` gives other bytes than before; judges never use this mix."""


@dataclass(frozen=True)
class Sample:
    """One picture with what is known of it; `truth` is None unless it was asked for."""

    image: NDArray[np.uint8]
    caption: str
    captions: tuple[str, ...]
    labels: Labels
    scene: Scene
    truth: Truth | None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What to draw: the mix of shots, or one shot or style; a fault to plant and how gross it is; the truth or not.

    The mix `broad` alone has the newer things, places, lights and words, and the named characters: `character` is a
    name, `age` one of their ages ("" for the one most pictures show).
    """

    mix: str = "mini"
    shot: str = ""
    style: str = ""
    fault: str = ""
    amount: float = 1.0
    aspect: float = 1.0
    with_truth: bool = False
    character: str = ""
    age: str = ""


def make_sample(seed: int, *, size: int = 128, mix: str = "mini", wish: Wish | None = None) -> Sample:
    """Draw the sample of a seed, `size` pixels high, as wished (a wish replaces `mix`).

    A fault that applies to nothing in the scene is not planted: look at `Sample.faults`.
    """
    wish = wish or Wish(mix=mix)
    if wish.mix == BROAD:
        rng = random.Random(f"broad {BROAD_VERSION} {seed}")
        cast = Cast(wish.character, wish.age)
        scene = make_broad_scene(rng, shot=wish.shot, style=wish.style, aspect=wish.aspect, cast=cast)
        captions = make_broad_captions(scene, rng)
    else:
        rng = random.Random(f"world {WORLD_VERSION} {seed}")
        scene = make_scene(rng, mix=wish.mix, shot=wish.shot, style=wish.style, aspect=wish.aspect)
        captions = make_captions(scene, rng)
    caption = captions[rng.choices(range(4), (0.4, 0.3, 0.2, 0.1))[0]]
    shapes = make_shapes(scene)
    if wish.fault:
        shapes = plant_fault(shapes, wish.fault, rng, amount=wish.amount) or shapes
    image, truth = draw_scene(scene, shapes, height_px=size, with_truth=wish.with_truth)
    return Sample(image, caption, captions, make_labels(scene), scene, truth, shapes.faults)


def draw_scene(
    scene: Scene, shapes: Shapes, *, height_px: int, with_truth: bool, window: Window | None = None
) -> tuple[NDArray[np.uint8], Truth | None]:
    """Draw a scene at a height in pixels: uint8 [H, W, 3] and, if wanted, its truth; with a window, only that part."""
    ink = Ink(round(height_px * scene.aspect), height_px, scene.style, with_ids=with_truth, window=window)
    tree = PartTree()
    draw_place(ink, tree, scene.place)
    light_subjects(ink)
    counts: dict[str, int] = {}
    for thing in scene.things:
        counts[thing.kind] = counts.get(thing.kind, 0) + 1
        draw_thing(ink, tree, thing, f"{thing.kind}{counts[thing.kind]}")
    for number, body in enumerate(shapes.bodies, 1):
        draw_person(ink, tree, body, f"person{number}")
        _draw_held(ink, tree, body, number)
    for number, (view, hand) in enumerate(zip(scene.hands, shapes.hands, strict=True), 1):
        _draw_hand_view(ink, tree, view, hand, f"hand{number}")
    for fault in shapes.faults:
        tree.add(fault.where, fault=fault.kind, fault_parts=list(fault.parts), fault_amount=fault.amount)
    if not with_truth:
        return ink.picture(), None
    return ink.picture(), settle_states(Truth(ink.part_ids(), tuple(tree.paths), tree.facts))


def _draw_held(ink: Ink, tree: PartTree, body: BodyShape, number: int) -> None:
    if body.held_at is None or not body.person.held:
        return
    heights = {"cup": 0.085, "ball": 0.12, "flower": 0.19, "balloon": 0.50, "book": 0.15}
    height = heights[body.person.held] * body.height
    lower = {"cup": 0.45j, "ball": 0.45j, "book": 0.40j}.get(body.person.held, 0j) * height
    foot = body.held_at + (lower or 0.03j)
    thing = Thing(body.person.held, body.person.held_colour, foot, height)
    draw_thing(ink, tree, thing, f"person{number}/held_{thing.kind}")


def _draw_hand_view(ink: Ink, tree: PartTree, view: HandView, hand: HandShape, path: str) -> None:
    skin = CLOTHES[view.glove] if view.glove else SKIN[view.skin]
    size, along, wrist = view.size, hand.along, hand.wrist
    if view.exception is not None:
        tree.add(path, exception=view.exception.kind, level=view.exception.level)
    forearm = (wrist - along * size * 0.9, wrist + along * size * 0.03, 0.165 * size, 0.128 * size)
    ink.tube(*forearm, skin, tree.add(f"{path}_arm/lower", colour=skin))
    draw_hand(ink, tree, hand, skin, path)
    # The skin of the wrist runs into the palm without a line.
    ink.tube(
        wrist - along * size * 0.05,
        wrist + along * size * 0.05,
        0.120 * size,
        0.110 * size,
        skin,
        None,
        edge=False,
    )
    ink.mark(
        tube_path(wrist + along * size * 0.02, wrist + along * size * 0.06, 0.110 * size, 0.110 * size),
        tree.add(f"{path}/palm"),
    )
    sleeve = CLOTHES[view.sleeve]
    start = wrist - along * size * 0.22
    ink.tube(
        start,
        start - along * size,
        0.185 * size,
        0.23 * size,
        sleeve,
        tree.add(f"{path}_arm/sleeve", colour=sleeve),
    )
