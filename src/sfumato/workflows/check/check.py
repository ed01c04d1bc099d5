"""Check the hands of a picture: find them or take the user's boxes, judge each, and say what was seen.

Knows picture files, finders and the critic; draws nothing. Start reading at `check_picture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.canvas.formats.images import read_texts
from sfumato.canvas.pixels import PixelStore
from sfumato.core.errors import RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.metadata.read import read_parameters
from sfumato.core.serialize import parse_json
from sfumato.critic.anatomy.bodies import JudgedBody, judge_bodies
from sfumato.critic.anatomy.judge import JudgedHand, judge_hands
from sfumato.critic.anatomy.parser import Parser, has_parser, load_parser
from sfumato.critic.anatomy.verdict import find_licences
from sfumato.workflows.find.find import find_things, open_store

# Hands of fewer px than this show no digits.
LEAST_HAND_PX = 16
NO_PARSER = "the parser of hands is not trained yet"
BY_USER = "user"


@dataclass(frozen=True, eq=False)
class UnreadHand:
    """Hold a hand that nobody could read: its box, and why."""

    box: PixelBox
    reason: str

    def to_json(self) -> dict[str, object]:
        """Return the form of `sfumato check --json`."""
        box = self.box
        return {
            "box": [box.left, box.top, box.width, box.height],
            "digits": None,
            "parts": [],
            "verdict": "not-countable",
            "reason": self.reason,
            "findings": [],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckedPicture:
    """Hold what was seen of one picture: its hands with verdicts, what its prompt allows, and the parts that lacked."""

    path: str
    size: PixelSize
    hands: tuple[JudgedHand | UnreadHand, ...]
    prompt: str
    licences: tuple[str, ...]
    missing: tuple[str, ...] = ()
    bodies: tuple[JudgedBody, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the form of `sfumato check --json`."""
        return {
            "path": self.path,
            "size": [self.size.width, self.size.height],
            "hands": [hand.to_json() for hand in self.hands],
            "bodies": [body.to_json() for body in self.bodies],
            "licences": list(self.licences),
            "missing": list(self.missing),
        }

    def to_lines(self) -> list[str]:
        """Return the verdicts as lines of plain text."""
        lines = [f"{self.path}: {len(self.hands) or 'no'} hand{'s' if len(self.hands) != 1 else ''} found"]
        for hand in self.hands:
            box = hand.box
            place = f"  {box.left},{box.top},{box.width},{box.height}"
            if isinstance(hand, UnreadHand):
                lines.append(f"{place}  not-countable  {hand.reason}")
                continue
            verdict = hand.verdict
            digits = f"{count_words(verdict.digits)} ({verdict.count_sure:.2f})"
            lines.append(f"{place}  {verdict.word} ({verdict.sure:.2f})  {digits}  {verdict.reason}")
        for body in self.bodies:
            box = body.person.box
            lines.append(f"  {box.left},{box.top},{box.width},{box.height}  body {body.verdict}  {body.reason}")
        return lines


def count_words(digits: int) -> str:
    """Return a number of digits in words, as 1 digit or 5 digits."""
    return f"{digits} digit{'s' if digits != 1 else ''}"


def check_picture(
    picture: Path | str | Image.Image | PixelStore,
    *,
    prompt: str | None = None,
    boxes: Sequence[PixelBox] = (),
    by: str = "",
    parser: Parser | None = None,
) -> CheckedPicture:
    """Check the hands of a picture: a file, a PIL image, or an open canvas.

    `prompt` says what was asked for; left out, the one that the file stores counts. `boxes` are hands that the caller
    points at, so that no finder looks. `by` names one finder. Without a trained parser every hand is not countable.

    Raises:
        RequestError: no such picture, an unknown finder, or a box outside the picture.
        UnsafeFileError: the picture has more pixels than pictures from outside may have.
        ModelError: no finder can look, because its parts were not fetched yet; or the parser's files are damaged.
    """
    store = open_store(picture)
    missing: tuple[str, ...] = ()
    bodies: tuple[JudgedBody, ...] = ()
    if boxes:
        hands = [Found(kind="hand", box=check_box(box, store.size), confidence=1.0, by=BY_USER) for box in boxes]
    else:
        # A finder that was named knows hands alone perhaps; then bodies are not looked at.
        things = find_things(picture, kinds=("hand",) if by else ("hand", "person"), by=by)
        hands, missing = [one for one in things.found if one.kind == "hand"], things.missing
        bodies = judge_bodies(things.found, store.size)
    hands.sort(key=lambda hand: hand.box)
    words = read_prompt(picture) if prompt is None else prompt
    licences = find_licences(words)
    parser = parser or (_open_shipped() if has_parser() else None)
    judged: list[JudgedHand | UnreadHand] = []
    for hand in hands:
        if parser is None:
            judged.append(UnreadHand(hand.box, NO_PARSER))
        elif max(hand.box.width, hand.box.height) < LEAST_HAND_PX:
            judged.append(UnreadHand(hand.box, f"a hand of fewer than {LEAST_HAND_PX} px shows no digits"))
        else:
            judged += judge_hands(parser, store, [hand], licences=licences, prompted=bool(words))
    return CheckedPicture(
        path=str(picture) if isinstance(picture, Path | str) else "",
        size=store.size,
        hands=tuple(judged),
        prompt=words,
        licences=licences,
        missing=missing,
        bodies=bodies,
    )


@lru_cache(maxsize=1)
def _open_shipped() -> Parser:
    return load_parser()


def check_box(box: PixelBox, size: PixelSize) -> PixelBox:
    """Return the part of a box inside a picture.

    Raises:
        RequestError: it lies outside.
    """
    inside = box.find_overlap(size.box)
    if inside is None:
        place = f"{box.left},{box.top},{box.width},{box.height}"
        raise RequestError("the box lies outside the picture", got=place, do=f"The picture has {size} px.")
    return inside


def read_prompt(picture: Path | str | Image.Image | PixelStore) -> str:
    """Return the prompt that a picture file stores, ours or another tool's; "" where there is none."""
    if not isinstance(picture, Path | str) or Path(picture).suffix.lower() in (".tif", ".tiff", ".dzi"):
        return ""
    texts = read_texts(picture)
    try:
        request = parse_json(texts["sfumato"], what="the request in the picture") if "sfumato" in texts else None
    except RequestError:
        request = None
    if isinstance(request, dict) and isinstance(request.get("prompt"), str):
        return str(request["prompt"])
    return read_parameters(texts["parameters"]).prompt if "parameters" in texts else ""
