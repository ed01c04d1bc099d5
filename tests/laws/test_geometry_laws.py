"""What holds for every size and box."""

from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.geometry import LatentBox, LatentSize, PixelBox, PixelSize

sides = st.integers(1, 5000)
factors = st.sampled_from([1, 2, 4, 8, 16])


@st.composite
def boxes(draw, kind=PixelBox):
    left, top = draw(st.integers(-500, 500)), draw(st.integers(-500, 500))
    return kind(left, top, left + draw(st.integers(1, 600)), top + draw(st.integers(1, 600)))


@given(sides, sides)
def test_size_text_round_trips(width, height):
    assert PixelSize.parse(str(PixelSize(width, height))) == PixelSize(width, height)


@given(sides, sides, factors)
def test_cells_round_trip(width, height, factor):
    assert LatentSize(width, height).to_pixels(factor).to_latent(factor) == LatentSize(width, height)


@given(boxes(LatentBox), factors)
def test_box_of_cells_round_trips(box, factor):
    assert box.to_pixels(factor).to_latent(factor) == box
    assert box.to_pixels(factor).area == box.area * factor * factor


@given(boxes(), factors)
def test_snapping_out_is_the_smallest_grid_box_around(box, factor):
    snapped = box.snap_out(factor)
    assert snapped.contains(box)
    assert snapped.snap_out(factor) == snapped
    assert snapped.width - box.width < 2 * factor
    assert snapped.to_latent(factor).to_pixels(factor) == snapped


@given(boxes(), boxes())
def test_overlap_commutes_and_lies_in_both(first, second):
    overlap = first.find_overlap(second)
    assert overlap == second.find_overlap(first)
    if overlap is not None:
        assert first.contains(overlap)
        assert second.contains(overlap)


@given(boxes(), st.integers(-99, 99), st.integers(-99, 99))
def test_shift_keeps_the_size_and_comes_back(box, dx, dy):
    assert box.shift(dx, dy).size == box.size
    assert box.shift(dx, dy).shift(-dx, -dy) == box


@given(sides, sides, factors)
def test_round_up_adds_less_than_a_cell(width, height, factor):
    size = PixelSize(width, height).round_up(factor)
    assert 0 <= size.width - width < factor
    assert 0 <= size.height - height < factor
    size.to_latent(factor)
