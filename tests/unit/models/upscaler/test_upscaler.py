"""Enlarging: exact sizes, tiles without seams, and files that are refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN

from autoencoders import Sheet, make_ends
from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.models.upscaler import tiles as upscaler_tiles
from sfumato.models.upscaler import upscaler
from sfumato.models.upscaler.detect_shape import FOLD_PX, HALO_PX
from sfumato.models.upscaler.upscaler import Lanczos, load_upscaler
from sfumato.nn.tiled import Extent, run_local
from sfumato.nn.tiled.regions import Region, Span

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    """Write a small ESRGAN of random weights that doubles a picture."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("up") / "x2.safetensors"
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2).state_dict(), path)
    return path


def picture(width, height):
    rng = np.random.default_rng(1)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_lanczos_keeps_a_flat_colour_and_takes_fractions():
    flat = Image.new("RGB", (40, 30), (10, 200, 90))
    grown = Lanczos().enlarge(flat, PixelSize(101, 77), (0.5, 0.0, 39.5, 29.7))
    assert grown.size == (101, 77)
    assert grown.getcolors() == [(101 * 77, (10, 200, 90))]


def test_a_network_reaches_any_size(network_file):
    grown = load_upscaler(str(network_file), CPU).enlarge(picture(20, 12), PixelSize(50, 30), (0, 0, 20, 12))
    assert grown.size == (50, 30)


def test_tiles_leave_no_seam(network_file, monkeypatch):
    source, size = picture(90, 70), PixelSize(180, 140)
    monkeypatch.setattr(upscaler, "TILE_PX", 1000)
    whole = load_upscaler(str(network_file), CPU).enlarge(source, size, (0, 0, 90, 70))
    monkeypatch.setattr(upscaler, "TILE_PX", 32)
    tiled = load_upscaler(str(network_file), CPU).enlarge(source, size, (0, 0, 90, 70))
    assert np.abs(np.asarray(whole, int) - np.asarray(tiled, int)).max() <= 1


def save(path, network):
    """Write a network; return the file's name."""
    save_file({name: values.contiguous() for name, values in network.state_dict().items()}, path)
    return str(path)


def folded():
    """Make a network that sees squares of 2 x 2 px as one, as Real-ESRGAN's x2 does."""
    torch.manual_seed(0)
    return ESRGAN(in_nc=12, out_nc=3, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2)


def test_the_halo_is_what_the_network_reads(network_file, tmp_path):
    """One for each convolution of 3 px, half of that behind an enlargement."""
    compact = Compact(num_feat=8, num_conv=4, upscale=2)
    deep = ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=4, scale=2)
    assert load_upscaler(str(network_file), CPU).halo_px == 1 + 15 + 1 + 2
    assert load_upscaler(save(tmp_path / "a.safetensors", compact), CPU).halo_px == 1 + 4 + 1
    assert load_upscaler(save(tmp_path / "b.safetensors", folded()), CPU).halo_px == 37
    assert load_upscaler(save(tmp_path / "c.safetensors", deep), CPU).halo_px == HALO_PX


@pytest.mark.parametrize("build", ["plain", "folded"])
def test_a_tile_knows_of_everything_that_reaches_it(network_file, tmp_path, build):
    """A value that is no number marks the same pixels of a tile as of the whole, wherever it stands."""
    name = save(tmp_path / "x.safetensors", folded()) if build == "folded" else str(network_file)
    upscaled = load_upscaler(name, CPU)
    core = Region(Span(0, 16), Span(2 * 48, 2 * 64))

    def is_right(layer, place):
        pixels = torch.zeros(1, 3, 8, 112)
        pixels[..., place] = float("nan")
        sheet = Sheet(core, 3)
        run_local([layer], Extent(3, 8, 112), make_ends(pixels, sheet), [core])
        return torch.equal(sheet.values.isnan(), upscaled._run(pixels)[core.inside(Extent(3, 16, 224).region)].isnan())

    # What the tile reads, and a little more; within the tile itself little can go wrong.
    beside = range(upscaled.halo_px + 4)
    places = [48, 56, 63, *(48 - 1 - far for far in beside), *(64 + far for far in beside)]
    assert all(is_right(upscaled._layer, place) for place in places)
    short = replace(upscaled._layer, radius=upscaled.halo_px - FOLD_PX)
    assert not all(is_right(short, place) for place in places)


def compute_boxes(upscaled, source, size, box, cuts):
    pixels, read = np.asarray(source), []

    def note(part):
        read.append(part)
        return pixels[part.slices_hw]

    compute = upscaled.enlarge_into(note, PixelSize(*source.size), size, box)
    return [compute(cut) for cut in cuts], read


@pytest.mark.parametrize("size", [PixelSize(180, 140), PixelSize(250, 200), PixelSize(120, 100)])
@pytest.mark.parametrize("name", ["network", "lanczos"])
def test_boxes_of_an_enlarged_picture_are_the_whole(network_file, monkeypatch, name, size):
    monkeypatch.setattr(upscaler, "TILE_PX", 32)
    source, box = picture(90, 70), (0.0, 0.5, 90.0, 69.5)
    upscaled = load_upscaler(str(network_file) if name == "network" else name, CPU)
    whole = np.asarray(upscaled.enlarge(source, size, box))
    cuts = [PixelBox(0, 0, 33, 17), PixelBox(90, 50, 120, 100), PixelBox(7, 90, 120, 91)]
    parts, _ = compute_boxes(upscaled, source, size, box, cuts)
    for cut, part in zip(cuts, parts, strict=True):
        # To the bit, but for Pillow's own sine.
        assert np.abs(part.astype(int) - whole[cut.slices_hw]).max() <= (name == "lanczos")


def test_a_walk_over_a_picture_computes_every_tile_once(network_file, monkeypatch):
    monkeypatch.setattr(upscaler, "TILE_PX", 32)
    size, source = PixelSize(180, 140), picture(90, 70)
    cuts = [PixelBox(0, top, 180, min(140, top + 40)) for top in range(0, 140, 10)]
    _, read = compute_boxes(load_upscaler(str(network_file), CPU), source, size, (0, 0, 90, 70), cuts)
    assert len(read) == 3 * 3
    assert len(set(read)) == 9


def test_kept_tiles_are_bounded(network_file, monkeypatch):
    monkeypatch.setattr(upscaler, "TILE_PX", 32)
    monkeypatch.setattr(upscaler_tiles, "KEPT_BYTES", 1)
    size, source = PixelSize(180, 140), picture(90, 70)
    upscaled = load_upscaler(str(network_file), CPU)
    cuts = [PixelBox(0, 0, 10, 10), PixelBox(170, 130, 180, 140), PixelBox(0, 0, 10, 10)]
    parts, read = compute_boxes(upscaled, source, size, (0, 0, 90, 70), cuts)
    assert np.array_equal(parts[0], parts[2])
    assert len(read) == 3


def test_a_pickle_is_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"\x80\x04")
    with pytest.raises(UnsafeFileError):
        load_upscaler(str(tmp_path / "x.pth"), CPU)


def test_other_weights_are_named(tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="no known upscaler"):
        load_upscaler(str(tmp_path / "x.safetensors"), CPU)


def test_a_network_that_does_not_enlarge_is_refused(tmp_path):
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=1).state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(RequestError, match="does not enlarge"):
        load_upscaler(str(tmp_path / "x.safetensors"), CPU)
