"""A PNG written in bands is a PNG to everybody, packs as well as another program's, and keeps its texts."""

import io

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.images import load_picture, read_texts, save_picture
from sfumato.canvas.formats.png_write import filter_rows
from sfumato.canvas.formats.save import save_bands
from sfumato.core.geometry import PixelSize


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (67, 43), (700, 300)])
def test_every_bit_comes_back(tmp_path, make_picture, texts, size):
    picture = make_picture(*size)
    save_bands(tmp_path / "a.png", PixelSize(*size), [picture], texts)
    assert np.array_equal(np.asarray(load_picture(tmp_path / "a.png")), picture)


def test_texts_are_where_other_programs_look(tmp_path, make_picture, texts):
    picture = make_picture(48, 32)
    save_bands(tmp_path / "a.png", PixelSize(48, 32), [picture], texts)
    save_picture(tmp_path / "b.png", Image.fromarray(picture), texts)
    assert read_texts(tmp_path / "a.png") == read_texts(tmp_path / "b.png") == texts
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.text == texts


def test_all_five_filters_are_used_and_undone(make_picture):
    picture = make_picture(400, 200)
    noise = np.random.default_rng(0).integers(0, 256, (3, 400, 3), dtype=np.uint8)
    flat = np.concatenate([picture, noise, noise[-1:], noise // 64]).reshape(-1, 1200)
    kinds = set(filter_rows(flat, np.zeros(1200, np.uint8))[:, 0].tolist())
    assert kinds == {0, 1, 2, 3, 4}


def test_filters_follow_the_specification():
    rng = np.random.default_rng(1)
    rows, above = rng.integers(0, 256, (20, 30), dtype=np.uint8), rng.integers(0, 256, 30, dtype=np.uint8)
    for before, row, (kind, *rest) in zip([above, *rows], rows, filter_rows(rows, above), strict=False):
        assert undo(int(kind), rest, before.tolist()) == row.tolist()


def undo(kind, rest, above):
    """Undo a filter byte by byte, as clause 9.2 of the PNG specification says it."""
    row = []
    for place, value in enumerate(rest):
        a, b, c = (row[place - 3], above[place], above[place - 3]) if place >= 3 else (0, above[place], 0)
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        row.append((int(value) + [0, a, b, (a + b) // 2, paeth][kind]) % 256)
    return row


def test_it_packs_about_as_well_as_pillow(tmp_path, make_picture):
    picture = make_picture(700, 400)
    save_bands(tmp_path / "a.png", PixelSize(700, 400), [picture], {})
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", compress_level=6)
    assert (tmp_path / "a.png").stat().st_size < 1.1 * len(stream.getvalue())
