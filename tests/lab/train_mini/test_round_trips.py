"""What the measures of round trips see is there, and what they do not see is not."""

import numpy as np
from scipy.ndimage import gaussian_filter

from sfumato.lab.train_mini.round_trips import FIRST_SEED, measure_grid, measure_round_trips

Pictures = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def test_a_perfect_round_trip_keeps_every_face_and_adds_no_grid() -> None:
    found = measure_round_trips(lambda pictures: pictures, count=24)
    assert found.psnr_db == 100
    assert sum(seen for _, seen in found.faces.values()) > 5
    assert all(kept == seen for kept, seen in found.faces.values())
    assert all(decoded == drawn for decoded, drawn in found.grid.values())


def test_a_blur_loses_small_faces_before_large_ones() -> None:
    blurred = measure_round_trips(
        lambda pictures: gaussian_filter(pictures, (0, 2, 2, 0)).astype(np.float32), count=48, first_seed=FIRST_SEED
    )
    small = [blurred.faces[name] for name in ("0-16", "16-24")]
    assert sum(kept for kept, _ in small) < 0.3 * sum(seen for _, seen in small)
    assert blurred.psnr_db < 35


def test_a_screen_door_is_found_at_its_period_and_a_gradient_is_not() -> None:
    rows, columns = np.mgrid[:32, :32].astype(np.float32)
    sky = np.repeat((0.5 + 0.004 * rows + 0.001 * columns)[..., None], 3, axis=2).astype(np.float32)
    plain = measure_grid(sky)
    assert max(plain.values()) < 0.01
    for period in (8, 4, 2):
        door = sky + (0.01 * np.cos(2 * np.pi * columns / period))[..., None].astype(np.float32)
        found = measure_grid(door)
        assert found[period] > 1
        assert all(found[other] < 0.2 * found[period] for other in found if other != period)
