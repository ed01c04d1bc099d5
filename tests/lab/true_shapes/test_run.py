"""The bench of true shapes on a tiny one: parts add up, what was stopped goes on to the same bytes, limits stop a process."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sfumato.core.errors import BudgetError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.lab.true_shapes import rows as shapes_rows
from sfumato.lab.true_shapes import run as bench_shapes
from sfumato.lab.true_shapes.diffusers_full_size import call_pipeline
from sfumato.lab.true_shapes.process import Ended, Limits, run_child
from sfumato.lab.true_shapes.random_checkpoint import count_random_bytes, write_random_folder
from sfumato.lab.true_shapes.render_process import try_call, try_decode, try_render
from sfumato.lab.true_shapes.rows import NOT_DONE, WAYS, Rows, Trying
from sfumato.lab.true_shapes.run import ShapesAsked, run_bench_shapes
from sfumato.lab.true_shapes.table import list_lines
from sfumato.models.autoencoder import coder as autoencoder
from sfumato.models.describe import load_contract
from sfumato.render.plan import cost

CPU = torch.device("cpu")
GIB = 1024**3
SIZE_PX, STEPS = 128, 4
TINY = {
    "unet": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64, "sample_size": 8},
    "vae": {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "sample_size": 64},
    "text_encoder": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "projection_dim": 64,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_random_folder(tmp_path_factory.mktemp("shapes") / "sd15", "sd15", TINY)


def ask(folder, **more):
    common = {"folder": str(folder), "size_px": SIZE_PX, "dtype": "fp32", "device": "cpu", "device_bytes": 4 * GIB}
    return common | more


def ask_render(folder, out, **more):
    wanted = {"steps": STEPS, "budget_bytes": None, "out": str(out), "resume": False, "copy_to": None, "kill_at": 0}
    return ask(folder, **wanted) | more


@pytest.fixture(scope="module")
def rendered(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("render")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        return place, try_render(ask_render(folder, place / "whole.png", copy_to=str(place / "kept")))


def make_rows(folder, work, **limits):
    trying = Trying(
        name="tiny", folder=folder, size_px=SIZE_PX, steps=STEPS, dtype="fp32", device="cpu", budget_bytes=None
    )
    most = Limits(most_bytes=4 * GIB, device_bytes=4 * GIB, most_s=600.0, cache=work)
    return Rows(trying, work, replace(most, **limits))


def test_a_folder_is_written_once_and_opens(folder):
    before = (folder / "unet" / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns
    assert write_random_folder(folder, "sd15", TINY) == folder
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns == before
    assert load_contract(folder).native == PixelSize(64, 64)


def test_the_bytes_of_a_true_shape_are_known_before_it_is_written():
    # 860, 123 and 84 million parameters, two bytes each.
    assert count_random_bytes("sd15") == pytest.approx(2 * 1.067e9, rel=0.01)


def test_a_render_tells_its_parts_beside_the_plan(rendered):
    _, found = rendered
    assert {"base", "level 1 of 1", "encode", "decode"} <= set(found["parts"])
    assert found["peak_bytes"] == max(part["peak_bytes"] for part in found["parts"].values()) > found["held_bytes"] / 2
    assert found["planned_bytes"] > 0
    assert found["disk_bytes"] > 0
    assert sum(part["seconds"] for part in found["parts"].values()) > found["seconds"]


def test_its_copy_goes_on_to_the_same_bytes(folder, rendered, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place, whole = rendered
    (place / "kept").rename(tmp_path / "again.png.work")
    again = try_render(ask_render(folder, tmp_path / "again.png", resume=True))
    assert again["sha256"] == whole["sha256"]
    assert again["parts"]["decode"]["seconds"] > 0
    assert "encode" not in again["parts"]


def test_diffusers_is_called_at_both_sizes(folder):
    found = try_call(ask(folder))
    assert 0 < found["step_s"] <= found["full"]["seconds"]
    with pytest.raises(BudgetError, match="does not fit"):
        call_pipeline(folder, (64, SIZE_PX), torch.float32, CPU, most_bytes=1)


def test_our_tiles_are_nearer_to_the_whole_than_theirs(folder, tmp_path):
    rows = make_rows(folder, tmp_path)
    for way in WAYS:
        pixels = tmp_path / f"tiny-{SIZE_PX}-{way.replace(' ', '-')}.npy"
        try_decode(ask(folder, way=way, pixels=str(pixels)))
        assert np.load(pixels).shape == (1, 3, SIZE_PX, SIZE_PX)
    off = rows.compare(SIZE_PX)
    assert off["our tiles"]["most"] < 0.1 < off["their tiles"]["most"]
    with pytest.raises(BudgetError, match="does not fit"):
        try_decode(ask(folder, way="whole", pixels="nowhere", device_bytes=1))


def test_a_smaller_picture_is_compared_where_the_whole_does_not_fit(folder, tmp_path):
    contract = load_contract(folder)
    assert make_rows(folder, tmp_path).find_largest(contract) == SIZE_PX
    assert make_rows(folder, tmp_path, device_bytes=3 * GIB // 2 + 134 * 2**20).find_largest(contract) == 64
    assert make_rows(folder, tmp_path, device_bytes=1).find_largest(contract) == 0


@pytest.mark.parametrize(
    ("limits", "words"), [({"most_bytes": 2**20}, "may take"), ({"most_s": 0.2}, "took longer than")]
)
def test_a_process_that_takes_too_much_is_stopped(folder, tmp_path, limits, words):
    most = Limits(most_bytes=4 * GIB, device_bytes=4 * GIB, most_s=600.0, cache=tmp_path)
    ended = run_child(ask_render(folder, tmp_path / "a.png", trial="render"), replace(most, **limits))
    assert words in ended.stopped
    assert ended.found is None
    assert ended.where == "opening the model"


def test_a_row_that_is_done_is_kept_and_one_that_is_not_is_tried_again(folder, tmp_path, monkeypatch):
    ends = [Ended(stopped="took longer than 1 minutes", where="base, 1 of 4", seconds=60.0), Ended(found={"cost": 1})]
    monkeypatch.setattr(shapes_rows, "run_child", lambda *_: ends.pop(0))
    rows = make_rows(folder, tmp_path)
    assert rows.run("probe")[NOT_DONE] == "took longer than 1 minutes"
    assert rows.run("probe")["cost"] == 1
    assert rows.run("probe")["cost"] == 1
    assert not ends
    assert NOT_DONE in rows.run("resume")


def test_the_table_says_what_was_not_done_and_what_was(rendered):
    _, found = rendered
    spent = {"seconds": 1.0, "processor_s": 2.0, "held_bytes": GIB, "peak_bytes": 3 * GIB}
    rows = {
        "size": "128x128",
        "native": "64x64",
        "steps": 4,
        "render": found,
        "resume": found | {"same": True, "redone_s": 0.25, "killed_at": "level 1 of 1, 3 of 6"},
        "call": {"native": spent, "full": spent, "step_s": 0.5, "step_processor_s": 1.0},
        "decode": dict.fromkeys(WAYS, spent) | {"whole": {NOT_DONE: "decoding in one go does not fit"}},
        "difference": {"side_px": 64, "largest": 1.5} | {way: {"most": 9.0, "mean": 1.0} for way in WAYS[1:]},
    }
    text = "\n".join(list_lines("tiny", json.loads(json.dumps(rows))))
    for words in (
        "the same bytes; 0.2 s redone",
        "x 4 steps = 2 s",
        "does not fit",
        "their tiles 9 at most",
        "level 1",
    ):
        assert words in text


def test_a_resumed_render_that_only_decoded_is_told_by_what_the_render_held(rendered):
    _, found = rendered
    resumed = found | {"held_bytes": None, "same": True, "redone_s": 0.2, "killed_at": "level 1 of 1, 6 of 6"}
    resumed |= {"peak_bytes": found["held_bytes"] + 3 * GIB}
    head = {"size": "128x128", "native": "64x64", "steps": 4}
    (line,) = (line for line in list_lines("tiny", head | {"render": found, "resume": resumed}) if "resumed" in line)
    assert "  3.00  " in line
    (line,) = (line for line in list_lines("tiny", head | {"resume": resumed}) if "resumed" in line)
    assert "  -  " in line


def test_the_maps_of_a_decode_are_weighed_and_planned(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (autoencoder, cost):
        monkeypatch.setattr(module, "estimate_kl_bytes", lambda *_, **__: 2**50)
    found = try_render(ask_render(folder, tmp_path / "a.png", steps=2))
    # At full size the maps hold a quarter of 32 channels and twice 32, four bytes each.
    maps = SIZE_PX**2 * 4 * (32 // 4 + 2 * 32)
    assert found["planned_disk_bytes"] > maps
    assert maps < found["disk_bytes"] <= found["planned_disk_bytes"]


def test_what_is_not_kept_lies_where_the_autoencoder_spills_and_is_gone_after(folder, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(bench_shapes, "find_spill_folder", lambda: tmp_path)
    monkeypatch.setattr(bench_shapes, "_run_rows", lambda _trying, _asked, folder, *_: seen.append(folder) or {})
    run_bench_shapes(ShapesAsked(folders=(folder,), dtype="fp32", device="cpu"))
    assert [place.parent for place in seen] == [tmp_path]
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_may_lie_behind_a_link(folder, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(bench_shapes, "_run_rows", lambda trying, *_: seen.append(trying) or {})
    work, beside = tmp_path / "work", tmp_path / "mine"
    work.mkdir()
    for link in (work / "sd15", beside):
        link.symlink_to(folder, target_is_directory=True)
    run_bench_shapes(ShapesAsked(shapes=("sd15",), work=work, dtype="fp32", device="cpu"))
    run_bench_shapes(ShapesAsked(folders=(beside,), work=work, dtype="fp32", device="cpu"))
    assert [trying.name for trying in seen] == ["sd15", "mine"]
    assert [load_contract(trying.folder).native for trying in seen] == [PixelSize(64, 64)] * 2


def test_a_link_that_leads_nowhere_is_told(tmp_path):
    (tmp_path / "sd15").symlink_to(tmp_path / "gone")
    with pytest.raises(RequestError, match="leads nowhere"):
        run_bench_shapes(ShapesAsked(shapes=("sd15",), work=tmp_path, dtype="fp32", device="cpu"))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"shapes": ("sd9",)},
        {"shapes": ("sd15",), "folders": (Path("a"),)},
        {"folders": (Path("a/model"), Path("b/model"))},
        {"rows": ("all",)},
        {"steps": 1},
        {"minutes": 0.0},
        {"minutes": float("nan")},
        {"most_gb": -1.0},
        {"budget_gb": float("inf")},
    ],
)
def test_what_cannot_be_measured_is_refused(wrong):
    with pytest.raises(RequestError):
        run_bench_shapes(ShapesAsked(**wrong))


@pytest.mark.slow
def test_the_whole_bench_kills_and_resumes(folder, tmp_path):
    asked = ShapesAsked(folders=(folder,), size_px=2 * SIZE_PX, dtype="fp32", work=tmp_path / "kept", most_gb=3.0)
    bench = run_bench_shapes(asked)
    found = json.loads(bench.to_line())["found"]["sd15"]
    assert found["resume"]["same"]
    assert 0 < found["resume"]["redone_s"] < found["resume"]["seconds"]
    assert found["render"]["basis"] == "probe"
    assert found["difference"]["our tiles"]["most"] < 0.1
    assert Path(tmp_path / "kept").is_dir()
