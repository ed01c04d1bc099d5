"""A picture that grows to no whole cells is padded, drawn on a larger canvas, and stays in its place."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, ImageSource, PictureSource, RenderRequest
from sfumato.core.resampling import Resampling, fit_box
from sfumato.render.cohesive.input_picture import SourcePicture
from sfumato.render.exact_scale import scale_size, widen_inputs, widen_request
from sfumato.render.progress import Inputs

PHOTO = PictureSource(path="photo.jpg", sha256="0" * 64, size=PixelSize(333, 500))
TWICE = RenderRequest(prompt="", size=PixelSize(666, 1000), source=PHOTO, method=CohesiveMethod())


def make_given(values):
    height, width, _ = values.shape
    return SourcePicture(PixelSize(width, height), lambda: iter([values[:7], values[7:]]))


def test_a_photograph_can_be_doubled():
    assert scale_size(PHOTO.size, Fraction(2)) == PixelSize(666, 1000)
    widened = widen_request(TWICE, 8)
    assert (widened.source.size, widened.size) == (PixelSize(336, 500), PixelSize(672, 1000))
    assert replace(widened, size=TWICE.size, source=PHOTO) == TWICE


@pytest.mark.parametrize(
    "request_",
    [
        replace(TWICE, size=PixelSize(672, 1000)),
        replace(TWICE, source=ImageSource(path="photo.jpg", sha256="0" * 64)),
    ],
)
def test_what_is_whole_cells_or_no_given_picture_stays(request_):
    assert widen_request(request_, 8) is request_


def test_a_size_of_another_kind_is_refused_with_sizes_nearby_that_can_be():
    with pytest.raises(RequestError, match="multiple of 8") as caught:
        widen_request(replace(TWICE, size=PixelSize(700, 1001)), 8)
    assert "700x1001, the picture is 333x500" in caught.value.got
    sizes = caught.value.do.removeprefix("Ask for ").removesuffix(".").replace(" or ", ", ").split(", ")
    assert sizes == ["696x1000", "704x1008", "666x1000"]
    for size in sizes:
        widen_request(replace(TWICE, size=PixelSize.parse(size)), 8)


def test_the_last_pixels_are_repeated_at_the_right_and_below():
    values = np.random.default_rng(1).integers(0, 256, (10, 9, 3), np.uint8)
    source = replace(PHOTO, size=PixelSize(12, 12))
    inputs = widen_inputs(Inputs(source=make_given(values)), replace(TWICE, source=source))
    found = np.concatenate(list(inputs.source.walk()))
    assert inputs.source.size == source.size
    assert (found == np.pad(values, ((0, 2), (0, 3), (0, 0)), mode="edge")).all()


def test_the_picture_stays_where_its_own_enlargement_has_it():
    """Away from the edges that were added, the canvas grows from what Lanczos makes of the picture alone."""
    picture = Image.fromarray(np.random.default_rng(2).integers(0, 256, (45, 41, 3), np.uint8))
    request = replace(TWICE, size=PixelSize(82, 90), source=replace(PHOTO, size=PixelSize(41, 45)))
    widened = widen_request(request, 8)
    given = widen_inputs(Inputs(source=make_given(np.asarray(picture))), widened).source
    padded, canvas = np.concatenate(list(given.walk())), widened.size
    enlarged = Resampling(given.size, canvas, fit_box(given.size, canvas)).compute(
        lambda box: padded[box.slices_hw], PixelBox(0, 0, 70, 78)
    )
    alone = np.asarray(picture.resize((82, 90), Image.Resampling.LANCZOS))[:78, :70]
    assert np.abs(enlarged.astype(int) - alone).max() <= 1
