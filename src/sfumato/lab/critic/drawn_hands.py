"""Crops of hands from the drawn world: close-ups, hands of people, and places without a hand, some with a planted fault.

Knows the world and the form of examples, no network. Start reading at `draw_hand_example`.
"""

from __future__ import annotations

import random
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.critic.anatomy.labels import CAUSES, CROP_PX, DIGITS
from sfumato.lab.critic.examples import DRAWN, IGNORED, UNKNOWN, HandExamples, join_examples, mark_cores
from sfumato.world.hands3d.labels import ARM, BACKGROUND, PALM, nail_id, segment_id
from sfumato.world.people.goofs import HAND_FAULTS
from sfumato.world.stream import Sample, Wish, make_sample
from sfumato.world.truth import STATES, Truth

SHOTS = {"hand": 0.62, "hands": 0.06, "half": 0.16, "full": 0.10, "none": 0.06}
CARTOON_SHARE, FAULT_SHARE = 0.35, 0.5
LEAST_AMOUNT = 0.4
# A crop is this many times the longer side of the hand's box; finders' boxes, enlarged, lie in the middle.
LEAST_MARGIN, MOST_MARGIN = 1.1, 1.9
MOST_STRAY = 0.12
CLOSE_UP_PX, PERSON_PX = (110, 300), (300, 900)
# Hands of fewer px than this are not worth a crop.
LEAST_HAND_PX = 20
ATTEMPTS = 8
_HAND = re.compile(r"^(hand\d+|person\d+/arm_(left|right)/hand)$")


def draw_hand_examples(first: int, count: int) -> HandExamples:
    """Draw the examples of `count` seeds."""
    return join_examples([draw_hand_example(seed) for seed in range(first, first + count)])


def draw_hand_example(seed: int, *, shot: str = "", fault: str | None = None, style: str = "") -> HandExamples:
    """Draw one crop; the shot, the style and the fault ("" for none) are drawn by chance where they are left out."""
    rng = random.Random(f"drawn hand {seed}")
    shot = shot or rng.choices(list(SHOTS), list(SHOTS.values()))[0]
    style = style or ("cartoon" if rng.random() < CARTOON_SHARE else "photo")
    if shot == "none":
        return _draw_without(rng, seed, style)
    if fault is None:
        fault = rng.choice(list(HAND_FAULTS)) if rng.random() < FAULT_SHARE else ""
    for attempt in range(ATTEMPTS):
        height = rng.randint(*(CLOSE_UP_PX if shot in ("hand", "hands") else PERSON_PX))
        amount = rng.uniform(LEAST_AMOUNT, 1.0)
        wish = Wish(shot=shot, style=style, fault=fault, amount=amount, with_truth=True)
        # Seeds of further attempts lie far from those of other examples.
        sample = make_sample(seed + attempt * 1_000_003, size=height, wish=wish)
        path = _choose_hand(sample, rng)
        if path and (sample.faults or not fault):
            return _crop_hand(sample, path, rng)
    return _draw_without(rng, seed, style)


def _choose_hand(sample: Sample, rng: random.Random) -> str:
    """Return the path of a hand that is large enough, the faulty one if there is one; "" for none."""
    assert sample.truth is not None
    every = (path for path in sample.truth.names() if _HAND.match(path))
    paths = [sample.faults[0].where] if sample.faults else every
    large = [path for path in paths if (box := sample.truth.box(path)) and _longest(box) >= LEAST_HAND_PX]
    return rng.choice(large) if large else ""


def _longest(box: tuple[int, int, int, int]) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _crop_hand(sample: Sample, path: str, rng: random.Random) -> HandExamples:
    truth = sample.truth
    assert truth is not None
    box = truth.box(path)
    assert box is not None
    side = _longest(box) * rng.uniform(LEAST_MARGIN, MOST_MARGIN)
    stray = side * MOST_STRAY
    x = (box[0] + box[2]) / 2 + rng.uniform(-stray, stray)
    y = (box[1] + box[3]) / 2 + rng.uniform(-stray, stray)
    window = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    image = _cut(Image.fromarray(sample.image), window, Image.Resampling.BICUBIC)
    ids = _cut(Image.fromarray(_label(truth, path)), window, Image.Resampling.NEAREST)
    states = np.full(len(DIGITS), STATES.index("absent"), np.uint8)
    tips = np.full((len(DIGITS), 2), np.nan, np.float32)
    height = truth.ids.shape[0]
    for number, name in enumerate((*DIGITS[:5], "extra1")):
        facts = truth.facts.get(f"{path}/{name}") or (truth.facts.get(f"{path}/split1") if number == 5 else None)
        if not facts or "state" not in facts:
            continue
        states[number] = STATES.index(str(facts["state"]))
        if facts["state"] != "visible":
            continue
        tip_x, tip_y = facts["tip"]  # pyright: ignore[reportGeneralTypeIssues]
        at = (np.array([tip_x, tip_y]) * height - window[:2]) * CROP_PX / side
        if (at < 0).any() or (at >= CROP_PX).any():
            states[number] = STATES.index("out-of-frame")
        else:
            tips[number] = at
    there = states != STATES.index("absent")
    hand = truth.facts.get(path, {})
    countable = bool((states[there] == STATES.index("visible")).all())
    kind = str(hand.get("fault", "")).split("_")[0]
    cause = CAUSES.index(kind) if kind in CAUSES else 0
    if cause and not countable and not (kind in ("extra", "split") and states[5] == STATES.index("visible")):
        cause = UNKNOWN
    # A finger lost by amputation looks like one that was forgotten.
    exception = bool(hand.get("exception")) or any(person.exception for person, _ in sample.scene.people)
    if exception and not cause:
        cause = UNKNOWN
    return _pack(
        image, mark_cores(ids), tips, states, cause=cause, countable=countable, right=int(hand.get("side") == "right"),
        cartoon=sample.scene.style == "cartoon", exception=exception,
    )  # fmt: skip


def _label(truth: Truth, path: str) -> NDArray[np.uint8]:
    """Return the label id of each pixel: this hand and its arm; other hands are not asked for."""
    arm = f"{path}_arm/" if path.startswith("hand") else path.removesuffix("hand")
    table = np.zeros(len(truth.paths), np.uint8)
    for number, name in enumerate(truth.paths):
        table[number] = _label_path(name, path, arm)
    return table[truth.ids]


def _label_path(name: str, hand: str, arm: str) -> int:
    if name == hand or name.startswith(hand + "/"):
        steps = name.removeprefix(hand).strip("/").split("/")
        digit = (*DIGITS[:5], "extra1").index(steps[0]) + 1 if steps[0] in (*DIGITS[:5], "extra1") else 0
        if steps[0] == "split1":
            digit = len(DIGITS)
        if not digit:
            # A web joins two fused digits; whose it is cannot be said.
            return IGNORED if steps[0] == "web" else PALM
        return nail_id(digit) if steps[-1] == "nail" else segment_id(digit, int(steps[-1][-1]))
    if name.startswith(arm):
        return ARM
    return IGNORED if "/hand" in name or name.startswith("hand") else BACKGROUND


def _cut(picture: Image.Image, window: tuple[float, float, float, float], way: Image.Resampling) -> NDArray[np.uint8]:
    """Return the window as CROP_PX square; what lies outside the picture repeats its border, unlabelled."""
    labels = picture.mode == "L"
    pad = int(max(0, -min(window[:2]), window[2] - picture.width, window[3] - picture.height)) + 2
    rows = np.asarray(picture)
    widths = ((pad, pad), (pad, pad)) if labels else ((pad, pad), (pad, pad), (0, 0))
    padded = np.pad(rows, widths) if labels else np.pad(rows, widths, mode="edge")
    left, top, right, bottom = (value + pad for value in window)
    if way == Image.Resampling.BICUBIC and window[2] - window[0] > CROP_PX:
        way = Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(padded).resize((CROP_PX, CROP_PX), way, box=(left, top, right, bottom)))


def _draw_without(rng: random.Random, seed: int, style: str) -> HandExamples:
    """Draw part of a scene in which no hand is seen large; hands in it are not asked for."""
    sample = make_sample(seed, size=rng.randint(128, 500), wish=Wish(style=style, with_truth=True))
    truth = sample.truth
    assert truth is not None
    height, width = truth.ids.shape
    side = rng.randint(48, min(height, width))
    left, top = rng.randint(0, width - side), rng.randint(0, height - side)
    window = (left, top, left + side, top + side)
    table = np.array([IGNORED if "hand" in name else BACKGROUND for name in truth.paths], np.uint8)
    ids = _cut(Image.fromarray(table[truth.ids]), window, Image.Resampling.NEAREST)
    image = _cut(Image.fromarray(sample.image), window, Image.Resampling.BICUBIC)
    states = np.full(len(DIGITS), STATES.index("absent"), np.uint8)
    tips = np.full((len(DIGITS), 2), np.nan, np.float32)
    return _pack(
        image, ids, tips, states, cause=UNKNOWN, countable=False, right=UNKNOWN, cartoon=style == "cartoon",
        exception=False, hand=not (ids == IGNORED).any(),
    )  # fmt: skip


def _pack(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    tips: NDArray[np.float32],
    states: NDArray[np.uint8],
    *,
    cause: int,
    countable: bool,
    right: int,
    cartoon: bool,
    exception: bool,
    hand: bool = True,
) -> HandExamples:
    return HandExamples(
        images=image[None],
        labels=labels[None],
        tips=tips[None],
        states=states[None],
        cause=np.array([cause], np.uint8),
        countable=np.array([countable]),
        right=np.array([right], np.uint8),
        cartoon=np.array([cartoon]),
        hand=np.array([hand]),
        source=np.array([DRAWN], np.uint8),
        exception=np.array([exception]),
    )
