"""What `pack` writes is a plain diffusers folder, and the stages check what they need."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from sfumato.core.errors import ModelError, RequestError
from sfumato.lab.train_mini.pictures import open_pictures
from sfumato.lab.train_mini.run import STAGES, run_train_mini
from sfumato.lab.train_mini.stages import MiniTraining
from sfumato.models.load import load_model
from sfumato.models.mini import make_mini_autoencoder, make_mini_text_encoder, make_mini_unet
from sfumato.train.vocabulary import count_words, learn_merges, save_vocabulary


def make_state(folder: Path) -> None:
    torch.manual_seed(0)
    size = save_vocabulary(folder / "tokenizer", learn_merges(count_words(["a red house, photograph"])))
    special = {"start": size - 2, "end": size - 1}
    make_mini_autoencoder(16, 16).save_pretrained(folder / "vae")
    make_mini_unet((32, 32, 32)).save_pretrained(folder / "unet")
    make_mini_text_encoder(size, **special).save_pretrained(folder / "text_encoder")
    pictures = open_pictures(folder)
    pictures.append(np.zeros((1, 128, 128, 3), np.uint8), [{"captions": ["A red house, not a cat's", "house"]}])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("state")
    make_state(state)
    out = state / "mini"
    (out / "reader").mkdir(parents=True)
    (out / "reader" / "kept.txt").write_text("another stage's output")
    run_train_mini(MiniTraining(state=state), stage="pack", out=out)
    return out


def test_diffusers_opens_and_runs_the_bundle(bundle: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(bundle, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    # The default, True, cuts latents at 1 and ruins colours.
    assert pipeline.scheduler.config.clip_sample is False
    picture = pipeline("a red house", num_inference_steps=2, height=128, width=128).images[0]
    assert picture.size == (128, 128)


def test_our_own_loader_opens_the_bundle(bundle: Path) -> None:
    model = load_model(bundle)
    assert model.contract.prediction == "v_prediction"
    assert model.contract.factor == 8
    assert model.contract.native.width == 128


def test_what_was_not_trained_comes_from_the_bundle_named(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "eyes" / "parser").mkdir(parents=True)
    (tmp_path / "eyes" / "parser" / "new.txt").write_text("trained")
    run_train_mini(MiniTraining(state=tmp_path, init=bundle), stage="pack")
    assert (tmp_path / "mini" / "parser" / "new.txt").exists()
    assert (tmp_path / "mini" / "reader" / "kept.txt").exists()
    unet = Path("unet") / "diffusion_pytorch_model.safetensors"
    assert (tmp_path / "mini" / unet).read_bytes() == (bundle / unet).read_bytes()


def test_checksums_cover_every_file_and_other_parts_stay(bundle: Path) -> None:
    listed = dict(reversed(line.split("  ")) for line in (bundle / "SHA256SUMS.txt").read_text().splitlines())
    files = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file() and p.name != "SHA256SUMS.txt"}
    assert set(listed) == files
    assert "reader/kept.txt" in files
    assert all(hashlib.sha256((bundle / name).read_bytes()).hexdigest() == value for name, value in listed.items())


def test_the_words_of_the_captions_go_with_the_denoiser(bundle: Path, tmp_path: Path) -> None:
    assert (bundle / "words.txt").read_text().split() == ["a", "cat", "house", "not", "red", "s"]
    run_train_mini(MiniTraining(state=tmp_path, init=bundle), stage="pack")
    assert (tmp_path / "mini" / "words.txt").read_bytes() == (bundle / "words.txt").read_bytes()


def test_weights_are_float16_and_the_tokenizer_has_both_files(bundle: Path) -> None:
    assert {p.name for p in (bundle / "tokenizer").iterdir()} >= {"vocab.json", "merges.txt", "tokenizer_config.json"}


def test_wrong_stages_and_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        run_train_mini(MiniTraining(state=tmp_path), stage="everything")
    with pytest.raises(ModelError, match="unet"):
        run_train_mini(MiniTraining(state=tmp_path), stage="pack", out=tmp_path / "mini")
    with pytest.raises(RequestError, match="out"):
        run_train_mini(MiniTraining(state=tmp_path, steps=1), stage="reader", out=tmp_path / "mini")


@pytest.mark.slow
def test_all_stages_run_in_order_from_nothing(tmp_path: Path) -> None:
    wanted = MiniTraining(state=tmp_path / "state", steps=2, pictures=256)
    reached = run_train_mini(wanted, out=tmp_path / "mini")
    assert tuple(reached) == STAGES
    assert load_model(tmp_path / "mini").contract.name
    again = run_train_mini(wanted, stage="unet", out=tmp_path / "mini")
    assert getattr(again["unet"], "step", None) == 2
