"""Short names find files in every layout of a folder of models, and only where one file has the name."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import LoraRef, RenderRequest
from sfumato.models.describe import find_checkpoint
from sfumato.models.files.library import find_model_file, is_hub_name, list_entries
from sfumato.models.files.vae_file import open_vae
from sfumato.models.upscaler.upscaler import load_upscaler
from sfumato.workflows.files import digests
from sfumato.workflows.files.digests import find_lora

KINDS = ("checkpoint", "vae", "lora", "embedding", "upscaler")
A1111 = ("Stable-diffusion", "VAE", "Lora", "embeddings", "ESRGAN")
COMFY = ("checkpoints", "vae", "loras", "embeddings", "upscale_models")
HEADERS = {
    "checkpoint": {f"model.diffusion_model.out.{number}.weight": torch.ones(1) for number in range(5)},
    "vae": {"encoder.conv_in.weight": torch.ones(1), "decoder.conv_in.weight": torch.ones(1)},
    "lora": {"lora_unet_x.lora_down.weight": torch.ones(1, 1)},
    "embedding": {"emb_params": torch.ones(1, 4)},
    "upscaler": {
        f"{name}.weight": torch.ones(4, 4, 3, 3)
        for name in ("conv_first", "body.0.rdb1.conv1", "upconv1", "HRconv", "conv_last")
    },
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def put(path, kind="lora", **notes):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(HEADERS[kind], path, metadata=notes or None)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".sft"])
@pytest.mark.parametrize("folders", [A1111, COMFY, ("",) * 5, tuple(f"models/{name}" for name in A1111)])
def test_every_kind_is_found_in_every_layout(root, folders, suffix):
    for kind, folder in zip(KINDS, folders, strict=True):
        path = put(root / folder / f"{kind}-1{suffix}", kind)
        for name in (f"{kind}-1", f"{kind}-1{suffix}", f"{kind}-1".upper(), f" {kind}-1 "):
            assert find_model_file(kind, name) == path
        others = [other for other in KINDS if other != kind]
        for other in others:
            with pytest.raises((ModelError, RequestError)):
                find_model_file(other, f"{kind}-1")
    assert [entry.kind for entry in list_entries(root)] == list(KINDS)


def test_embeddings_beside_the_models_folder_of_a1111_are_found(root):
    path = put(root.parent / "embeddings" / "face.safetensors", "embedding")
    put(root.parent / "Lora" / "style.safetensors")
    assert find_model_file("embedding", "face") == path
    with pytest.raises(RequestError):
        find_model_file("lora", "style")


def test_a_path_that_exists_wins_over_a_name(root, tmp_path, monkeypatch):
    put(root / "Lora" / "style.safetensors")
    own = put(tmp_path / "style.safetensors")
    monkeypatch.chdir(tmp_path)
    assert find_model_file("lora", "style.safetensors").resolve() == own
    assert find_model_file("lora", "style.safetensors", paths=False) == root / "Lora" / "style.safetensors"


def test_a_diffusers_folder_is_one_model(root):
    folder = root / "Stable-diffusion" / "photos" / "big"
    put(folder / "unet" / "diffusion_pytorch_model.safetensors", "checkpoint")
    (folder / "model_index.json").write_text("{}")
    assert find_checkpoint("big") == find_checkpoint("photos/big") == folder
    assert [entry.name for entry in list_entries(root)] == ["photos/big"]


def test_a_name_that_several_files_have_is_refused_with_the_list(root):
    paths = [put(root / "Lora" / folder / "style.safetensors") for folder in ("a", "b")]
    with pytest.raises(RequestError) as caught:
        find_model_file("lora", "style")
    assert all(str(path) in caught.value.do for path in paths)
    assert find_model_file("lora", "a/style") == paths[0]
    put(root / "Lora" / "Style.safetensors")
    assert find_model_file("lora", "Style").parent == root / "Lora"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_accents_blanks_and_training_names_are_found(root, form, asked):
    path = put(
        root / "Lora" / "deep" / (unicodedata.normalize(form, "café") + " .safetensors"), ss_output_name="málaga"
    )
    for name in ("café", "café ", "málaga"):
        assert find_lora(unicodedata.normalize(asked, name)) == path


def test_links_are_followed_and_loops_end(root, tmp_path):
    real = put(tmp_path / "elsewhere" / "far.safetensors")
    (root / "Lora").mkdir()
    (root / "Lora" / "near.safetensors").symlink_to(real)
    (root / "Lora" / "loop").symlink_to(root / "Lora")
    (root / "Lora" / "gone.safetensors").symlink_to(tmp_path / "gone")
    (root / "Lora" / "again.safetensors").symlink_to(real)
    assert find_lora("near") == find_lora("again") == real
    assert [entry.name for entry in list_entries(root)] == ["again.safetensors", "near.safetensors"]


def test_a_folder_of_loras_of_its_own_counts_too(root, tmp_path, monkeypatch):
    path = put(tmp_path / "mine" / "style.safetensors")
    monkeypatch.setenv("SFUMATO_LORA_FOLDER", str(tmp_path / "mine"))
    assert find_lora("style") == path
    monkeypatch.delenv("SFUMATO_MODELS")
    assert find_lora("style") == path
    monkeypatch.delenv("SFUMATO_LORA_FOLDER")
    with pytest.raises(RequestError, match="none is set"):
        find_lora("style")
    with pytest.raises(RequestError, match="a path"):
        find_lora("../style")


def test_options_take_short_names(root):
    put(root / "VAE" / "soft.safetensors", "upscaler")
    put(root / "ESRGAN" / "4x.safetensors", "vae")
    with pytest.raises(ModelError, match="autoencoder"):
        open_vae("soft")
    with pytest.raises(ModelError):
        load_upscaler("4x", torch.device("cpu"))
    for use in (open_vae, lambda name: load_upscaler(name, torch.device("cpu")), find_checkpoint):
        with pytest.raises(ModelError, match="no such"):
            use("nothing")


def test_a_hub_name_is_told_how_to_fetch_it(root):
    with pytest.raises(ModelError) as caught:
        find_checkpoint("owner/some-model.v2")
    assert "sfumato models get owner/some-model.v2" in caught.value.do


@pytest.mark.parametrize(
    "name", ["a", "a/b/c", "../b", "a/..", "/b", "a/", "a b/c", "folder/x.safetensors", "a/b;rm", "-/\n"]
)
def test_what_is_no_hub_name(name):
    assert not is_hub_name(name)


def test_a_setting_that_names_no_folder_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("SFUMATO_MODELS", str(tmp_path / "nothing"))
    with pytest.raises(RequestError, match="no folder"):
        find_checkpoint("x")


def test_the_gate_looks_before_anything_is_hashed(root, monkeypatch):
    """A sparse file of 64 GB would be read for minutes."""
    (root / "Lora").mkdir()
    with (root / "Lora" / "huge.safetensors").open("wb") as file:
        file.truncate(64 * 2**30)
    request = make_request(str(root / "Lora" / "huge.safetensors"))
    with pytest.raises(UnsafeFileError):
        digests.digest_weights(request)
    with pytest.raises(UnsafeFileError):
        digests.digest_weights(replace(request, loras=(), model=request.loras[0].path))
    monkeypatch.setattr(digests, "LARGEST_ADAPTER_BYTES", 3)
    with pytest.raises(RequestError):
        digests.digest_weights(make_request(str(put(root / "Lora" / "small.safetensors"))))


def make_request(lora):
    return RenderRequest(prompt="a house", size=PixelSize(64, 64), loras=(LoraRef(path=lora, weight=1.0),))
