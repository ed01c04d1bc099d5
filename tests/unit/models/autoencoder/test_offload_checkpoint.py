"""An autoencoder that dies anywhere goes on to the same bytes, and does at most one row of tiles twice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderTiny

from autoencoders import make_kl, make_latents, make_pixels
from sfumato.core.errors import StorageError
from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.models.autoencoder import coder as autoencoder
from sfumato.models.autoencoder import estimate, kl_tiles, offload_checkpoint
from sfumato.models.autoencoder.coder import TiledAutoencoder
from sfumato.models.autoencoder.estimate import LEAST_BYTES
from sfumato.models.autoencoder.kl_layers import list_decoder_layers
from sfumato.models.autoencoder.kl_tiles import CoderCheckpoint
from sfumato.models.autoencoder.offload import FileMapStore
from sfumato.models.autoencoder.offload_checkpoint import CheckpointCopies
from sfumato.models.hardware.policy import Policy
from sfumato.nn.tiled import Extent, Notes, TileCheckpoint, make_program

FP32 = torch.float32
KINDS = {"kl": SimpleNamespace(scaling=0.18215, shift=0.1, autoencoder="kl", factor=2)}
KINDS["tiny"] = SimpleNamespace(scaling=1.0, shift=0.0, autoencoder="tiny", factor=8)
KINDS |= {"bf16": KINDS["kl"], "far": KINDS["kl"]}


class Killed(BaseException):
    """What a process cannot catch."""


@dataclass
class Journal:
    """Keep the last mark, as a file would, and die before or right after the nth."""

    folder: Path
    mark: TileCheckpoint | None = None
    notes: int = 0
    dies_at: int = 0
    after: bool = False
    seen: list[tuple[int, int]] = field(default_factory=list)

    def kept(self, *, dies_at=0, after=False) -> CoderCheckpoint:
        self.notes, self.dies_at, self.after = 0, dies_at, after
        return CoderCheckpoint(notes=Notes(checkpoint=self.mark, note=self.note), folder=self.folder)

    def note(self, mark: TileCheckpoint) -> None:
        self.notes += 1
        if self.notes == self.dies_at and not self.after:
            raise Killed
        # What is written out is a copy: the run must not change it afterwards.
        numbers = {name: torch.from_numpy(x.numpy().copy()) for name, x in mark.numbers.items()}
        self.mark = TileCheckpoint(
            pass_index=mark.pass_index, tiles=mark.tiles, work_bytes=mark.work_bytes, numbers=numbers
        )
        self.seen.append((mark.pass_index, mark.tiles))
        if self.notes == self.dies_at:
            raise Killed


@pytest.fixture
def crowded(monkeypatch):
    """Leave memory for small tiles alone."""
    monkeypatch.setattr(autoencoder, "FREE_SHARE_CPU", 1.0)
    monkeypatch.setattr(estimate, "WHOLE_BYTES", 0)
    monkeypatch.setattr(autoencoder, "measure_free_bytes", lambda _: LEAST_BYTES)
    monkeypatch.setattr(kl_tiles, "WORK_BYTES", 2**16)
    # Strips of the tiny one.
    monkeypatch.setattr(autoencoder, "STRIP_CELLS", 8)
    monkeypatch.setattr(autoencoder, "TILE_CELLS", 8)
    monkeypatch.setattr(autoencoder, "LEAST_BAND_CELLS", 4)
    monkeypatch.setattr(autoencoder, "BAND_BYTES", 8 * 20 * 64 * 12)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    kl = make_kl((16, 24))
    return {"kl": kl, "far": kl, "tiny": tiny.eval(), "bf16": make_kl((16, 24)).to(torch.bfloat16)}


@pytest.fixture
def far(monkeypatch):
    """Keep files far from the device, as those of a graphics card are; copy the maps before every mark all the same.

    Which takes its time: the tiles are larger.
    """
    monkeypatch.setattr(kl_tiles, "_NEAR_FILES", ())
    monkeypatch.setattr(kl_tiles, "WORK_BYTES", 2**18)
    monkeypatch.setattr(offload_checkpoint, "PATIENCE", 0.0)


@dataclass
class Coding:
    """Encode or decode one canvas into a tensor that outlives the process, as a file does."""

    vae: object
    kind: str
    way: str
    reads: int = 0

    def __post_init__(self):
        factor = KINDS[self.kind].factor
        self.cells = LatentSize(12, 28)
        self.latents, self.pixels = make_latents(12, 28), make_pixels(12 * factor, 28 * factor)
        shape = self.pixels.shape if self.way == "decode" else self.latents.shape
        self.made = torch.full(shape, float("nan"))

    def run(self, kept=None):
        def read(box):
            self.reads += 1
            return (self.latents if self.way == "decode" else self.pixels)[(..., *box.slices_hw)]

        def write(box, band):
            self.made[(..., *box.slices_hw)] = band

        number_type = "bf16" if self.kind == "bf16" else "fp32"
        coder = TiledAutoencoder(
            vae=self.vae, contract=KINDS[self.kind], policy=Policy("cpu", "fp32", "fp32", number_type)
        )
        with torch.inference_mode():
            if self.way == "decode":
                coder.decode_into(read, self.cells, write, kept)
            else:
                size = PixelSize(self.pixels.shape[-1], self.pixels.shape[-2])
                coder.encode_into(read, size, write, kept)
        return self.made


_UNKEPT = {}


def run_unkept(networks, kind, way):
    """Code without a journal, once for networks, way and tiles: where files lie changes no number."""
    alike = (id(networks[kind]), way, kl_tiles.WORK_BYTES)
    if alike not in _UNKEPT:
        _UNKEPT[alike] = Coding(networks[kind], kind, way).run()
    return _UNKEPT[alike]


@pytest.fixture
def tiles(monkeypatch):
    """Count the tiles that are computed, those of the keys of an attention included."""
    counted = []
    for module in ("run", "halo"):
        path = f"sfumato.nn.tiled.{module}.run_chain"
        inner = __import__("sfumato.nn.tiled.halo", fromlist=["run_chain"]).run_chain
        monkeypatch.setattr(path, lambda *given, inner=inner: (counted.append(given[-1]), inner(*given))[1])
    return counted


def list_deaths(notes, places):
    """Spread deaths over the marks, the first and the last included, by turns before and right after one."""
    if places == "everywhere":
        return [(dies_at, after) for dies_at in range(1, notes + 1) for after in (False, True)]
    return [(1 + (notes - 1) * number // (places - 1), number % 2 == 1) for number in range(places)]


def list_killed():
    """List kinds, ways and places; what differs from another in numbers or files alone is tried one way."""
    few = [("tiny", "decode", 4), ("tiny", "encode", 4), ("kl", "decode", 4), ("kl", "encode", 4)]
    few += [("bf16", "decode", 3), ("far", "decode", 3)]
    all_ = [(kind, way, "everywhere") for kind in ("tiny", "kl", "bf16", "far") for way in ("decode", "encode")]
    return few + [pytest.param(*words, marks=pytest.mark.slow) for words in all_]


@pytest.mark.parametrize(("kind", "way", "places"), list_killed())
def test_killed_anywhere_it_gives_the_same_bytes(kind, way, places, networks, crowded, tiles, tmp_path, request):
    if kind == "far":
        request.getfixturevalue("far")
    unkept = run_unkept(networks, kind, way)
    undisturbed = Journal(tmp_path / "whole")
    undisturbed.folder.mkdir()
    tiles.clear()
    wanted = Coding(networks[kind], kind, way).run(undisturbed.kept())
    assert torch.equal(wanted, unkept)
    alone, notes = len(tiles), undisturbed.notes
    assert not list(undisturbed.folder.iterdir()), "maps go when they are not needed any more"
    # One tile of an attention computes those of its keys as well.
    rows = max(2, *tiles_of_rows(undisturbed.seen))
    for dies_at, after in list_deaths(notes, places):
        journal, coding = Journal(tmp_path / f"{dies_at}{after}"), Coding(networks[kind], kind, way)
        journal.folder.mkdir()
        tiles.clear()
        with pytest.raises(Killed):
            coding.run(journal.kept(dies_at=dies_at, after=after))
        assert torch.equal(coding.run(journal.kept()), wanted), (dies_at, after)
        assert len(tiles) - alone <= (0 if after else rows), (dies_at, after)


def tiles_of_rows(seen):
    """Return the tiles between two marks, and those that one tile of an attention computes of its keys."""
    counts = [tiles for _, tiles in seen]
    return [new - old if new > old else new for old, new in zip([0, *counts], counts, strict=False)]


@pytest.fixture
def decoded(networks, crowded):
    """Return what decoding gives when nothing is noted, computed once."""
    return run_unkept(networks, "kl", "decode")


def test_killed_three_times_in_a_row(networks, crowded, decoded, tmp_path):
    journal, coding = Journal(tmp_path), Coding(networks["kl"], "kl", "decode")
    for dies_at in (5, 1, 30):
        with pytest.raises(Killed):
            coding.run(journal.kept(dies_at=dies_at))
    assert torch.equal(coding.run(journal.kept()), decoded)


def test_it_goes_on_in_the_tiles_it_began_with(networks, crowded, decoded, tmp_path, monkeypatch):
    """Whatever the program has come to take for a good tile meanwhile, and where it would not cut at all now."""
    journal, coding = Journal(tmp_path), Coding(networks["kl"], "kl", "decode")
    with pytest.raises(Killed):
        coding.run(journal.kept(dies_at=9))
    monkeypatch.setattr(kl_tiles, "WORK_BYTES", 2**18)
    monkeypatch.setattr(estimate, "WHOLE_BYTES", 2**30)
    assert torch.equal(coding.run(journal.kept()), decoded)


def test_maps_of_a_run_whose_marks_are_lost_go(networks, crowded, decoded, tmp_path):
    journal, coding = Journal(tmp_path), Coding(networks["kl"], "kl", "decode")
    with pytest.raises(Killed):
        coding.run(journal.kept(dies_at=20))
    assert list(tmp_path.iterdir())
    journal.mark = None
    assert torch.equal(coding.run(journal.kept()), decoded)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "dies_at"), [("kl", 7), ("kl", 30), ("far", 7), pytest.param("far", 30, marks=pytest.mark.slow)]
)
def test_a_map_that_was_lost_is_no_map_of_zeros(kind, dies_at, networks, crowded, tmp_path, request):
    """Taken away or cut off: refused where the mark counts on it, made anew where it may have gone."""
    if kind == "far":
        request.getfixturevalue("far")
    wanted = run_unkept(networks, kind, "decode")
    journal, coding, refused = Journal(tmp_path / "work"), Coding(networks[kind], kind, "decode"), 0
    journal.folder.mkdir()
    with pytest.raises(Killed):
        coding.run(journal.kept(dies_at=dies_at, after=True))
    for number, path in enumerate(sorted(journal.folder.iterdir())):
        losses = (None, path.read_bytes()[:5000])
        # By turns where each run copies maps, which takes its time.
        for raw in losses if kind == "kl" or dies_at == 30 else losses[number % 2 :][:1]:
            lost = Journal(shutil.copytree(journal.folder, tmp_path / "lost"), mark=journal.mark)
            (lost.folder / path.name).unlink()
            if raw is not None:
                (lost.folder / path.name).write_bytes(raw)
            again = Coding(networks[kind], kind, "decode")
            again.made[:] = coding.made
            try:
                assert torch.equal(again.run(lost.kept()), wanted), path.name
            except StorageError as error:
                refused += str(lost.folder / path.name) in error.got and f"folder {lost.folder} and" in error.do
            shutil.rmtree(lost.folder)
    assert refused >= 2


def test_without_room_for_every_map_it_runs_as_ever_and_notes_nothing(
    networks, crowded, decoded, tmp_path, monkeypatch
):
    monkeypatch.setattr(kl_tiles.CheckpointMaps, "has_room", lambda *_: False)
    journal = Journal(tmp_path)
    assert torch.equal(Coding(networks["kl"], "kl", "decode").run(journal.kept()), decoded)
    assert journal.mark is None


def test_room_is_left_for_the_pixels_that_follow(networks, crowded, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(kl_tiles.CheckpointMaps, "has_room", lambda _, needed: asked.append(needed) or False)
    coding = Coding(networks["kl"], "kl", "decode")
    coding.run(Journal(tmp_path).kept())
    cells = coding.cells
    program = make_program(list_decoder_layers(networks["kl"]), Extent(4, cells.height, cells.width))
    # Three bytes a pixel as decoded, three as finished.
    assert asked == [program.store(0, 4).spill_bytes + 6 * cells.area * KINDS["kl"].factor ** 2]


def test_a_disk_that_fills_up_meanwhile_is_no_end(networks, crowded, decoded, tmp_path, monkeypatch):
    journal, coding, left = Journal(tmp_path), Coding(networks["kl"], "kl", "decode"), 40
    inner = FileMapStore.write

    def write(shelf, region, tile):
        nonlocal left
        left -= 1
        if left == 0:
            raise StorageError("full")
        inner(shelf, region, tile)

    monkeypatch.setattr(FileMapStore, "write", write)
    with pytest.raises(StorageError):
        coding.run(journal.kept())
    assert torch.equal(coding.run(journal.kept()), decoded)


def test_copies_are_made_now_and_then_and_go_with_the_run(networks, crowded, far, decoded, tmp_path, monkeypatch):
    often, seldom = Journal(tmp_path / "often"), Journal(tmp_path / "seldom")
    for journal, patience in ((often, 0.0), (seldom, 10.0)):
        journal.folder.mkdir()
        # A copy takes a second, and so does what lies between two marks.
        seconds = map(float, range(10**6))
        monkeypatch.setattr(kl_tiles, "CheckpointCopies", partial(CheckpointCopies, clock=seconds.__next__))
        monkeypatch.setattr(offload_checkpoint, "PATIENCE", patience)
        assert torch.equal(Coding(networks["kl"], "kl", "decode").run(journal.kept()), decoded)
        assert not list(journal.folder.iterdir())
    assert 2 < seldom.notes < often.notes / 4
    # Killed right after its end, before anybody noted that, it has nothing left to do.
    coding = Coding(networks["kl"], "kl", "decode")
    coding.run(seldom.kept())
    assert coding.reads == 0


@pytest.mark.parametrize("far_from_the_first", [True, False])
def test_without_room_for_copies_it_goes_on_from_the_last(
    networks, crowded, far, decoded, tmp_path, monkeypatch, far_from_the_first
):
    journal, coding, left = Journal(tmp_path), Coding(networks["kl"], "kl", "decode"), 0 if far_from_the_first else 40
    inner = FileMapStore.write

    def write(shelf, region, tile):
        nonlocal left
        # The others are maps that memory does not hold.
        left -= shelf.named
        if shelf.named and left < 0:
            raise StorageError("full")
        inner(shelf, region, tile)

    with monkeypatch.context() as full:
        full.setattr(FileMapStore, "write", write)
        assert torch.equal(coding.run(journal.kept()), decoded)
    marks = journal.seen[:-1]
    assert bool(marks) is not far_from_the_first
    assert not list(tmp_path.iterdir())


def test_copies_that_no_mark_speaks_of_go(networks, crowded, far, decoded, tmp_path):
    journal, coding = Journal(tmp_path), Coding(networks["kl"], "kl", "decode")
    with pytest.raises(Killed):
        coding.run(journal.kept(dies_at=20))
    names = {path.name.split(".", 1)[1] for path in tmp_path.iterdir()}
    assert len(names) == 2, "the last copies, and those of the mark that was not noted"
    assert torch.equal(coding.run(journal.kept()), decoded)
    assert not list(tmp_path.iterdir())
