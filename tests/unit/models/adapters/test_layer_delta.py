"""The algebra of each adapter kind equals peft's, and the forms peft lacks equal plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from sfumato.models.adapters.layer_delta import LayerDelta, find_rank

SHAPES: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(12, 8),
    "conv3": lambda: nn.Conv2d(12, 8, 3, padding=1),
    "conv1": lambda: nn.Conv2d(12, 8, 1),
}


class Holder(nn.Module):
    """One layer under a name, as peft wants it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


def adapt(shape: str, config: Any) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Return the original weight, the adapter's tensors by role, and the weight peft merges."""
    torch.manual_seed(1)
    model = Holder(SHAPES[shape]())
    original = model.layer.weight.detach().clone()
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "hada_" in name or "lokr_" in name or "lora_" in name:
                weight.normal_(std=0.3).abs_() if "magnitude" in name else weight.normal_(std=0.3)
    tensors = {
        name.replace("base_model.model.layer.", ""): weight.detach().clone()
        for name, weight in adapted.state_dict().items()
    }
    merged = adapted.merge_and_unload().layer.weight.detach()
    return original, {name: tensor for name, tensor in tensors.items() if "base_layer" not in name}, merged


def by_role(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strip peft's names down to roles."""
    names = {name: name.split(".")[0].removeprefix("hada_").removeprefix("lokr_") for name in tensors}
    return {names[name]: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("conv_core", [False, True])
def test_loha_equals_peft(shape: str, conv_core: bool) -> None:
    config = peft.LoHaConfig(r=4, alpha=6, target_modules=["layer"], use_effective_conv2d=conv_core)
    original, tensors, merged = adapt(shape, config)
    factors = by_role(tensors)
    delta = LayerDelta("loha", factors, 6 / find_rank(factors))
    assert delta.fits(original.shape)
    torch.testing.assert_close(original + delta.change(original), merged)


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("options", [{}, {"decompose_both": True}, {"use_effective_conv2d": True}])
def test_lokr_equals_peft(shape: str, options: dict[str, bool]) -> None:
    config = peft.LoKrConfig(r=2, alpha=3, target_modules=["layer"], decompose_factor=2, **options)
    original, tensors, merged = adapt(shape, config)
    factors = by_role(tensors)
    rank = find_rank(factors)
    delta = LayerDelta("lokr", factors, 3 / (rank or 2))
    assert delta.fits(original.shape)
    torch.testing.assert_close(original + delta.change(original), merged)


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("dora", [False, True])
def test_lora_and_dora_equal_peft(shape: str, dora: bool) -> None:
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["layer"], use_dora=dora)
    original, tensors, merged = adapt(shape, config)
    tensors = {name.removeprefix("lora_").split(".")[0]: tensor for name, tensor in tensors.items()}
    magnitude = tensors.get("magnitude_vector")
    factors = {"down": tensors["A"], "up": tensors["B"]}
    delta = LayerDelta("lora", factors, 6 / 4, None if magnitude is None else magnitude.flatten())
    assert delta.fits(original.shape)
    torch.testing.assert_close(original + delta.change(original), merged, rtol=1e-4, atol=1e-5)


def test_the_convolution_core_of_locon_equals_a_loop() -> None:
    up, mid, down = torch.randn(8, 3, 1, 1), torch.randn(3, 2, 3, 3), torch.randn(2, 12, 1, 1)
    original = torch.zeros(8, 12, 3, 3)
    expected = torch.zeros_like(original)
    for y in range(3):
        for x in range(3):
            expected[:, :, y, x] = up[:, :, 0, 0] @ mid[:, :, y, x] @ down[:, :, 0, 0]
    delta = LayerDelta("lora", {"up": up, "mid": mid, "down": down})
    torch.testing.assert_close(delta.change(original), expected)


def test_dora_norms_run_over_outputs_where_the_file_says_so() -> None:
    original, scale = torch.randn(8, 8), torch.rand(1, 8) + 0.5
    delta = LayerDelta("lora", {"up": torch.randn(8, 2), "down": torch.randn(2, 8)}, 1.0, scale)
    changed = original + delta.change(original)
    torch.testing.assert_close(changed.norm(dim=0, keepdim=True), scale)


def test_dora_of_a_zero_column_stays_finite() -> None:
    delta = LayerDelta("lora", {"up": torch.zeros(4, 1), "down": torch.zeros(1, 4)}, 1.0, torch.ones(1, 4))
    assert torch.isfinite(delta.change(torch.zeros(4, 4))).all()


@pytest.mark.parametrize(
    ("delta", "shape"),
    [
        (LayerDelta("lora", {"up": torch.zeros(4, 2), "down": torch.zeros(3, 5)}), (4, 5)),
        (LayerDelta("lora", {"up": torch.zeros(4, 2), "down": torch.zeros(2, 5)}), (5, 4)),
        (LayerDelta("full", {"diff": torch.zeros(())}), ()),
        (LayerDelta("lora", {"up": torch.zeros(4, 2), "down": torch.zeros(2, 5)}, 1.0, torch.ones(3)), (4, 5)),
        (LayerDelta("loha", dict.fromkeys(("w1_a", "w1_b", "w2_a", "w2_b"), torch.zeros(2, 3))), (2, 3)),
    ],
)
def test_shapes_that_do_not_fit_are_seen_before_anything_is_computed(delta: LayerDelta, shape: tuple[int, ...]) -> None:
    assert not delta.fits(torch.Size(shape))
