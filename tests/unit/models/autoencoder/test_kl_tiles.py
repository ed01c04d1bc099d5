"""KL autoencoders in tiles: equal to the whole, in the memory that was set, on a disk that may be full."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL

from autoencoders import SD_CHANNELS, Sheet, make_ends, make_kl, make_latents, make_pixels, run_streamed
from sfumato.core.errors import BudgetError, ModelError, StorageError
from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.models.autoencoder import coder as autoencoder
from sfumato.models.autoencoder import estimate, kl_tiles, offload
from sfumato.models.autoencoder.coder import (
    TiledAutoencoder,
    decode_box,
    decode_latents,
    encode_pixels,
)
from sfumato.models.autoencoder.estimate import (
    HEAP,
    LEAST_BYTES,
    WHOLE_BYTES,
    WORK_BYTES,
    WORKSPACE_BYTES,
    estimate_kl_bytes,
    estimate_tiled,
    measure_store,
    runs_whole,
)
from sfumato.models.autoencoder.kl_layers import list_decoder_layers, list_encoder_layers
from sfumato.models.autoencoder.kl_tiles import run_in_tiles
from sfumato.models.autoencoder.offload import DiskOffload, FileMapStore
from sfumato.models.hardware.policy import Policy
from sfumato.nn.tiled import Conv, Extent, MemoryLimits, Upsample, make_program
from sfumato.nn.tiled.regions import Region, Span
from sfumato.nn.tiled.run import MARGIN_PIXELS

# One step of 8 bits in [-1, 1] is 2/255. Tiles that are exact stay far below; those that are not do not.
STEP = 2 / 255
TOLERANCE = 1e-4
FP32 = torch.float32
DEVICE = torch.device("cpu")
CPU = Policy("cpu", "fp32", "fp32", "fp32")
KL = SimpleNamespace(scaling=0.18215, shift=0.1, autoencoder="kl", factor=8)


@pytest.fixture(scope="module")
def kl():
    return make_kl()


@contextmanager
def files_of_at_most(size_bytes):
    """Make every larger file of this process fail, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def run_tiles(layers, x, tile_pixels, folder):
    opened = DiskOffload(DEVICE, folder=folder).open
    room = MemoryLimits(work_bytes=2**26, store_bytes=2**20, open_offload=opened, tile_pixels=tile_pixels)
    return run_streamed(layers, x, room)


@pytest.mark.parametrize(
    ("width", "height", "tile_pixels"), [(5, 3, 10**6), (9, 6, 1000), (17, 11, 999), (1, 1, 7), (3, 20, 64)]
)
def test_tiles_equal_the_whole_in_both_directions(kl, tmp_path, width, height, tile_pixels):
    latents, pixels = make_latents(width, height), make_pixels(8 * width, 8 * height)
    decoded = run_tiles(list_decoder_layers(kl), latents, tile_pixels, tmp_path)
    encoded = run_tiles(list_encoder_layers(kl), pixels, tile_pixels, tmp_path)
    assert torch.allclose(decoded, kl.decode(latents).sample, atol=TOLERANCE, rtol=TOLERANCE)
    assert torch.allclose(encoded, kl.encode(pixels).latent_dist.parameters, atol=TOLERANCE, rtol=TOLERANCE)


def test_without_shared_statistics_the_same_tiles_are_wrong(kl):
    """What the bound is worth: a halo wider than every convolution reaches does not help."""
    latents = make_latents(48, 4)
    whole = kl.decode(latents).sample
    left = kl.decode(latents[..., : 24 + 18]).sample[..., : 24 * 8]
    assert float((left - whole[..., : 24 * 8]).abs().max()) > 20 * STEP


def test_bf16_tiles_are_as_close_to_float32_as_the_bf16_whole(kl, tmp_path):
    latents = make_latents(9, 6)
    exact = kl.decode(latents).sample
    short = AutoencoderKL.from_config(kl.config).to(torch.bfloat16).eval().requires_grad_(requires_grad=False)
    short.load_state_dict(kl.state_dict())
    whole = short.decode(latents.bfloat16()).sample.float()
    tiled = run_tiles(list_decoder_layers(short), latents.bfloat16(), 500, tmp_path)
    lost = float((whole - exact).square().mean().sqrt())
    assert float((tiled - exact).square().mean().sqrt()) < 1.2 * lost


@pytest.fixture
def crowded(monkeypatch):
    """Make everything too large for one go, and leave memory for tiles alone."""
    monkeypatch.setattr(autoencoder, "FREE_SHARE_CPU", 1.0)
    monkeypatch.setattr(autoencoder, "estimate_kl_bytes", lambda *_, **__: WHOLE_BYTES + 1)
    monkeypatch.setattr(autoencoder, "measure_free_bytes", lambda _: LEAST_BYTES)


def test_what_does_not_fit_whole_is_decoded_and_encoded_in_tiles(kl, crowded):
    latents, pixels = make_latents(7, 6).repeat(2, 1, 1, 1), make_pixels(48, 32)
    decoded = decode_latents(kl, latents, KL, CPU)
    assert torch.allclose(decoded, kl.decode(latents / 0.18215 + 0.1).sample, atol=TOLERANCE, rtol=TOLERANCE)
    encoded = encode_pixels(kl, pixels, KL, CPU)
    expected = (kl.encode(pixels).latent_dist.mean - 0.1) * 0.18215
    assert torch.allclose(encoded, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_tiles_are_handed_out_one_by_one_and_read_in_parts(kl, crowded, monkeypatch):
    """Neither the canvas nor the picture exists as one tensor."""
    monkeypatch.setattr(kl_tiles, "WORK_BYTES", 2**18)
    latents, decoded, read = make_latents(9, 40), torch.full((1, 3, 320, 72), float("nan")), []
    coder = TiledAutoencoder(vae=kl, contract=KL, policy=CPU)

    def note(box):
        read.append(box)
        return latents[(..., *box.slices_hw)]

    def put(box, tile):
        assert bool(decoded[(..., *box.slices_hw)].isnan().all())
        decoded[(..., *box.slices_hw)] = tile
        boxes.append(box)

    boxes = []
    with torch.inference_mode():
        coder.decode_into(note, LatentSize(9, 40), put)
    assert max(box.height for box in read) < 40
    assert len(boxes) > 2
    assert all(side % 8 == 0 for box in boxes for side in (box.left, box.top, box.right, box.bottom))
    whole = kl.decode(latents / 0.18215 + 0.1).sample
    assert torch.allclose(decoded, whole, atol=TOLERANCE, rtol=TOLERANCE)


def test_bands_are_no_higher_than_what_a_wide_picture_allows(kl, crowded, monkeypatch):
    monkeypatch.setattr(autoencoder, "BAND_BYTES", 1)
    bands = []
    coder = TiledAutoencoder(vae=kl, contract=KL, policy=CPU)
    latents = make_latents(3, 19)
    with torch.inference_mode():
        coder.decode_into(
            lambda box: latents[(..., *box.slices_hw)], LatentSize(3, 19), lambda *band: bands.append(band)
        )
    assert [box.height for box, _ in bands] == [64, 64, 24]


@pytest.mark.parametrize("whole_fits", [True, False])
def test_a_box_decodes_as_in_the_whole(kl, whole_fits, request):
    if not whole_fits:
        request.getfixturevalue("crowded")
    latents, box = make_latents(7, 6), LatentBox(2, 1, 7, 5)
    part = decode_box(kl, latents, box, KL, CPU)
    rows, columns = box.to_pixels(8).slices_hw
    whole = kl.decode(latents / 0.18215 + 0.1).sample
    assert torch.allclose(part, whole[..., rows, columns], atol=TOLERANCE, rtol=TOLERANCE)


def test_what_was_set_counts_where_more_is_free(kl):
    with pytest.raises(BudgetError, match="at least 256 MiB"):
        decode_latents(kl, make_latents(4, 4), KL, CPU, most_bytes=WORKSPACE_BYTES)
    assert decode_latents(kl, make_latents(4, 4), KL, CPU, most_bytes=LEAST_BYTES).shape == (1, 3, 32, 32)


def test_memory_is_split_without_a_rest():
    for memory in (LEAST_BYTES, 2**29, 2**33):
        assert HEAP * WORK_BYTES + measure_store(memory) + WORKSPACE_BYTES == memory


def test_the_native_size_of_the_smallest_family_is_not_cut_and_more_is():
    native = estimate_kl_bytes(SD_CHANNELS, LatentSize(64, 64), 4)
    assert runs_whole(native, None)
    assert runs_whole(native, native)
    assert not runs_whole(native, native - 1)
    assert not runs_whole(estimate_kl_bytes(SD_CHANNELS, LatentSize(64, 65), 4), None)
    # Where a tile keeps few cores busy, more of it.
    large = estimate_kl_bytes(SD_CHANNELS, LatentSize(128, 128), 4)
    assert runs_whole(large, None, separate=True)
    assert not runs_whole(large, large - 1, separate=True)
    assert not runs_whole(3 * large, None, separate=True)


@pytest.mark.parametrize("way", ["decode", "encode"])
def test_what_is_free_changes_no_bit(kl, monkeypatch, way):
    """Neither where the maps lie nor how a picture is cut may follow from the moment; a small one is refused instead."""
    latents, pixels = make_latents(13, 9), make_pixels(104, 72)

    def code(free, most=None):
        for module in (autoencoder, kl_tiles):
            monkeypatch.setattr(module, "measure_free_bytes", lambda _: free)
        if way == "decode":
            return decode_latents(kl, latents, KL, CPU, most_bytes=most)
        return encode_pixels(kl, pixels, KL, CPU, most_bytes=most)

    whole, needed = code(2**34), estimate_kl_bytes(kl.config.block_out_channels, LatentSize(13, 9), 4)
    assert torch.equal(code(needed), whole)
    with pytest.raises(BudgetError, match="free"):
        code(needed - 1)
    monkeypatch.setattr(estimate, "WHOLE_BYTES", 0)
    monkeypatch.setattr(kl_tiles, "WORK_BYTES", 2**18)
    cut = [code(free, most) for free, most in ((2**34, None), (2**34, LEAST_BYTES), (2 * LEAST_BYTES, None))]
    assert all(torch.equal(one, cut[0]) for one in cut)
    assert not torch.equal(cut[0], whole)


def test_the_estimate_is_what_the_true_decoder_keeps():
    with torch.device("meta"):
        network = make_kl(SD_CHANNELS, layers=2)
    size = LatentSize(128, 96)
    decoder = make_program(list_decoder_layers(network), Extent(4, 96, 128))
    encoder = make_program(list_encoder_layers(network), Extent(3, 768, 1024))
    said = estimate_tiled(SD_CHANNELS, size, 4, 2**40)
    assert said.disk_bytes == 0
    assert said.memory_bytes == decoder.peak_count() * 4 + LEAST_BYTES
    assert encoder.peak_count() <= decoder.peak_count()
    tight = estimate_tiled(SD_CHANNELS, size, 4, LEAST_BYTES)
    assert tight.memory_bytes == LEAST_BYTES
    assert tight.disk_bytes == decoder.store(0, 4).spill_bytes


def test_too_little_disk_is_found_before_the_first_tile(kl, monkeypatch):
    monkeypatch.setattr(kl_tiles, "measure_offload_bytes", lambda: 1000)
    start, sheet = Extent(4, 9, 9), Sheet(Extent(3, 72, 72).region, 3)
    ends = make_ends(make_latents(9, 9), sheet)
    with pytest.raises(BudgetError, match="of disk"):
        run_in_tiles(list_decoder_layers(kl), start, ends, LEAST_BYTES)
    run_in_tiles(list_decoder_layers(kl), start, ends, 2**30)
    assert torch.allclose(sheet.values, kl.decode(make_latents(9, 9)).sample, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_file_gives_back_every_bit_and_has_no_name(tmp_path, dtype):
    extent = Extent(5, 6, 7)
    whole = torch.randn(1, 5, 6, 7).to(dtype)
    shelf = FileMapStore(extent, dtype, DEVICE, tmp_path)
    shelf.write(Region(Span(0, 6), Span(0, 3)), whole[..., :3])
    shelf.write(Region(Span(0, 6), Span(3, 7)), whole[..., 3:])
    assert torch.equal(shelf.read(Region(Span(2, 4), Span(0, 7))), whole[..., 2:4, :])
    assert torch.equal(shelf.read(Region(Span(1, 6), Span(2, 6))), whole[..., 1:6, 2:6])
    assert not list(tmp_path.iterdir())
    shelf.close()


def test_a_full_disk_is_an_error_that_says_where(tmp_path):
    extent = Extent(64, 64, 64)
    with files_of_at_most(2**19), pytest.raises(StorageError, match="no room"):
        FileMapStore(extent, FP32, DEVICE, tmp_path)
    shelf = FileMapStore(extent, FP32, DEVICE, tmp_path)
    with files_of_at_most(2**19), pytest.raises(StorageError, match="no room"):
        shelf.write(extent.region, torch.zeros(1, 64, 64, 64))
    shelf.close()
    with pytest.raises(StorageError, match="cannot keep"):
        FileMapStore(extent, FP32, DEVICE, tmp_path / "absent")


def test_the_hosts_memory_is_used_before_a_file(tmp_path):
    shelves = DiskOffload(DEVICE, host_bytes=5000, folder=tmp_path)
    first, second = (shelves.open(Extent(10, 10, 10), FP32) for _ in range(2))
    assert not isinstance(first, FileMapStore)
    assert isinstance(second, FileMapStore)
    second.close()
    first.close()
    assert not isinstance(shelves.open(Extent(10, 10, 10), FP32), FileMapStore)


def test_tmpdir_says_where_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(offload.tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert offload.find_offload_folder() == tmp_path


def test_another_build_is_refused_by_name():
    network = make_kl((16, 16))
    network.decoder.mid_block.attentions[0].heads = 2
    with pytest.raises(ModelError, match="cannot run in tiles"):
        list_decoder_layers(network)


def test_the_layers_of_the_true_decoder_reach_as_far_as_the_networks():
    """Without statistics and attention a pixel reads 17.25 cells to each side; each sweep only its own part of that."""
    with torch.device("meta"):
        network = make_kl(SD_CHANNELS, layers=2)
    layers = list_decoder_layers(network)
    seen = Span(8 * 100, 8 * 100 + 8)
    for layer in reversed(layers):
        if isinstance(layer, Conv | Upsample):
            seen = layer.reach(seen)
    assert seen == Span(100 - 18, 101 + 18)
    for sweep in make_program(layers, Extent(4, 64, 64)).passes:
        part = Span(10, 20)
        for link in reversed(sweep.chain):
            part = link.reach(part)
        grain = sweep.value.height // sweep.extents[0].height
        assert part.length * grain <= 10 + 2 * MARGIN_PIXELS
