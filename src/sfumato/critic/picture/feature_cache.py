"""What the self-check reads of every pixel of a picture; kept, so that only what has changed is read again.

All other measures follow from it, or look at a bounded number of squares. Start reading at `survey_picture`,
then `survey_again`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sfumato.core.geometry import PixelBox
from sfumato.critic.picture.base_comparison import Pair, make_pair, renew_pair
from sfumato.critic.picture.periodic_seams import Gradients, add_gradients, renew_gradients
from sfumato.critic.picture.picture_reader import Shown


@dataclass(frozen=True, eq=False)
class Survey:
    """Hold a picture, it and its base at the size of the base, and the gradients along its columns and rows."""

    picture: Shown
    pair: Pair
    gradients: Gradients


def survey_picture(picture: Shown, base: Image.Image) -> Survey:
    """Read the whole of a large picture.

    Raises:
        RequestError: the picture is smaller than its base.
    """
    return Survey(picture, make_pair(picture, base), add_gradients(picture))


def survey_again(before: Survey, picture: Shown, squares: Sequence[PixelBox]) -> Survey:
    """Read a picture that differs from the one before in some squares of a grid only; the same as reading the whole.

    Both are read, in the squares and around them; each square is given once.
    """
    pictures = (before.picture, picture)
    gradients = renew_gradients(before.gradients, pictures, squares)
    return Survey(picture, renew_pair(before.pair, picture, squares), gradients)
