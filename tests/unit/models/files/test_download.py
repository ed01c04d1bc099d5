"""Fetching a checkpoint from a hub: what is chosen, resumed, checked and refused. The hub is on the loopback."""

from __future__ import annotations

import pickle

import pytest
from huggingface_hub import constants

from checkpoints import write_folder, write_single_file
from hub import COMMIT, Hub
from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.models.describe import load_contract
from sfumato.models.files.download import UNFINISHED, choose_files, download_checkpoint
from sfumato.models.files.library import find_model_file
from sfumato.workflows.checkpoints import get_model, list_models

EXTRA = {
    "README.md": b"#", "unet/diffusion_pytorch_model.bin": pickle.dumps(1), "safety_checker/model.safetensors": b"x",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"x", "handler.py": b"1",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = write_folder(tmp_path_factory.mktemp("folder"), "sd15")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return write_single_file(tmp_path_factory.mktemp("single") / "one.safetensors", "sd15").read_bytes()


@pytest.fixture
def hub(folder, single, monkeypatch):
    evil = folder | {"unet/config.json": b'{"_class_name": "os.system"}'}
    repositories = {
        "owner/folder": folder | EXTRA,
        "owner/single": {"one.safetensors": single, "README.md": b"#"},
        "owner/many": {"a.safetensors": single, "b.safetensors": single},
        "owner/pickles": {"model.ckpt": b"x", "unet/diffusion_pytorch_model.bin": b"x"},
        "owner/evil": evil,
    }
    with Hub(repositories) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_a_diffusers_repository_becomes_a_folder(hub, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("SFUMATO_MODELS", str(tmp_path))
    made = get_model("owner/folder")
    assert made["commit"] == COMMIT
    assert made["kind"] == "checkpoint"
    asked = {file for file, _ in hub.asked}
    assert not asked & EXTRA.keys()
    place = find_model_file("checkpoint", "owner--folder")
    assert {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} <= folder.keys()
    assert load_contract("owner--folder").family == "sd1"
    assert [model["name"] for model in list_models()] == ["mini", "owner--folder"]
    assert not (tmp_path / UNFINISHED / "owner--folder").exists()
    with pytest.raises(RequestError, match="already"):
        get_model("owner/folder")


def test_a_single_file_is_fetched_and_chosen(hub, tmp_path):
    made = download_checkpoint("owner/single", tmp_path)
    assert made.path == tmp_path / "Stable-diffusion" / "one.safetensors"
    (tmp_path / "comfy" / "checkpoints").mkdir(parents=True)
    with pytest.raises(RequestError) as caught:
        download_checkpoint("owner/many", tmp_path / "comfy")
    assert "a.safetensors, b.safetensors" in caught.value.do
    made = download_checkpoint("owner/many", tmp_path / "comfy", file="b.safetensors")
    assert made.path == tmp_path / "comfy" / "checkpoints" / "b.safetensors"
    with pytest.raises(RequestError):
        download_checkpoint("owner/many", tmp_path, file="c.safetensors")


def test_a_stopped_download_goes_on(hub, tmp_path, single, monkeypatch):
    """The first try breaks off in the middle of the file; the second asks for the rest."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.cut = {"one.safetensors"}
    with pytest.raises(ModelError) as caught:
        download_checkpoint("owner/single", tmp_path)
    assert "goes on" in caught.value.do
    hub.cut.clear()
    made = download_checkpoint("owner/single", tmp_path)
    assert made.path.read_bytes() == single
    ranges = [asked for _, asked in hub.asked]
    assert ranges[-1].startswith("bytes=")
    assert not ranges[-1].startswith("bytes=0-")


def test_a_damaged_file_is_noticed(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("sfumato.models.files.download.file_sha256", lambda _: "0" * 64)
    with pytest.raises(ModelError, match="damaged"):
        download_checkpoint("owner/single", tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert download_checkpoint("owner/single", tmp_path).path.is_file()


def test_what_the_gate_refuses_gets_no_place(hub, tmp_path):
    with pytest.raises(UnsafeFileError):
        download_checkpoint("owner/evil", tmp_path)
    assert not (tmp_path / "Stable-diffusion").exists()


@pytest.mark.parametrize("name", ["owner/nothing", "owner/pickles"])
def test_what_is_not_there_is_an_error_with_words(hub, tmp_path, name):
    with pytest.raises(ModelError) as caught:
        download_checkpoint(name, tmp_path)
    assert caught.value.do


def test_a_hub_that_is_away_is_an_error_with_words(tmp_path, monkeypatch):
    with Hub({}) as away:
        monkeypatch.setenv("HF_ENDPOINT", away.url)
    with pytest.raises(ModelError, match="hub"):
        download_checkpoint("owner/single", tmp_path)


@pytest.mark.parametrize("name", ["single", "../../etc", "owner/a/b", "owner/..", ""])
def test_a_name_is_owner_and_name(tmp_path, name):
    with pytest.raises(RequestError, match="OWNER/NAME"):
        download_checkpoint(name, tmp_path)


def test_the_client_is_offline_again_afterwards(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    download_checkpoint("owner/single", tmp_path)
    assert constants.HF_HUB_OFFLINE


def test_half_size_is_taken_where_there_is_no_full_one():
    names = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors", "vae/x.bin"]
    assert choose_files(names) == names[:3]
    shards = [f"unet/diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = "unet/diffusion_pytorch_model.safetensors.index.json"
    assert set(choose_files([*names, *shards, index])) == {*names[:2], *shards, index}


def test_nothing_lies_outside_the_folder(hub, tmp_path):
    hub.repositories["owner/slip"] = {"model_index.json": b"{}", "unet/../../../x.safetensors": b"x"}
    with pytest.raises(ModelError):
        download_checkpoint("owner/slip", tmp_path)
