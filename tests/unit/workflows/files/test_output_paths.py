"""Pictures go where they can lie and nothing is lost for them: no format that is too small, no source of their own."""

import os
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from sfumato.canvas.formats.save import save_canvas
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import WeightDigests, write_metadata
from sfumato.core.request import CohesiveMethod, ImageSource, InpaintSource, PictureSource, RenderRequest
from sfumato.workflows.files.output_paths import check_places, is_finished

DIGEST = "0" * 64


@pytest.fixture
def source(tmp_path):
    """A file, of which only the name counts."""
    path = tmp_path / "photo.png"
    path.write_bytes(b"a picture")
    return path


def list_requests(source):
    other = str(source.with_name("other.png"))
    yield ImageSource(path=str(source), sha256=DIGEST)
    yield InpaintSource(path=other, sha256=DIGEST, mask=str(source), mask_sha256=DIGEST)
    yield PictureSource(path=str(source), sha256=DIGEST, size=PixelSize(64, 64))


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("name", ["photo.png", "folder/../photo.png", "link.png", "hard.png"])
def test_a_picture_never_replaces_what_it_starts_from(source, number, name):
    (source.parent / "folder").mkdir()
    (source.parent / "link.png").symlink_to(source)
    os.link(source, source.parent / "hard.png")
    kind, out = list(list_requests(source))[number], source.parent / name
    request = RenderRequest(prompt="", size=PixelSize(128, 128), source=kind, method=CohesiveMethod())
    for option, where in (("`out`", (out,)), ("`preview`", (source.parent / "new.png", out))):
        with pytest.raises(RequestError, match=f"{option} would replace") as caught:
            check_places(request, *where)
        assert caught.value.got
        assert option in caught.value.do
    check_places(request, source.parent / "new.png")


def test_every_picture_of_a_batch_has_its_place(source):
    first = source.rename(source.with_name("photo-01.png"))
    request = RenderRequest(
        prompt="", size=PixelSize(128, 128), batch=2, source=ImageSource(path=str(first), sha256=DIGEST)
    )
    with pytest.raises(RequestError, match="would replace"):
        check_places(request, source)


def test_a_folder_of_that_name_is_found_out_before(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(RequestError, match="a folder has the name"):
        check_places(RenderRequest(prompt="", size=PixelSize(64, 64)), tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "largest"), [("a.webp", 16383), ("a.JPG", 65500), ("a.jpeg", 65500), ("a.png", None), ("a.dzi", None)]
)
def test_a_side_that_a_format_cannot_hold_is_refused(tmp_path, name, largest):
    for size in (PixelSize(200_000, 8), PixelSize(8, (largest or 200_000) + 1)):
        request = RenderRequest(prompt="", size=size)
        if largest is None:
            check_places(request, tmp_path / name)
            continue
        with pytest.raises(RequestError, match=f"at most {largest} px") as caught:
            check_places(request, tmp_path / name)
        assert str(size) in caught.value.got
        assert ".png, .tif or .dzi" in caught.value.do
    check_places(RenderRequest(prompt="", size=PixelSize(8, largest or 8)), tmp_path / name)


@pytest.mark.parametrize(
    "lost", [None, "photo_files", "photo_files/9", "photo_files/9/1_1.png", "photo_files/0/0_0.png"]
)
def test_a_pyramid_is_finished_with_all_its_tiles(tmp_path, lost):
    """What was taken away is told from names alone."""
    request, digests = RenderRequest(prompt="a cat", size=PixelSize(300, 280)), WeightDigests()
    path = tmp_path / "photo.dzi"
    save_canvas(path, Image.new("RGB", (300, 280)), write_metadata(request, digests))
    if lost is not None:
        gone = tmp_path / lost
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert is_finished(path, request, digests) is (lost is None)
    assert not is_finished(path, replace(request, seed=2), digests)
