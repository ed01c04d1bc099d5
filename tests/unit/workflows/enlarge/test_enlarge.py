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
from sfumato.models.upscaler.compact import CompactShape
from sfumato.models.upscaler.find_upscaler import ChosenUpscaler, find_named
from sfumato.workflows.enlarge import choose, network_pixels
from sfumato.workflows.enlarge.back_projection import measure_back_projection
from sfumato.workflows.enlarge.choose import choose_for
from sfumato.workflows.enlarge.enlarge import choose_output, enlarge, list_pictures, repeat
from sfumato.workflows.enlarge.judge import judge_enlarged
from sfumato.workflows.enlarge.rehearse import Rehearsal, pick_patches, rehearse
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

    projection = measure_back_projection(source, read, 2)
    whole = PixelSize(38, 42).box
    result = projection.correct(read, whole)
    check = judge_enlarged(source, read, 2, projection)
    assert check.passed
    assert check.moved_steps > 3 * check.low_band_steps
    # Neighbours still differ by the board, but for the smooth field.
    assert np.abs(np.diff(result[20:], axis=1)[:, ::2].astype(int)).mean() > 30
    cut = PixelBox(5, 9, 30, 40)
    assert np.array_equal(projection.correct(read, cut), result[cut.slices_hw])


def test_a_network_that_draws_something_else_fails():
    source = np.full((16, 16, 3), 40, np.uint8)
    other = np.full((32, 32, 3), 200, np.uint8)
    check = judge_enlarged(
        source,
        lambda box: other[box.slices_hw],
        2,
        measure_back_projection(source, lambda box: other[box.slices_hw], 2),
    )
    assert (check.passed, check.moved_steps) == (False, 160.0)
    assert json.dumps(check.to_json())
    assert "lanczos" in str(check)


def test_the_enlargement_reduced_again_is_the_picture():
    rng = np.random.default_rng(1)
    source = rng.integers(60, 190, (150, 12, 3), dtype=np.uint8)
    large = rng.integers(90, 160, (600, 48, 3), dtype=np.uint8)
    projection = measure_back_projection(source, lambda box: large[box.slices_hw], 4)
    result = projection.correct(lambda box: large[box.slices_hw], PixelSize(48, 600).box)
    reduced = result.reshape(150, 4, 12, 4, 3).mean(axis=(1, 3))
    # Noise is the worst case: three passes leave a little, and a strip of rows ends at no seam.
    assert np.abs(reduced - source).mean() < 4
    assert np.abs(reduced - source)[60:70].mean() < 4
    # What lies between the pixels stays: the enlargement keeps its own noise.
    assert np.corrcoef(np.diff(result, axis=1)[:, ::4].ravel(), np.diff(large, axis=1)[:, ::4].ravel())[0, 1] > 0.4


class Board:
    """A network that repeats pixels, and draws a checkerboard over a corner."""

    def __init__(self, corner=0):
        self.shape, self.corner = CompactShape(convolutions=1, scale=2, channels=3), corner

    def run(self, rows):
        for part in rows:
            large = part.repeat_interleave(2, 2).repeat_interleave(2, 3)
            board = torch.arange(large.shape[3]) + torch.arange(large.shape[2])[:, None]
            large[:, :, : self.corner, : self.corner] += (board % 2 - 0.5)[: self.corner, : self.corner]
            yield large

    def count_bytes(self, width, rows):
        return width * rows


class SquaredDistance:
    """A perceptual distance that is none: the mean of squares, and their map by squares of 8 px."""

    def measure(self, one, other):
        return [float(value) for value in (one - other).square().mean((1, 2, 3))]

    def map_deep(self, one, other):
        return torch.nn.functional.avg_pool2d((one - other).square().mean(1, keepdim=True), 8, ceil_mode=True)[:, 0]


def test_parts_of_a_picture_are_tried_where_the_truth_is_known():
    noise = np.random.default_rng(5).integers(0, 256, (260, 301, 3), dtype=np.uint8)
    boxes = pick_patches(noise)
    assert len({(box.left, box.top) for box in boxes}) == 3
    assert all(box.size == PixelSize(96, 96) for box in boxes)
    assert [box.size for box in pick_patches(noise[:41, :77])] == [PixelSize(76, 40)]
    assert pick_patches(noise[:31]) == []
    assert rehearse(Board(), noise[:31], SquaredDistance()) is None
    squares = np.kron(noise[:60, :60], np.ones((4, 4, 1), np.uint8))
    good, bad = (rehearse(Board(corner), squares, SquaredDistance()) for corner in (0, 60))
    assert (good.patches, good.passed, bad.passed) == (3, True, False)
    assert good.lanczos == bad.lanczos > good.network


def test_a_network_that_draws_something_new_fails_and_says_where():
    source = np.full((420, 230, 3), 90, np.uint8)
    large = source.repeat(2, axis=0).repeat(2, axis=1)
    large[604:620, 404:420] = 240

    def read(box):
        return large[box.slices_hw]

    projection = measure_back_projection(source, read, 2)
    check = judge_enlarged(source, read, 2, projection, distance=SquaredDistance())
    # A place of 8 px that holds most of it.
    assert PixelBox(200, 300, 212, 312).contains(check.largest.box)
    assert any("new or lost" in fault for fault in check.faults)
    assert check.to_json()["verdict"] == "failed"
    large[604:620, 404:420] = 90
    calm = judge_enlarged(source, read, 2, measure_back_projection(source, read, 2), distance=SquaredDistance())
    assert (calm.passed, calm.largest.change) == (True, 0.0)
    worse = replace(calm, rehearsal=Rehearsal(network=0.2, lanczos=0.1, patches=3))
    assert "Lanczos" in worse.faults[0]


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Stand in for the fetched networks: how near each comes, and how near Lanczos does."""
    near = {}

    def install(lanczos, **found):
        near.clear()
        near.update(
            {name.replace("_", "-"): Rehearsal(network=one, lanczos=lanczos, patches=3) for name, one in found.items()}
        )
        for name in near:
            (tmp_path / name).write_bytes(b"")

    monkeypatch.setattr(choose, "find_part", lambda name: tmp_path / name if name in near else None)
    monkeypatch.setattr(choose, "find_distance", SquaredDistance)
    monkeypatch.setattr(choose, "find_named", lambda name: ChosenUpscaler(name=name, weights=tmp_path / name))
    monkeypatch.setattr(choose, "rehearse_named", lambda chosen, *_: near[chosen.name])
    return install


@pytest.mark.parametrize(
    ("lanczos", "found", "wanted"),
    [
        (0.05, {"x4plus": 0.04, "x4compact": 0.036}, "x4plus"),
        (0.05, {"x4plus": 0.04, "x4compact": 0.03}, "x4compact"),
        (0.05, {"x4plus": 0.06, "x4plus_anime": 0.049}, "x4plus-anime"),
        (0.05, {"x4plus": 0.06, "x4compact": 0.055}, "lanczos"),
        (0.05, {"x4compact": 0.04}, "x4compact"),
    ],
)
def test_the_network_that_comes_nearest_is_chosen(networks, lanczos, found, wanted):
    networks(lanczos, **found)
    source = np.zeros((200, 200, 3), np.uint8)
    suited = choose_for(source)
    assert suited.chosen.name == wanted
    assert wanted in suited.chosen.words
    assert (suited.rehearsal is None) == (wanted == "lanczos")
    assert choose_for(source, networks_only=True).chosen.weights is not None


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
