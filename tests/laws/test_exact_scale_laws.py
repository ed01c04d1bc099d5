"""Whatever a picture's size, a scale in quarters gives exactly so many times its size, from a canvas of whole cells."""

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.render.exact_scale import scale_size, widen_request

SIDES = st.integers(min_value=8, max_value=5000)
SCALES = st.integers(min_value=5, max_value=64).map(lambda quarters: Fraction(quarters, 4))


@given(width=SIDES, height=SIDES, scale=SCALES, factor=st.sampled_from([4, 8, 16]))
def test_the_canvas_is_the_padded_picture_at_one_scale(width, height, scale, factor):
    picture = PixelSize(width, height)
    size = scale_size(picture, scale)
    source = PictureSource(path="a.png", sha256="0" * 64, size=picture)
    request = RenderRequest(prompt="", size=size, source=source, method=CohesiveMethod())
    widened = widen_request(request, factor)
    if size == size.round_up(factor):
        assert widened is request
        return
    # Of a few pixels two scales may make the same; whichever is taken is exact.
    assume(min(width, height) >= 64)
    padded, canvas = widened.source.size, widened.size
    assert canvas == canvas.round_up(factor)
    assert (canvas.width, canvas.height) == (scale * padded.width, scale * padded.height)
    assert padded.box.contains(picture.box)
    assert canvas.box.contains(size.box)
    assert max(padded.width - width, padded.height - height) < 4 * factor
