"""A compact network run by rows gives what spandrel gives for the whole, however the rows come."""

import pytest
import torch
from spandrel import ModelLoader

from sfumato.models.upscaler.compact import CompactNetwork, find_compact_shape
from sfumato.models.upscaler.rrdb import rename_rrdb
from unit.models.upscaler.test_detect_shape import NETWORKS


def run(network, picture, rows):
    return torch.cat(list(network.run(picture.split(rows, dim=2))), dim=2)


def test_rows_are_what_spandrel_gives_for_the_whole():
    state = NETWORKS["compact"]
    torch.manual_seed(1)
    picture = torch.rand(1, 3, 11, 9)
    with torch.inference_mode():
        whole = ModelLoader(device="cpu").load_from_state_dict(dict(state)).model.eval()(picture)
    network = CompactNetwork(rename_rrdb(state), torch.float32)
    assert network.shape.scale == whole.shape[2] // 11
    parts = [run(network, picture, rows) for rows in (1, 4, 11)]
    assert torch.allclose(parts[2], whole, atol=1e-6)
    assert all(torch.equal(part, parts[2]) for part in parts)
    assert network.count_bytes(200, 8) > network.count_bytes(100, 8) > 0


def test_a_pixel_reads_no_farther_than_the_shape_says():
    network = CompactNetwork(NETWORKS["compact"], torch.float32)
    strip = torch.zeros(1, 3, 4, 80)
    strip[..., 40] = float("nan")
    marked = run(network, strip, 4).isnan().flatten(0, 2).any(0).nonzero()
    scale = network.shape.scale
    assert max(40 - int(marked.min()) // scale, int(marked.max()) // scale - 40) == network.shape.radius_px


@pytest.mark.parametrize("broken", ["body.0.weight", "body.1.weight", "body.2.weight", "more", "other"])
def test_other_networks_are_none_of_ours(broken):
    state = dict(NETWORKS["compact"])
    if broken == "more":
        state["body.99.weight"] = torch.zeros(3)
    elif broken == "other":
        state = dict(NETWORKS["x4"])
    else:
        state[broken] = torch.zeros(5, 5)
    assert find_compact_shape(state) is None
