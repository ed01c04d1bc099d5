"""What the self-check reads of every pixel of a picture; kept, so that only what has changed is read again.

All other measures follow from it, or look at a bounded number of squares. Start reading at `cache_features`,
then `update_features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sfumato.core.geometry import PixelBox
from sfumato.critic.picture.base_comparison import Pair, make_fine_pair, make_pair, renew_pair
from sfumato.critic.picture.periodic_seams import Gradients, add_gradients, renew_gradients
from sfumato.critic.picture.picture_reader import PictureReader


@dataclass(frozen=True, eq=False)
class FeatureCache:
    """Hold a picture, it and its base at the size of the base and at twice it, and the gradients along both axes."""

    picture: PictureReader
    pair: Pair
    fine: Pair
    gradients: Gradients


def cache_features(picture: PictureReader, base: Image.Image) -> FeatureCache:
    """Read the whole of a large picture.

    Raises:
        RequestError: the picture is smaller than its base.
    """
    return FeatureCache(picture, make_pair(picture, base), make_fine_pair(picture, base), add_gradients(picture))


def update_features(before: FeatureCache, picture: PictureReader, squares: Sequence[PixelBox]) -> FeatureCache:
    """Read a picture that differs from the one before in some squares of a grid only; the same as reading the whole.

    Both are read, in the squares and around them; each square is given once.
    """
    pictures = (before.picture, picture)
    gradients = renew_gradients(before.gradients, pictures, squares)
    pair, fine = (renew_pair(one, picture, squares) for one in (before.pair, before.fine))
    return FeatureCache(picture, pair, fine, gradients)
