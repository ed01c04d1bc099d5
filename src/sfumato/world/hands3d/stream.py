"""Hands from a seed: picture, part map, joints, states of the digits, and captions in the words of the drawn world.

Shape, pose, fault, view, skin, light, backdrop and finish draw from streams of their own. So a seed gives the same
hand before the same place in the same light, with and without a fault. Start reading at `make_hand_picture`.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sfumato.core.errors import RequestError
from sfumato.core.seeds import sub_stream
from sfumato.world.caption import make_captions
from sfumato.world.hands3d.backdrop import draw_backdrop
from sfumato.world.hands3d.camera import Framing, aim
from sfumato.world.hands3d.draw import draw_hand_layer, lay_over
from sfumato.world.hands3d.faults import FAULTS_3D, draw_fault
from sfumato.world.hands3d.labels import PART_PATHS
from sfumato.world.hands3d.light import draw_light
from sfumato.world.hands3d.mesh import Floats, HandMesh
from sfumato.world.hands3d.pose import GESTURES_3D, draw_pose
from sfumato.world.hands3d.posed import add_sleeve, pose_hand
from sfumato.world.hands3d.rig import shape_hand
from sfumato.world.hands3d.skin import draw_skin, linear
from sfumato.world.hands3d.states import DigitTruth, find_states, is_countable
from sfumato.world.palette import CLOTHES, SKIN
from sfumato.world.people.hand import HandSpec
from sfumato.world.people.person import HandView
from sfumato.world.places import PLAIN, Place
from sfumato.world.scene import Scene
from sfumato.world.shapes import Fault
from sfumato.world.truth import Truth

HANDS3D_VERSION = 1
"""Raised when the same seed gives other bytes than before."""
MIXES_3D: dict[str, dict[str, float]] = {
    "captions": {
        "open": 0.38, "fist": 0.12, "pointing": 0.10, "one": 0.05, "two": 0.12, "three": 0.09, "four": 0.09, "five": 0.05,
    },
    "any": {
        "open": 0.26, "relaxed": 0.20, "mixed": 0.16, "grip": 0.08, "five": 0.05, "pointing": 0.04, "one": 0.03,
        "two": 0.04, "three": 0.04, "four": 0.04, "fist": 0.04, "pinch": 0.02,
    },
}  # fmt: skip
"""Shares of gestures: `captions` is what mini's captions ask for, framed as they are; `any` is for eyes that must cope."""
SIDE_LIMIT = 0.35
"""A hand is seen from the side when its palm's normal and the camera differ by more than this cosine allows."""
SMALLEST_PX, LARGEST_PX = 32, 1024
_CAPTION_GESTURES = {"mixed": "relaxed", "pinch": "grip"}


@dataclass(frozen=True)
class HandWish:
    """What to draw: a mix of gestures and views, or one gesture, side, view (palm, back) or skin; a fault, how gross."""

    mix: str = "captions"
    gesture: str = ""
    side: str = ""
    view: str = ""
    skin: str = ""
    fault: str = ""
    amount: float = 1.0

    def check(self) -> None:
        """Raise RequestError for a word that does not exist here."""
        for what, word, known in (
            ("mix", self.mix, tuple(MIXES_3D)),
            ("gesture", self.gesture, GESTURES_3D),
            ("side", self.side, ("left", "right")),
            ("view", self.view, ("palm", "back")),
            ("skin", self.skin, tuple(SKIN)),
            ("fault", self.fault, FAULTS_3D),
        ):
            if word and word not in known:
                raise RequestError(f"no such {what} of 3-D hands", got=word, do=f"Use one of: {', '.join(known)}.")
        if not 0.0 < self.amount <= 1.0:
            raise RequestError(
                "the amount of a fault is out of range", got=self.amount, do="Use more than 0, at most 1."
            )


@dataclass(frozen=True)
class HandPicture:
    """One hand: picture, label of each pixel (see `labels`), joints in pixels, and what is known of its digits.

    `countable` says that the number of digits of the whole hand can be told from the picture.
    """

    image: NDArray[np.uint8]  # [H, W, 3]
    parts: NDArray[np.uint8]  # [H, W]
    joints: Floats  # [21 or 25, 2], x and y; may lie outside the picture; NaN for a missing digit
    digits: tuple[DigitTruth, ...]
    caption: str
    captions: tuple[str, ...]
    labels: dict[str, str | int]
    countable: bool
    scene: Scene
    fault: Fault | None

    def truth(self) -> Truth:
        """Return the truth in the form of the drawn world: ids with paths, and facts of the hand and its digits."""
        spec = self.scene.hands[0].spec
        facts: dict[str, dict[str, object]] = {"hand1": {"side": spec.side, "view": spec.view, "gesture": spec.gesture}}
        for digit in self.digits:
            facts[f"hand1/{digit.name}"] = digit.to_facts()
        if self.fault is not None:
            facts["hand1"] |= {"fault": self.fault.kind, "fault_parts": list(self.fault.parts)}
        return Truth(self.parts.astype(np.uint16), PART_PATHS, facts)


def make_hand_picture(mesh: HandMesh, seed: int, *, size: int = 128, wish: HandWish | None = None) -> HandPicture:
    """Draw the hand of a seed, `size` pixels wide and high, as wished.

    The same seed, size and wish give the same bytes on the same machine; a fault changes nothing but the hand.

    Raises:
        RequestError: a word or size that does not exist here.
    """
    wish = wish or HandWish()
    wish.check()
    if not SMALLEST_PX <= size <= LARGEST_PX:
        raise RequestError("the size is out of range", got=size, do=f"Ask for {SMALLEST_PX} to {LARGEST_PX} pixels.")
    words = _draw_words(seed, wish)
    framing = _draw_framing(seed, wish.mix, words)
    rest = shape_hand(mesh, _stream(seed, "shape"))
    pose = draw_pose(rest, words.gesture, _stream(seed, "pose"))
    skin = draw_skin(words.skin, rest.age, np.array(words.sleeve_rgb), _stream(seed, "skin"))
    plan = draw_fault(wish.fault, pose, _stream(seed, "fault"), wish.amount) if wish.fault else None
    sound = pose_hand(rest, pose, skin.knuckles)
    camera = aim(rest, sound, framing, _stream(seed, "camera"))
    hand = pose_hand(rest, pose, skin.knuckles, plan) if plan else sound
    clothed = add_sleeve(rest, hand, words.hem, words.sleeve_width) if words.sleeve else hand
    behind = draw_backdrop("place" if wish.mix == "captions" else "any", size, _stream(seed, "backdrop"))
    light = draw_light(
        _stream(seed, "light"), linear(behind.picture.mean((0, 1)).astype(np.float64)), skin.colours.back
    )
    extra_of = plan.digit if plan and plan.kind == "extra_digit" else 0
    layer = draw_hand_layer(rest, clothed, camera, light, skin, size=size, extra_of=extra_of)
    image = _finish(lay_over(layer, behind.picture), _stream(seed, "finish"), rough=wish.mix == "any")
    joints, parts = camera.project(hand.joints), layer.parts
    joints[:, :2] *= size
    digits = find_states(hand, pose, camera, parts, lost=plan.digit if plan and plan.kind == "missing_digit" else 0)
    if words.side == "right":
        image, parts = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(parts[:, ::-1])
        joints[:, 0] = size - joints[:, 0]
    view = "palm" if camera.facing > SIDE_LIMIT else "back" if camera.facing < -SIDE_LIMIT else "side"
    scene = _make_scene(words, view, behind.place or Place(PLAIN), framing)
    rng = random.Random(f"hand3d {HANDS3D_VERSION} {seed} caption")
    captions = make_captions(scene, rng)
    caption = captions[rng.choices(range(4), (0.4, 0.3, 0.2, 0.1))[0]]
    fault = Fault(plan.kind, "hand1", plan.parts(), wish.amount) if plan else None
    countable = is_countable(digits)
    labels = _make_labels(words, view, behind.place.kind if behind.place else "other", digits, countable=countable)
    return HandPicture(image, parts, joints[:, :2].copy(), digits, caption, captions, labels, countable, scene, fault)


def _stream(seed: int, purpose: str) -> np.random.Generator:
    return sub_stream(seed, "hand3d", HANDS3D_VERSION, purpose)


@dataclass(frozen=True)
class _Words:
    gesture: str
    side: str
    palm: bool
    skin: str
    sleeve: str
    sleeve_rgb: tuple[float, float, float]
    hem: float
    sleeve_width: float


def _draw_words(seed: int, wish: HandWish) -> _Words:
    rng = _stream(seed, "words")
    shares = MIXES_3D[wish.mix]
    gesture = list(shares)[rng.choice(len(shares), p=np.array(list(shares.values())) / sum(shares.values()))]
    side = ("left", "right")[rng.integers(2)]
    palm = bool(rng.random() < 0.5)
    skin = tuple(SKIN)[rng.choice(3, p=(0.42, 0.3, 0.28))]
    colour = tuple(CLOTHES)[rng.integers(len(CLOTHES))]
    red, green, blue = np.clip(np.array(CLOTHES[colour]) + rng.uniform(-0.03, 0.03, 3), 0, 1)
    bare = rng.random() < (0.0 if wish.mix == "captions" else 0.45)
    return _Words(
        gesture=wish.gesture or gesture,
        side=wish.side or side,
        palm=wish.view == "palm" if wish.view else palm,
        skin=wish.skin or skin,
        sleeve="" if bare else colour,
        sleeve_rgb=(float(red), float(green), float(blue)),
        hem=float(rng.uniform(0.78, 0.95) if wish.mix == "captions" else rng.uniform(0.6, 0.97)),
        sleeve_width=float(rng.uniform(0.05, 0.11)),
    )


def _draw_framing(seed: int, mix: str, words: _Words) -> Framing:
    rng = _stream(seed, "view")
    if mix == "captions":
        lean = rng.uniform(-16, 16)
        if words.gesture == "pointing":
            lean = (-82.0, 82.0)[rng.integers(2)] + rng.uniform(-8, 8)
        shift = rng.normal(0, 0.025, 2)
        return Framing(
            words.palm, 0.22, float(lean), float(rng.uniform(0.66, 0.84)), (float(shift[0]), float(shift[1]))
        )
    lean = rng.uniform(-180, 180) if rng.random() < 0.4 else rng.normal(0, 28)
    stray = 0.3 if rng.random() < 0.55 else 0.8
    extent = rng.uniform(0.5, 0.95) if rng.random() < 0.8 else rng.uniform(0.95, 1.35)
    shift = rng.normal(0, 0.05 if extent < 0.95 else 0.1, 2)
    return Framing(words.palm, stray, float(lean), float(extent), (float(shift[0]), float(shift[1])))


def _make_scene(words: _Words, view: str, place: Place, framing: Framing) -> Scene:
    spec = HandSpec(words.side, view, _CAPTION_GESTURES.get(words.gesture, words.gesture), 5)
    hand = HandView(spec, words.skin, "", words.sleeve, complex(0.5, 0.5), framing.extent, framing.lean_deg)
    return Scene("hand", "photo", place, hands=(hand,))


def _make_labels(
    words: _Words, view: str, place: str, digits: tuple[DigitTruth, ...], *, countable: bool
) -> dict[str, str | int]:
    return {
        "shot": "hand",
        "style": "photo",
        "people": 0,
        "place": place,
        "gesture": words.gesture,
        "hand_side": words.side,
        "hand_view": view,
        "skin": words.skin,
        "sleeve": words.sleeve or "none",
        "digits": sum(digit.state == "visible" for digit in digits),
        "digits_of_hand": sum(digit.state != "absent" for digit in digits),
        "countable": int(countable),
    }


def _finish(picture: Floats, rng: np.random.Generator, *, rough: bool) -> NDArray[np.uint8]:
    """Blur, noise and JPEG of a camera, in uint8; every number is drawn whether it is used or not."""
    blur, noise, quality = rng.uniform(0.3, 0.9), rng.uniform(0.0, 0.018), int(rng.integers(55, 97))
    blurred, packed = rng.random() < 0.4, rng.random() < 0.5
    grain = rng.standard_normal(picture.shape, dtype=np.float32)
    if rough and blurred:
        picture = ndimage.gaussian_filter(picture, (blur, blur, 0), truncate=2.5)
    picture = picture + grain * np.float32(noise if rough else 0.3 * noise)
    image = (np.clip(picture, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)
    if rough and packed:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        image = np.asarray(Image.open(stream), np.uint8).copy()
    return image
