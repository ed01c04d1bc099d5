"""What is read again only where a picture changed is what reading the whole of it gives, whatever changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfumato.canvas import grid as squares
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.picture import base_comparison
from sfumato.critic.picture.checks import judge_picture
from sfumato.critic.picture.feature_cache import cache_features, update_features

SIZE = PixelSize(330, 260)


def make_levels(seed):
    y, x = np.mgrid[0 : SIZE.height, 0 : SIZE.width]
    waves = [120 + 60 * np.sin(x / (7 + k) + seed) * np.cos(y / (9 - k)) for k in range(3)]
    noise = np.random.default_rng(seed).normal(0, 3, (*SIZE.shape_hw, 3))
    return (np.stack(waves, axis=-1) + noise).clip(0, 255).astype(np.uint8)


class Counted:
    """A picture that counts the pixels that are read of it."""

    def __init__(self, levels):
        self._picture, self.read = Image.fromarray(levels), 0
        self.width, self.height = self.size = self._picture.size

    def crop(self, box):
        self.read += (box[2] - box[0]) * (box[3] - box[1])
        return self._picture.crop(box)


boxes = st.tuples(st.integers(0, 300), st.integers(0, 230), st.integers(1, 90), st.integers(1, 90)).map(
    lambda box: PixelBox(box[0], box[1], min(box[0] + box[2], SIZE.width), min(box[1] + box[3], SIZE.height))
)


@settings(max_examples=25, deadline=None)
@given(changed=st.lists(boxes, min_size=1, max_size=3), base_size=st.sampled_from([(66, 52), (50, 50), (40, 64)]))
def test_judged_in_part_is_judged_whole(changed, base_size):
    was, now = make_levels(1), make_levels(1)
    for box in changed:
        now[box.slices_hw] = 255 - now[box.slices_hw] // 2
    base = Image.fromarray(was).resize(base_size, Image.Resampling.BOX)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(squares, "SIDE_PX", 32)
        patched.setattr(base_comparison, "_PART_PX", 40)
        again = squares.find_grid_boxes(SIZE, changed)
        picture = Image.fromarray(now)
        features = update_features(cache_features(Image.fromarray(was), base), picture, again)
        whole = cache_features(picture, base)
        judged = judge_picture(picture, base, features=features)
        assert judged.to_json() == judge_picture(picture, base).to_json()
    assert np.array_equal(features.pair.shown, whole.pair.shown)
    assert np.array_equal(features.gradients.across, whole.gradients.across)
    assert np.array_equal(features.gradients.down, whole.gradients.down)


def test_only_what_changed_is_read_again(monkeypatch):
    monkeypatch.setattr(squares, "SIDE_PX", 32)
    monkeypatch.setattr(base_comparison, "_PART_PX", 40)
    was, now = Counted(make_levels(1)), Counted(make_levels(2))
    before = cache_features(was, Image.new("RGB", (66, 52)))
    seen = was.read
    update_features(before, now, squares.find_grid_boxes(SIZE, [PixelBox(100, 100, 110, 110)]))
    assert was.read - seen + now.read < 0.2 * seen
