"""A LoRA in a region: nothing outside it in one layer, the whole LoRA where the region is everything, no trace after."""

import pytest
import torch

from bundles import tiny_mini
from checkpoints import write_folder
from sfumato.core.errors import ModelError
from sfumato.models.adapters.regions import AdapterRegion, attach_regions
from sfumato.models.load import load_model

SIZE = (8, 8)


@pytest.fixture(scope="module", params=["mini", pytest.param("sd15", marks=pytest.mark.slow)])
def model(request, tmp_path_factory):
    base = tiny_mini() if request.param == "mini" else write_folder(tmp_path_factory.mktemp("sd15"), "sd15")
    return load_model(str(base), dtype="fp32")


@pytest.fixture(scope="module")
def factors(model):
    noise = torch.Generator().manual_seed(3)
    found = {}
    for name, layer in model.unet.named_modules():
        if ".attn" in name and name.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            found[f"{name}.down"] = torch.randn((2, layer.in_features), generator=noise) * 0.3
            found[f"{name}.up"] = torch.randn((layer.out_features, 2), generator=noise) * 0.3
    return found


@pytest.fixture(scope="module")
def words(model):
    noise = torch.Generator().manual_seed(4)
    return [torch.randn((1, 77, model.contract.text_width), generator=noise) for _ in range(3)]


def run(model, words):
    """Predict for the picture's words and the negative ones, as guidance does."""
    x = torch.randn((1, 4, *SIZE), generator=torch.Generator().manual_seed(5)).repeat(2, 1, 1, 1)
    with torch.inference_mode():
        return model.unet(x, torch.tensor([500, 500]), torch.cat(words[:2]), return_dict=False)[0]


def run_in(model, words, *regions):
    with attach_regions(model.unet, regions, words[0], SIZE):
        return run(model, words)


def test_everywhere_it_is_the_lora_and_nowhere_the_base(model, factors, words):
    base = run(model, words)
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    nowhere = run_in(model, words, AdapterRegion(factors=factors, mask=torch.zeros(SIZE)))
    everywhere = run_in(model, words, AdapterRegion(factors=factors, mask=torch.ones(SIZE)))
    with torch.no_grad():
        for name, layer in model.unet.named_modules():
            if f"{name}.up" in factors:
                layer.weight += factors[f"{name}.up"] @ factors[f"{name}.down"]
        merged = run(model, words)
        model.unet.load_state_dict(before)
    assert torch.equal(nowhere, base)
    assert torch.allclose(everywhere, merged, atol=1e-4)
    assert not torch.allclose(merged, base, atol=1e-2)
    assert torch.equal(run(model, words), base)


def test_one_layer_changes_inside_its_region_alone(model, factors, words):
    left = torch.zeros(SIZE)
    left[:, :4] = 1
    at, layer = next((name, module) for name, module in model.unet.named_modules() if name.endswith("attn2"))
    outputs = []
    handle = layer.register_forward_hook(lambda *call: outputs.append(call[-1]))
    own = {name: value for name, value in factors.items() if name.startswith(".".join(at.split(".")[:2]))}
    run(model, words)
    handle.remove()
    with attach_regions(model.unet, [AdapterRegion(factors=own, mask=left)], words[0], SIZE):
        # Hooks run in the order they came: this one sees the blend.
        handle = layer.register_forward_hook(lambda *call: outputs.append(call[-1]))
        run(model, words)
        handle.remove()
    side = int(outputs[0].shape[1] ** 0.5)
    changed = (outputs[0] - outputs[1]).abs().amax(dim=-1).unflatten(1, (side, side))
    assert changed[..., : side // 2].min() > 0
    # The first layer after nothing but convolutions and self-attention of the region: outside, only the latter reached it.
    assert changed[..., side // 2 :].mean() < 0.5 * changed[..., : side // 2].mean()


def test_words_of_a_region_replace_those_of_the_picture_and_not_the_negative_ones(model, words):
    everywhere = run_in(model, words, AdapterRegion(factors={}, mask=torch.ones(SIZE), context=words[2]))
    expected = run(model, [words[2], words[1]])
    assert torch.allclose(everywhere, expected, atol=1e-5)


def test_a_region_by_attention_lies_between_the_base_and_the_lora(model, factors, words):
    auto = run_in(model, words, AdapterRegion(factors=factors, positions=(3, 4)))
    full = run_in(model, words, AdapterRegion(factors=factors, mask=torch.ones(SIZE)))
    base = run(model, words)
    assert 0 < (auto - base).norm() < (full - base).norm()


def test_crops_of_another_size_are_drawn_as_the_base_draws_them(model, factors, words):
    base = run(model, words)
    with attach_regions(model.unet, [AdapterRegion(factors=factors, mask=torch.ones(16, 16))], words[0], (16, 16)):
        assert torch.equal(run(model, words), base)


def test_a_lora_of_another_network_is_refused(model, words):
    region = AdapterRegion(factors={"nowhere.to_q.down": torch.ones(1, 1)}, mask=torch.ones(SIZE))
    with pytest.raises(ModelError, match="another model"), attach_regions(model.unet, [region], words[0], SIZE):
        pass
