"""Masks for photos that have none: the box of the largest person that the finders see.

A box is rough, and enough to keep the place out of what is learned. Start reading at `find_person_mask`.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from sfumato.canvas.formats.images import load_picture
from sfumato.workflows.find.find import find_things

# Hair and hands stick out of boxes of people.
MARGIN_FRAC = 0.06


def find_person_mask(photo: Path, *, by: str = "") -> Image.Image | None:
    """Return a mask of a photo, white in the box of its largest person; None where nobody is seen.

    `by` names one finder, see `sfumato find`.

    Raises:
        RequestError: no such finder.
        ModelError: the finders need parts that were not fetched yet; says the command.
    """
    people = find_things(photo, kinds=("person",), by=by).found
    if not people:
        return None
    box = max((one.box for one in people), key=lambda box: box.width * box.height)
    picture = load_picture(photo)
    margin = MARGIN_FRAC * max(box.width, box.height)
    mask = Image.new("L", picture.size, 0)
    corners = (box.left - margin, box.top - margin, box.right + margin, box.bottom + margin)
    ImageDraw.Draw(mask).rectangle(corners, fill=255)
    return mask
