"""Opening checkpoints of every family and layout: tiny, but of the true architecture and vocabulary."""

from __future__ import annotations

import functools
import itertools
import json
import os
from pathlib import Path

import pytest
import torch

from checkpoints import FAMILIES, make_configs, make_value, write_folder, write_single_file, write_tensors
from pictures import open_theirs, render_ours, render_theirs
from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.describe import describe_checkpoint, load_contract
from sfumato.models.files.convert import name_target
from sfumato.models.inspect import inspect_model
from sfumato.models.load import load_model, probe_prediction

# Two float32 programs of one network: their sums run in another order.
TOLERANCE = 2e-5
PROMPT = "a photo of a cat"
# At 8 cells the deepest level has one pixel, and norms of two numbers turn rounding into noise.
SIDE = 16


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a single file of a family; nobody writes into it."""
    root = tmp_path_factory.mktemp("files")
    return functools.cache(lambda family: write_single_file(root / f"{family}.safetensors", family))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a folder of a family; nobody writes into it."""
    root = tmp_path_factory.mktemp("folders")
    return functools.cache(lambda family: write_folder(root / family, family))


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, folders, files):
    return request.param, folders(request.param), files(request.param)


def test_a_picture_equals_the_diffusers_pipelines(pair):
    """From the folder; the single file holds the same networks, and reads prompts alike."""
    family, folder, single = pair
    said = load_contract(folder)
    model = load_model(folder, device="cpu", dtype="fp32")
    other = load_model(single, device="cpu", dtype="fp32", prediction=said.prediction)
    assert said.family == {"sd15": "sd1", "sdxl": "sdxl"}.get(family, "sd2")
    assert said.prediction == ("v_prediction" if family == "sd21" else "epsilon")
    assert (model.contract.native, model.contract.weights_bytes) == (said.native, said.weights_bytes)
    for words in (PROMPT, ""):
        assert_equal_parts(encode(other, words), encode(model, words))
    for one, two in itertools.zip_longest(list_networks(model), list_networks(other)):
        expected, found = one.state_dict(), two.state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    if family == "sd21-base":
        # The network of sd21, and the prediction of sd15.
        return
    noise = torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    pipe = open_theirs(folder)
    # An empty negative prompt is zeros in SDXL alone; elsewhere it is a text like any other.
    for negative in ("", "blurry") if family == "sdxl" else ("blurry",):
        theirs = render_theirs(pipe, PROMPT, negative, noise, guidance=5.0, steps=2)
        ours = render_ours(model, PROMPT, negative, noise, guidance=5.0, steps=2)
        assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()
    ours = render_ours(other, PROMPT, negative, noise, guidance=5.0, steps=2)
    assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()


def list_networks(model):
    return [model.unet, model.vae, *model.text_encoders]


def assert_equal_parts(one, other):
    assert len(one.parts) == len(other.parts)
    for part, same in zip(one.parts, other.parts, strict=True):
        assert torch.equal(part.hidden, same.hidden)


@pytest.fixture(scope="module")
def sd15(folders):
    return folders("sd15")


@pytest.fixture(scope="module")
def model(sd15):
    return load_model(sd15, device="cpu", dtype="fp32")


def encode(model, text: str):
    return model.encode_prompt(parse_prompt(text).at_step(0, 1), size=PixelSize(8 * SIDE, 8 * SIDE))


def test_parts_of_a_prompt_are_composed(model):
    x = torch.randn(2, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    both, cat, dog, empty = (encode(model, text) for text in ("cat AND dog:0.5", "cat", "dog", ""))
    clean = [model.denoise(x, 2.0, one) for one in (cat, dog, empty)]
    expected = clean[2] + 3.0 * ((clean[0] - clean[2]) + 0.5 * (clean[1] - clean[2]))
    assert torch.allclose(model.denoise_guided(x, 2.0, both, empty, 3.0), expected, atol=1e-4)
    assert torch.allclose(model.denoise(x, 2.0, both), (clean[0] + 0.5 * clean[1]) / 1.5, atol=1e-4)


def test_a_long_prompt_beside_a_short_one_needs_no_padding(model):
    x = torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(4))
    long, short = encode(model, "a cat, " * 60), encode(model, "")
    assert long.parts[0].hidden.shape[1] > short.parts[0].hidden.shape[1]
    guided = model.denoise_guided(x, 1.0, long, short, 4.0)
    apart = model.denoise(x, 1.0, short) + 4.0 * (model.denoise(x, 1.0, long) - model.denoise(x, 1.0, short))
    assert torch.allclose(guided, apart, atol=1e-4)


def test_each_picture_of_a_batch_may_have_its_own_sigma(model):
    x = torch.randn(2, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    words = encode(model, "a cat")
    together = model.denoise(x, torch.tensor([0.5, 7.0]), words)
    for index, sigma in enumerate((0.5, 7.0)):
        assert torch.allclose(together[index], model.denoise(x[index : index + 1], sigma, words)[0], atol=1e-4)


def test_half_precision_files_are_read_as_asked(tmp_path):
    path = write_single_file(tmp_path / "half.safetensors", "sd15", dtype=torch.float16)
    model = load_model(path, device="cpu", dtype="bf16")
    assert {weight.dtype for weight in model.unet.parameters()} == {torch.bfloat16}
    assert model.denoise(torch.randn(1, 4, 8, 8), 1.0, encode(model, "cat")).dtype == torch.float32


def test_an_autoencoder_is_replaced_by_a_file_of_either_naming(sd15, model, tmp_path):
    config = make_configs("sd15", tiny=True)["vae"]
    names = {name: tensor + 0.01 for name, tensor in model.vae.state_dict().items()}
    write_tensors(tmp_path / "new.safetensors", rows(names), torch.float32)
    swapped = load_model(sd15, vae=tmp_path / "new.safetensors", device="cpu", dtype="fp32")
    assert torch.equal(swapped.vae.state_dict()["encoder.conv_in.bias"], names["encoder.conv_in.bias"])
    assert swapped.contract.scaling == config["scaling_factor"]
    folder = load_model(sd15, vae=sd15 / "vae", device="cpu", dtype="fp32")
    assert torch.equal(folder.vae.state_dict()["encoder.conv_in.bias"], model.vae.state_dict()["encoder.conv_in.bias"])


def rows(tensors):
    return [(name, tuple(tensor.shape), lambda tensor=tensor: tensor) for name, tensor in tensors.items()]


def test_a_missing_tensor_is_named(sd15, tmp_path):
    target = copy_folder(sd15, tmp_path / "model")
    config = make_configs("sd15", tiny=True)["unet"]
    kept = [row for row in folder_rows("unet", config) if row[0] != "conv_out.bias"]
    write_tensors(target / "unet" / "diffusion_pytorch_model.safetensors", kept, torch.float32)
    with pytest.raises(ModelError, match=r"lacks 1 tensors.*conv_out\.bias"):
        load_model(target, device="cpu", dtype="fp32")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(sd15, tmp_path, wrong):
    target = copy_folder(sd15, tmp_path / "model")
    config = make_configs("sd15", tiny=True)["unet"]
    changed = [
        (name, shape, (lambda shape=shape: torch.full(shape, wrong)) if name == "conv_out.bias" else value)
        for name, shape, value in folder_rows("unet", config)
    ]
    write_tensors(target / "unet" / "diffusion_pytorch_model.safetensors", changed, torch.float32)
    with pytest.raises(UnsafeFileError, match=r"conv_out\.bias"):
        load_model(target, device="cpu", dtype="fp32")


def test_a_network_tells_what_it_predicts(model):
    class Echo(torch.nn.Module):
        def forward(self, x, *_, **__):
            return (x + 0.1 * torch.randn_like(x),)

    class Velocity(torch.nn.Module):
        def forward(self, x, *_, **__):
            return (torch.sin(torch.arange(x.numel()).float()).reshape(x.shape),)

    was = model.unet
    try:
        for network, answer in ((Echo(), "epsilon"), (Velocity(), "v_prediction")):
            model.unet = network
            assert probe_prediction(model) == answer
    finally:
        model.unet = was


def test_an_absent_checkpoint_is_an_error_of_the_model():
    with pytest.raises(ModelError, match="no such model"):
        load_model("/no/such/place", device="cpu", dtype="fp32")


def copy_folder(source: Path, target: Path) -> Path:
    for path in source.rglob("*"):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(source)).write_bytes(path.read_bytes())
    return target


def folder_rows(part: str, config):
    from checkpoints import list_shapes

    return [
        (name, shape, lambda name=name, shape=shape: make_value(part, name, shape))
        for name, shape in list_shapes(part, config).items()
    ]


def test_the_packaged_configurations_are_json_of_known_classes():
    for family in FAMILIES:
        assert json.dumps(make_configs(family, tiny=False))


YAMLS = [
    ('model:\n  params:\n    parameterization: "v"\n', "v_prediction"),
    ("model:\n  params:\n    parameterization: v # as trained\n", "v_prediction"),
    ("model:\n  params:\n    parameterization: 'eps'\n", "epsilon"),
    ("model:\n  params:\n    # parameterization: v\n    linear_start: 0.00085\n", None),
    (None, None),
]


# How a text is read does not depend on the family: each family meets one that says it and one that does not.
@pytest.mark.parametrize(
    ("family", "text", "said"),
    [("sd21", *one) for one in YAMLS]
    + [(family, *one) for family in ("sd15", "sdxl") for one in (YAMLS[0], YAMLS[-1])],
)
def test_the_yaml_beside_a_file_says_what_it_predicts(tmp_path, files, family, text, said):
    path = tmp_path / "one.safetensors"
    os.link(files(family), path)
    if text is not None:
        (tmp_path / "one.yaml").write_text(text)
    found = describe_checkpoint(path)
    usual = None if family == "sd21" else "epsilon"
    assert (found.prediction, found.prediction_source) == ((said, "yaml") if said else (usual, "family"))
    assert inspect_model(path)["prediction"] == (found.prediction or "unknown")


@pytest.mark.parametrize("family", ["sd15", "sd21"])
@pytest.mark.parametrize(("asked", "meant"), [("v", "v_prediction"), ("epsilon", "epsilon")])
def test_a_request_outranks_the_yaml_beside_a_file(tmp_path, files, family, asked, meant):
    path = tmp_path / "one.safetensors"
    os.link(files(family), path)
    (tmp_path / "one.yaml").write_text(f"parameterization: {'eps' if asked == 'v' else 'v'}")
    assert load_contract(path, prediction=asked).prediction == meant
    with pytest.raises(RequestError):
        load_contract(path, prediction="x")


def test_a_request_outranks_a_folder_too(sd15):
    assert load_contract(sd15, prediction="v").prediction == "v_prediction"
    assert load_model(sd15, device="cpu", dtype="fp32", prediction="v").contract.prediction == "v_prediction"


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bit_weights_are_read_as_their_numbers(tmp_path, dtype):
    """Inspect, plan and render agree: what has a contract loads."""
    path = write_single_file(tmp_path / "one.safetensors", "sd15", dtype=dtype)
    assert set(inspect_model(path)["dtypes"]) == {"F8_E4M3" if dtype == torch.float8_e4m3fn else "F8_E5M2"}
    model = load_model(path, device="cpu", dtype="fp32")
    weight = model.unet.conv_in.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, weight.to(dtype).float())
    assert torch.isfinite(render_ours(model, PROMPT, "", torch.zeros(1, 4, 8, 8), guidance=1.0)).all()


def test_a_linked_folder_opens(tmp_path, sd15, model):
    (tmp_path / "linked").symlink_to(sd15.resolve())
    assert load_contract(tmp_path / "linked").text_width == model.contract.text_width


def test_converted_parts_of_a_folder_load(tmp_path, sd15, model):
    """What `models convert` makes of pickles in a folder is what the loader looks for there."""
    root = copy_folder(sd15, tmp_path / "folder")
    moved = []
    for part in ("unet", "vae", "text_encoder"):
        weights = next((root / part).glob("*.safetensors"))
        pickle_ = weights.with_name(("pytorch_" if part.startswith("text") else "") + weights.stem + ".bin")
        weights.rename(name_target(pickle_))
        moved.append((name_target(pickle_), pickle_.with_suffix(".safetensors")))
    assert load_contract(root).weights_bytes == model.contract.weights_bytes
    for converted, other in moved:
        converted.rename(other)
    assert load_contract(root).weights_bytes == model.contract.weights_bytes
