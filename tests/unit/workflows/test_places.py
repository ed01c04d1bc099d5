"""Pictures go where they can lie: no format that is too small."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import RenderRequest
from sfumato.workflows.places import check_places


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
