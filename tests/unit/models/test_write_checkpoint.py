"""A whole checkpoint written again: the same numbers in a folder and in one file, changed networks in their place."""

import hashlib

import pytest
import torch

from bundles import tiny_mini
from checkpoints import write_folder as write_base_folder
from checkpoints import write_single_file as write_base_file
from sfumato.core.errors import ModelError
from sfumato.models.load import load_model
from sfumato.models.write_checkpoint import write_folder, write_single_file

FAMILIES = ["sd15", pytest.param("sd21-base", marks=pytest.mark.slow), pytest.param("sdxl", marks=pytest.mark.slow)]
HALF = {"dtype": torch.float16}


def weights(ref):
    model = load_model(str(ref), dtype="fp32")
    networks = {
        "unet": model.unet,
        "vae": model.vae,
        **{f"text{at}": one for at, one in enumerate(model.text_encoders)},
    }
    return model, {f"{part}.{n}": t for part, network in networks.items() for n, t in network.state_dict().items()}


def digest(path):
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in files}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("write", [write_base_folder, write_base_file])
def test_both_forms_hold_what_the_base_holds_but_what_changed(tmp_path, family, write):
    base = write(tmp_path / ("base" if write is write_base_folder else "base.safetensors"), family, **HALF)
    before, (model, expected) = digest(base), weights(base)
    name = "conv_in.weight"
    changed = {"unet": {n: t.clone() for n, t in model.unet.state_dict().items()}}
    changed["unet"][name] += 1
    expected[f"unet.{name}"] = changed["unet"][name].half().float()
    files = write_folder(base, folder := tmp_path / "new", changed)
    write_single_file(base, single := tmp_path / "new.safetensors", changed)
    assert folder / "unet" / "diffusion_pytorch_model.safetensors" in files
    for made in (folder, single):
        again, found = weights(made)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[n], t) for n, t in expected.items())
        assert again.contract.prediction == model.contract.prediction
        assert again.contract.family == model.contract.family
    assert digest(base) == before


@pytest.mark.slow  # it loads whole pipelines of diffusers
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_diffusers_opens_both_forms(tmp_path, family):
    from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline

    base = write_base_file(tmp_path / "base.safetensors", family, **HALF)
    _, expected = weights(base)
    write_folder(base, folder := tmp_path / "new", {})
    write_single_file(folder, single := tmp_path / "new.safetensors", {})
    kind = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    parts = {} if family == "sdxl" else {"safety_checker": None, "feature_extractor": None}
    opened = DiffusionPipeline.from_pretrained(folder, **parts)
    # The configurations of the folder: those of the hub are of the full size.
    read = kind.from_single_file(str(single), config=str(folder), local_files_only=True, **parts)
    for pipe in (opened, read):
        state = pipe.unet.state_dict()
        assert all(
            torch.equal(state[n.removeprefix("unet.")].float(), t) for n, t in expected.items() if n[:5] == "unet."
        )


def test_mini_is_a_folder_alone(tmp_path):
    files = write_folder(tiny_mini(), tmp_path / "new", {})
    assert {path.name for path in files} >= {"model_index.json", "tokenizer.json", "scheduler_config.json"}
    _, expected = weights(tiny_mini())
    _, found = weights(tmp_path / "new")
    assert all(torch.equal(found[n], t) for n, t in expected.items())
    with pytest.raises(ModelError, match="single-file") as caught:
        write_single_file(tiny_mini(), tmp_path / "new.safetensors", {})
    assert caught.value.do


def test_weights_of_another_model_are_refused(tmp_path):
    with pytest.raises(ModelError, match="not those of the base"):
        write_folder(tiny_mini(), tmp_path / "new", {"unet": {"elsewhere.weight": torch.zeros(1)}})
