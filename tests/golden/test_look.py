"""Pictures of mini look as they did: a dozen cases over all methods, within what another CPU rounds differently."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from golden.drawing import CASES, MOST_BYTES, PICTURES, compare, draw, find_stored, is_alike, load


@pytest.mark.parametrize("name", CASES)
def test_it_looks_as_it_did(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = compare(draw(name, tmp_path), load(find_stored(name)))
    assert is_alike(found), f"{name} changed its look: {found}; if you want that, see tests/golden/drawing.py"


def test_stored_pictures_are_small_and_all_in_use():
    sizes = {path.stem: path.stat().st_size for path in PICTURES.iterdir()}
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}
    assert set(sizes) - set(CASES) == {"mask-left"}


CHANGES = {
    "softer": lambda picture: picture.filter(ImageFilter.GaussianBlur(0.7)),
    "sharper": lambda picture: picture.filter(ImageFilter.UnsharpMask(1, 60, 0)),
    "darker": lambda picture: picture.point(lambda level: level * 0.96),
    "warmer": lambda picture: Image.merge(
        "RGB", [band.point(lambda x, k=k: x + 4 - 4 * k) for k, band in enumerate(picture.split())]
    ),
    "moved": lambda picture: picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, 1, 0, 1, 0)),
    "a thing more": lambda picture: _paste(picture),
}


def _paste(picture):
    picture = picture.copy()
    picture.paste((200, 40, 40), (20, 20, 36, 40))
    return picture


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["native-woman", "cohesive"])
def test_a_change_of_look_is_noticed(name, change):
    stored = load(find_stored(name))
    changed = np.asarray(CHANGES[change](Image.fromarray(stored)))
    assert is_alike(compare(stored, stored))
    assert not is_alike(compare(changed, stored))
