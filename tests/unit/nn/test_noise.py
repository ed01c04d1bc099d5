"""Philox against its published answers; noise by address; statistics of the normals."""

import numpy as np
import pytest
import torch

from sfumato.core.errors import RequestError
from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn.noise import START_STEP, make_step_noise, normal_noise, philox

CANVAS = LatentSize(300, 170)

FROZEN = [-0.1943096, -1.0642525, 0.0375763, 0.2329834, 0.2307224, 0.0755763, -0.6468682, 0.0026222]

# Known answers of philox4x32-10, published with the paper's library: counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_words(counter, key, words):
    assert tuple(int(word) for word in philox(counter, key)) == words


def test_philox_works_on_arrays():
    columns = zip(*(counter for counter, _, _ in KNOWN), strict=True)
    together = philox(tuple(np.array(column) for column in columns), KNOWN[0][1])
    assert [int(word[0]) for word in together] == list(KNOWN[0][2])


@pytest.mark.parametrize("box", [LatentBox(0, 0, 1, 1), LatentBox(37, 5, 101, 90), LatentBox(299, 169, 300, 170)])
@pytest.mark.parametrize("channels", [1, 4, 6, 16])
def test_noise_of_a_box_is_cut_from_the_canvas(box, channels):
    whole = normal_noise(9, 1, 3, CANVAS.box, channels)
    rows, columns = box.slices_hw
    assert torch.equal(normal_noise(9, 1, 3, box, channels), whole[:, rows, columns])


def test_noise_does_not_depend_on_bands(monkeypatch):
    whole = normal_noise(1, 0, 0, CANVAS.box)
    monkeypatch.setattr("sfumato.nn.noise._BAND_CELLS", 7)
    assert torch.equal(normal_noise(1, 0, 0, CANVAS.box), whole)


def test_fewer_channels_are_the_first_ones():
    assert torch.equal(normal_noise(1, 0, 0, CANVAS.box, 3), normal_noise(1, 0, 0, CANVAS.box, 8)[:3])


def test_shape_and_type():
    noise = normal_noise(1, 0, 0, LatentBox(0, 0, 5, 3))
    assert noise.shape == (4, 3, 5)
    assert noise.dtype == torch.float32


def test_every_address_has_its_own_noise():
    box = LatentBox(0, 0, 40, 40)
    fields = [
        normal_noise(*address, box, substep=substep)
        for address in [(1, 0, 0), (2, 0, 0), (2**32 + 1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 0, START_STEP)]
        for substep in (0, 1)
    ]
    flat = torch.stack(fields).flatten(1)
    related = torch.corrcoef(flat) - torch.eye(len(flat))
    # 6400 cells: a correlation of 0.06 is five standard deviations.
    assert related.abs().max() < 0.06


def test_moments_are_those_of_a_unit_normal():
    noise = normal_noise(2024, 0, START_STEP, LatentBox(0, 0, 512, 512)).double()
    n = noise.numel()
    # Five standard errors each: sqrt(1/n), sqrt(2/n), sqrt(6/n), sqrt(24/n).
    assert abs(noise.mean()) < 5 * (1 / n) ** 0.5
    assert abs(noise.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((noise**3).mean()) < 5 * (15 / n) ** 0.5
    assert abs((noise**4).mean() - 3) < 5 * (96 / n) ** 0.5


def test_distribution_passes_kolmogorov_smirnov():
    from scipy import stats

    noise = normal_noise(7, 3, 11, LatentBox(1000, 2000, 1256, 2256))
    for channel in noise:
        assert stats.kstest(channel.flatten().numpy(), "norm").pvalue > 1e-4


def test_neighbours_and_channels_are_unrelated():
    noise = normal_noise(5, 0, 0, LatentBox(0, 0, 512, 512)).double()
    n = 512 * 512
    assert (torch.corrcoef(noise.flatten(1)) - torch.eye(4)).abs().max() < 5 / n**0.5
    assert abs((noise[:, :, 1:] * noise[:, :, :-1]).mean()) < 5 / (4 * n) ** 0.5
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 5 / (4 * n) ** 0.5


def test_numbers_are_frozen():
    # A change here changes every picture ever made: it needs a new version of the request.
    first = normal_noise(1, 0, START_STEP, LatentBox(0, 0, 2, 1)).flatten().tolist()
    assert first == pytest.approx(FROZEN, abs=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"seed": 2**64},
        {"stage": 2**16},
        {"step": 2**32},
        {"substep": 16},
        {"channels": -1},
        {"box": LatentBox(-1, 0, 4, 4)},
    ],
)
def test_addresses_out_of_range_are_refused(bad):
    address = {"seed": 1, "stage": 0, "step": 0, "box": LatentBox(0, 0, 4, 4)} | bad
    with pytest.raises(RequestError):
        normal_noise(**address)


def test_step_noise_serves_samplers():
    box = LatentBox(3, 4, 9, 8)
    noise = make_step_noise(8, 2, box)
    assert noise(5, 1).shape == (1, 4, 4, 6)
    assert torch.equal(noise(5, 1)[0], normal_noise(8, 2, 5, box, substep=1))
