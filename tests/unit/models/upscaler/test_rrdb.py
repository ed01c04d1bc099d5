"""An ESRGAN network run by rows gives what spandrel gives for the whole, however the rows come."""

import numpy as np
import pytest
import torch
from spandrel import ModelLoader
from spandrel.architectures.ESRGAN import ESRGAN

from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelSize
from sfumato.models.upscaler.grown_rows import GrowthPlan, grow, plan_growth
from sfumato.models.upscaler.rrdb import RrdbNetwork, find_rrdb_shape, rename_rrdb
from unit.models.upscaler.test_detect_shape import NETWORKS


def make_state(blocks=1, scale=2):
    torch.manual_seed(0)
    return ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=blocks, scale=scale).state_dict()


def run(network, picture, rows):
    return torch.cat(list(network.run(picture.split(rows, dim=2))), dim=2)


@pytest.mark.parametrize("name", ["x2", "x4", "x8", "ESRGAN", "Real-ESRGAN"])
def test_rows_are_what_spandrel_gives_for_the_whole(name):
    state = NETWORKS[name]
    torch.manual_seed(1)
    picture = torch.rand(1, 3, 13, 9)
    with torch.inference_mode():
        whole = ModelLoader(device="cpu").load_from_state_dict(dict(state)).model.eval()(picture)
    network = RrdbNetwork(rename_rrdb(state), torch.float32)
    for rows in (1, 5, 13):
        assert torch.allclose(run(network, picture, rows), whole, atol=1e-6)


def test_names_that_trainers_wrap_are_the_same_network():
    state = NETWORKS["Real-ESRGAN"]
    plain = rename_rrdb(state)
    both = {f"params.{name}": torch.zeros_like(tensor) for name, tensor in state.items()}
    both |= {f"params_ema.{name}": tensor for name, tensor in state.items()}
    assert all(torch.equal(tensor, plain[name]) for name, tensor in rename_rrdb(both).items())


@pytest.mark.parametrize("name", ["folded x2", "compact"])
def test_other_networks_are_none_of_ours(name):
    assert find_rrdb_shape(rename_rrdb(NETWORKS[name])) is None


def test_a_pixel_reads_no_farther_than_the_shape_says():
    network = RrdbNetwork(make_state(blocks=2), torch.float32)
    strip = torch.zeros(1, 3, 4, 120)
    strip[..., 60] = float("nan")
    marked = run(network, strip, 4).isnan().flatten(0, 2).any(0).nonzero()
    reach = max(60 - int(marked.min()) // 2, int(marked.max()) // 2 - 60)
    assert network.shape.radius_px - 4 < reach <= network.shape.radius_px


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("place", [(0, 0), (0, 31), (1, 60)])
def test_panels_and_a_later_start_give_the_bits_of_the_whole(dtype, place):
    network = RrdbNetwork(make_state(), dtype)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    source = PixelSize(90, 60)

    def fill(plan, panel=0, rows_done=0):
        found = np.zeros((120, 180, 3), np.uint8)
        for piece in grow(network, lambda box: pixels[box.slices_hw], plan, panel=panel, rows_done=rows_done):
            found[piece.box.slices_hw] = piece.pixels
        return found

    radius = network.shape.radius_px
    whole = fill(GrowthPlan(source, 2, radius, panel_px=90, rows=60))
    panel, rows_done = place
    again = fill(GrowthPlan(source, 2, radius, panel_px=48, rows=8), panel, rows_done)
    # Kept: the panels from `panel` on; of the first of them the rows from `rows_done` on.
    left, width = 96 * panel, 96
    assert np.array_equal(again[rows_done:, left : left + width], whole[rows_done:, left : left + width])
    assert np.array_equal(again[:, left + width :], whole[:, left + width :])


def test_panels_bound_the_memory():
    network = RrdbNetwork(make_state(), torch.float32)
    most = network.count_bytes(400, 64)
    plan = plan_growth(network, PixelSize(5000, 10), panel_bytes=most)
    assert network.count_bytes(plan.panel_px + 2 * plan.radius_px, plan.rows) <= most
    assert plan_growth(network, PixelSize(400, 10), panel_bytes=most).panels == 1


def test_numbers_that_are_no_picture_are_refused():
    state = make_state()
    state["model.0.bias"] = torch.full_like(state["model.0.bias"], float("nan"))
    network = RrdbNetwork(state, torch.float32)
    pixels = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ModelError):
        list(grow(network, lambda box: pixels[box.slices_hw], plan_growth(network, PixelSize(20, 20))))
