"""Which parts of a picture are worth drawing anew, and what their crops are called.

A part is taken where its look is predictable and it has fewer pixels than the model could give it. Knows finders by
their interface only. Start reading at `PartChooser.find`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sfumato.canvas.pixels import PixelStore
from sfumato.core.focus import AUTO, FocusBox, FocusSettings
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import RenderRequest
from sfumato.critic.finders.finder import Finder
from sfumato.models.contract import ModelContract
from sfumato.render.passes.focus import LeftPart
from sfumato.render.passes.focus_part import FocusTarget, find_crop
from sfumato.workflows.focus.kinds import USER_BOX, choose_kinds, find_row, grow_core
from sfumato.workflows.focus.owner import ANYBODY, choose_owner, describe_person, list_owners, word_crop
from sfumato.workflows.focus.read_face import FaceReader
from sfumato.workflows.focus.words import list_things

# A part gains nothing where its crop is drawn less than so many times larger than it is.
LEAST_GAIN = 1.4
# Crops of larger parts show less around them, down to this; below it the model no longer knows what it sees.
LEAST_CONTEXT = 1.8
# Two boxes of a kind that share more than this of the smaller one are one thing.
SAME_FRAC = 0.6
# A word that was read at least so surely may name a person; one of the crop's own words needs more.
SURE_OWNER, SURE_WORD = 0.6, 0.8
FACE, HEAD = "face", "head"
# The name of the finder of mini's world; importing it would import its network.
DRAWN = "drawn"
# Heads of mini's world in the box of a person who stands: share of its height, and width over height with hair.
HEAD_FRAC, HEAD_ASPECT, LEAST_TALL = 0.17, 0.85, 2.6


@dataclass(eq=False, kw_only=True)
class PartChooser:
    """Choose the parts of one picture, level by level. A leaf."""

    request: RenderRequest
    settings: FocusSettings
    contract: ModelContract
    finders: Sequence[Finder]
    reader: FaceReader | None = None
    _seen: dict[PixelStore, tuple[Found, ...]] = field(
        init=False, default_factory=dict["PixelStore", "tuple[Found, ...]"]
    )

    def find(self, pixels: PixelStore, level: int, kept: Sequence[PixelBox]) -> tuple[FocusTarget | LeftPart, ...]:
        """Name the parts of a level: what to draw, the surest first, and what to leave and why."""
        parts = list[FocusTarget | LeftPart]()
        if level == 0:
            parts += self.find_user_boxes(pixels.size)
        if not self.settings.words:
            return tuple(parts)
        taken, wanted = list[Found](), choose_kinds(self.settings.words)
        looked = self._look(pixels)
        for one in looked:
            if find_row(one.kind).level != level or any(_is_same(one, other) for other in taken):
                continue
            if one.kind == HEAD and any(other.kind == FACE and _shares(one, other) for other in looked):
                # Its face was found, which says more.
                continue
            taken.append(one)
            reason = self._find_reason(one, pixels.size, wanted, kept)
            parts.append(
                LeftPart(kind=one.kind, box=one.box, reason=reason) if reason else self._take(one, pixels, kept)
            )
        return tuple(parts)

    def find_user_boxes(self, picture: PixelSize) -> tuple[FocusTarget, ...]:
        """Return the boxes that the user named; they are worked on whatever they show."""
        return tuple(self._take_user_box(one, picture) for one in self.settings.boxes)

    def _look(self, pixels: PixelStore) -> tuple[Found, ...]:
        """Return what all finders see, the surest first; the picture of a level without changes is looked at once."""
        if pixels not in self._seen:
            found = [one for finder in self.finders for one in finder.find(pixels)]
            found += propose_heads(found, pixels.size)
            self._seen = {pixels: tuple(sorted(found, key=lambda one: (-one.confidence, one.kind, one.box)))}
        return self._seen[pixels]

    def _find_reason(self, one: Found, picture: PixelSize, wanted: frozenset[str], kept: Sequence[PixelBox]) -> str:
        """Return why a part is left, nothing where it is taken."""
        if one.kind not in wanted:
            is_auto = self.settings.words == (AUTO,)
            return "its look is not predictable" if is_auto else "this kind was not named"
        if _count_depth(one.box, kept) >= self.settings.depth:
            return "it lies in parts that were drawn anew, as deep as focus goes"
        context = self._choose_context(one)
        frame, canvas = find_crop(one.box, context, picture, self.contract)
        if canvas.width < LEAST_GAIN * frame.width:
            return f"it is large enough: {one.box.width}x{one.box.height} px"
        return ""

    def _choose_context(self, one: Found) -> float:
        """Return the side of the crop in sides of the box: as asked, or less where that leaves the crop its gain."""
        wanted = find_row(one.kind).context or self.settings.context
        # One px more: the crop is rounded up.
        most = (self.contract.native.width - LEAST_GAIN) / (LEAST_GAIN * max(one.box.width, one.box.height))
        return min(wanted, max(LEAST_CONTEXT, most))

    def _take(self, one: Found, pixels: PixelStore, kept: Sequence[PixelBox]) -> FocusTarget:
        context = self._choose_context(one)
        return FocusTarget(
            kind=one.kind,
            box=one.box,
            core=grow_core(one.kind, one.box, pixels.size),
            context=context,
            prompt=self._word(one, context, pixels),
            depth=_count_depth(one.box, kept),
            oval=find_row(one.kind).oval,
            is_blank=one.kind == HEAD,
        )

    def _word(self, one: Found, context: float, pixels: PixelStore) -> str:
        """Return the prompt of a crop: in the words of the person it shows, else in those that were read of it."""
        things = {thing.word: thing.phrase for thing in list_things(self.request.prompt)}
        owners, seen = list_owners(self.request.prompt), dict[str, object]()
        if one.kind in things:
            return word_crop(one.kind, things[one.kind], owners, drawn=self.contract.family == "mini")
        if self.reader is not None and len(owners.people) != 1 and one.kind != "house":
            frame, _ = find_crop(one.box, context, pixels.size, self.contract)
            reading = self.reader.read(pixels.read(frame))
            seen = reading.pick(SURE_OWNER)
            owner = choose_owner(owners, seen) or describe_person(reading.pick(SURE_WORD))
        else:
            owner = choose_owner(owners, seen) or ANYBODY
        return word_crop(one.kind, owner, owners, drawn=self.contract.family == "mini")

    def _take_user_box(self, one: FocusBox, picture: PixelSize) -> FocusTarget:
        box = one.box.clip(picture)
        core = grow_core(USER_BOX, box, picture)
        return FocusTarget(kind=USER_BOX, box=box, core=core, context=self.settings.context, prompt=one.prompt)


def propose_heads(found: Sequence[Found], picture: PixelSize) -> list[Found]:
    """Return where the head of each drawn person must be in whom nobody saw a face or a head.

    A face that came out as skin alone is none to the detector, while its person is clear. In mini's world everybody
    stands upright and looks at us; of real pictures nobody can say that, so there a finder has to see the head itself.
    """
    seen = [one for one in found if one.kind in (FACE, HEAD)]
    proposed = list[Found]()
    for one in found:
        box = one.box
        if one.kind != "person" or one.by != DRAWN or any(_shares(one, other) for other in seen):
            continue
        if box.height < LEAST_TALL * box.width:
            # Arms that are raised or a lap: where the head is cannot be told from the box.
            continue
        height, middle = HEAD_FRAC * box.height, (box.left + box.right) / 2
        left, right = round(middle - HEAD_ASPECT * height / 2), round(middle + HEAD_ASPECT * height / 2)
        head = PixelBox(left, box.top, right, box.top + round(height)).clip(picture)
        proposed.append(Found(kind=HEAD, box=head, confidence=one.confidence, by=one.by))
    return proposed


def _shares(one: Found, other: Found) -> bool:
    """Tell whether most of the smaller of two boxes lies in the other."""
    both = one.box.find_overlap(other.box)
    return both is not None and both.area > SAME_FRAC * min(one.box.area, other.box.area)


def _is_same(one: Found, other: Found) -> bool:
    """Tell whether two finds of a kind are one thing."""
    return one.kind == other.kind and _shares(one, other)


def _count_depth(box: PixelBox, kept: Sequence[PixelBox]) -> int:
    """Count the parts that were drawn anew and hold the middle of a box."""
    x, y = (box.left + box.right) // 2, (box.top + box.bottom) // 2
    return sum(one.left <= x < one.right and one.top <= y < one.bottom for one in kept)
