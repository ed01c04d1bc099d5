"""Enlarging with a network: sizes, stopping and going on, what the request holds, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN

from sfumato.core.errors import ModelError, RequestError, StorageError
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.models.upscaler.find_upscaler import find_named
from sfumato.workflows.enlarge import network_pixels
from sfumato.workflows.enlarge.enlarge import choose_output, enlarge, list_pictures, repeat
from sfumato.workflows.enlarge.judge import judge_enlarged
from sfumato.workflows.enlarge.low_band import measure_low_band
from sfumato.workflows.enlarge.request import read_enlarge_request


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Use an empty cache: no part, no measured rates."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path / "parts"))


def make_network(scale=2):
    torch.manual_seed(0)
    return ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=scale).state_dict()


@pytest.fixture
def network(tmp_path):
    save_file(make_network(), tmp_path / "x2.safetensors")
    return tmp_path / "x2.safetensors"


@pytest.fixture
def photo(tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (20, 26, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("size", [PixelSize(52, 40), PixelSize(39, 30), PixelSize(70, 54), PixelSize(60, 40)])
def test_any_size_and_the_request_in_the_file(tmp_path, network, photo, size):
    """Reduced from the network's size, reached by a second pass, and cropped to another aspect."""
    done = enlarge(photo, size, upscaler=str(network), out=tmp_path / "large.png")
    assert done.image.size == (size.width, size.height)
    request = read_enlarge_request(tmp_path / "large.png")
    assert request == done.request
    assert (request.method, len(request.upscaler_sha256)) == ("esrgan", 64)
    assert not list(tmp_path.glob("*.work"))
    assert np.array_equal(np.asarray(enlarge(photo, size, upscaler=str(network)).image), np.asarray(done.image))


def test_work_that_was_stopped_goes_on_to_the_same_bytes(tmp_path, network, photo, monkeypatch):
    wanted, out = tmp_path / "whole.png", tmp_path / "large.png"
    # Two passes, of which the second is stopped in its middle.
    enlarge(photo, PixelSize(104, 80), upscaler=str(network), out=wanted)
    monkeypatch.setattr(network_pixels, "NOTE_S", 0.0)
    monkeypatch.setattr("sfumato.models.upscaler.grown_rows.MOST_ROWS", 4)
    seen = []

    def stop(share):
        seen.append(share)
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enlarge(photo, PixelSize(104, 80), upscaler=str(network), out=out, on_share=stop)
    assert not out.exists()
    with pytest.raises(RequestError, match="can be resumed"):
        enlarge(photo, PixelSize(104, 80), upscaler=str(network), out=out)
    with pytest.raises(RequestError, match="not the one"):
        enlarge(photo, PixelSize(78, 60), upscaler=str(network), out=out, resume=True)
    again = []
    enlarge(photo, PixelSize(104, 80), upscaler=str(network), out=out, resume=True, on_share=again.append)
    assert out.read_bytes() == wanted.read_bytes()
    assert again[0] > 0.5
    assert seen == sorted(seen)


def test_a_stored_request_is_repeated_or_refused(tmp_path, network, photo):
    done = enlarge(photo, PixelSize(52, 40), upscaler=str(network), out=tmp_path / "large.png")
    repeat(done.request, out=tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "large.png").read_bytes()
    other = make_network()
    other["model.0.bias"] += 1.0
    save_file(other, network)
    with pytest.raises(ModelError, match="other weights"):
        repeat(done.request)
    network.unlink()
    with pytest.raises(ModelError, match="not there"):
        repeat(done.request)
    with pytest.raises(ModelError, match="not there"):
        repeat(replace(done.request, upscaler="x4plus"))
    photo.write_bytes((tmp_path / "large.png").read_bytes())
    with pytest.raises(RequestError, match="another one"):
        repeat(done.request)


def test_without_a_part_it_is_lanczos_and_says_how_to_get_one(photo):
    done = enlarge(photo, PixelSize(52, 40))
    assert done.request.method == "lanczos"
    assert "sfumato parts get x4plus" in done.words
    for settings in ({"method": "esrgan"}, {"upscaler": "x4plus"}):
        with pytest.raises(ModelError) as caught:
            enlarge(photo, PixelSize(52, 40), **settings)
        assert "sfumato parts get x4plus" in caught.value.do


def test_a_pickle_of_the_family_is_converted_once(tmp_path, photo):
    state = {f"{name}": tensor for name, tensor in make_network().items()}
    torch.save({"params_ema": state, "params": {}}, tmp_path / "x2.pth")
    done = enlarge(photo, PixelSize(52, 40), upscaler=str(tmp_path / "x2.pth"))
    assert "converted once" in done.words
    assert find_named(str(tmp_path / "x2.pth")).words == ""
    save_file(state, tmp_path / "x2.safetensors")
    same = enlarge(photo, PixelSize(52, 40), upscaler=str(tmp_path / "x2.safetensors"))
    assert np.array_equal(np.asarray(done.image), np.asarray(same.image))
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="no known upscaler"):
        find_named(str(tmp_path / "other.pth"))


def test_a_folder_gives_its_pictures_and_stopped_names_are_found(tmp_path, photo):
    (tmp_path / "notes.txt").write_text("no picture")
    assert list_pictures([tmp_path, photo]) == [photo, photo]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="no picture"):
        list_pictures([tmp_path / "empty"])
    size, folder = PixelSize(52, 40), tmp_path / "large"
    first = choose_output(folder, photo, size)
    stopped = first.with_name(f"{first.name}.work")
    stopped.mkdir(parents=True)
    for name in ("sfumato-work.json", "journal.npz"):
        (stopped / name).write_bytes(b"")
    assert choose_output(folder, photo, size) != first
    assert choose_output(folder, photo, size, resume=True) == first


def test_wide_colours_are_put_back_and_detail_stays():
    rng = np.random.default_rng(0)
    source = rng.integers(60, 190, (21, 19, 3), dtype=np.uint8)
    large = source.repeat(2, axis=0).repeat(2, axis=1)
    # A checkerboard of one pixel has no mean.
    board = (np.indices(large.shape[:2]).sum(axis=0) % 2 * 40 - 20)[..., None]
    moved = (large + board).astype(np.uint8)
    moved[:16, :16, 0] += 20

    def read(box):
        return moved[box.slices_hw]

    low_band = measure_low_band(source, read, 2)
    whole = PixelSize(38, 42).box
    result = low_band.correct(read, whole)
    check = judge_enlarged(source, read, 2, low_band)
    assert check.passed
    assert check.moved_steps > 3 * check.low_band_steps
    # Neighbours still differ by the board, but for the smooth field.
    assert np.abs(np.diff(result[20:], axis=1)[:, ::2].astype(int)).mean() > 30
    cut = PixelBox(5, 9, 30, 40)
    assert np.array_equal(low_band.correct(read, cut), result[cut.slices_hw])


def test_a_network_that_draws_something_else_fails():
    source = np.full((16, 16, 3), 40, np.uint8)
    other = np.full((32, 32, 3), 200, np.uint8)
    check = judge_enlarged(
        source, lambda box: other[box.slices_hw], 2, measure_low_band(source, lambda box: other[box.slices_hw], 2)
    )
    assert (check.passed, check.moved_steps) == (False, 160.0)
    assert json.dumps(check.to_json())
    assert "lanczos" in str(check)


@pytest.mark.part("x4plus")
def test_the_part_draws_sharper_edges_than_lanczos(parts, tmp_path):
    """A disc of 24 px, halved: steeper edges, the same colours."""
    high, wide = np.mgrid[:96, :96]
    inside = (high - 48) ** 2 + (wide - 48) ** 2 < 24**2
    truth = Image.fromarray(np.where(inside[..., None], (200, 60, 40), (30, 90, 160)).astype(np.uint8))
    truth.resize((24, 24), Image.Resampling.BOX).save(tmp_path / "disc.png")
    results = [
        np.asarray(enlarge(tmp_path / "disc.png", PixelSize(96, 96), upscaler=name).image, int)
        for name in ("x4plus", "lanczos")
    ]
    steepest = [np.abs(np.diff(pixels, axis=1)).max() for pixels in results]
    assert steepest[0] > 1.5 * steepest[1]
    for place in ((slice(40, 56), slice(40, 56)), (slice(0, 8), slice(0, 96))):
        moved = results[0][place].mean(axis=(0, 1)) - np.asarray(truth, int)[place].mean(axis=(0, 1))
        # Without the smooth field that puts colours back, the network moves them by 8 to 17.
        assert np.abs(moved).max() < 8


def test_a_folder_that_cannot_be_made_is_told_before_the_work(tmp_path, photo):
    (tmp_path / "file").write_text("in the way")
    out = choose_output(tmp_path / "file" / "large", photo, PixelSize(160, 120))
    with pytest.raises(StorageError, match="folder cannot be written"):
        enlarge(photo, PixelSize(160, 120), out=out)
