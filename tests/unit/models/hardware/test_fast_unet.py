"""A UNet with the fast paths computes what diffusers' own code computes."""

import dataclasses

import pytest
import torch
from diffusers import UNet2DConditionModel

from sfumato.models.hardware.fast_unet import speed_up
from sfumato.models.hardware.policy import Policy
from sfumato.models.hardware.prepacked import can_pack

_CPU = torch.device("cpu")
_FAST = Policy("cpu", "fp32", "fp32", "fp32", channels_last=True, attention="blocked", packed=can_pack())


def _make_unet(**more) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 128),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=96,
        attention_head_dim=4,
        norm_num_groups=8,
        **more,
    ).eval()


def _call(unet, dtype=torch.float32):
    stream = torch.Generator().manual_seed(1)
    x, text = torch.randn(2, 4, 16, 16, generator=stream), torch.randn(2, 77, 96, generator=stream)
    return unet(x.to(dtype), 500, text.to(dtype)).sample.float()


@pytest.mark.parametrize("linear", [False, True])
@torch.no_grad()
def test_float32_agrees_with_diffusers(linear):
    unet = _make_unet(use_linear_projection=linear)
    expected = _call(unet)
    paths = speed_up(unet, _FAST)
    assert bool(paths.forwards) == can_pack()
    assert torch.allclose(_call(unet), expected, atol=2e-5)


@torch.no_grad()
def test_bf16_errs_no_more_than_diffusers_in_bf16():
    unet = _make_unet()
    exact = _call(unet)
    unet = unet.to(torch.bfloat16)
    theirs = (_call(unet, torch.bfloat16) - exact).abs().mean()
    speed_up(unet, dataclasses.replace(_FAST, unet="bf16"))
    ours = (_call(unet, torch.bfloat16) - exact).abs().mean()
    assert ours < 1.3 * theirs


@torch.no_grad()
def test_detach_restores_diffusers_code():
    unet = _make_unet()
    expected = _call(unet)
    paths = speed_up(unet, _FAST)
    paths.detach()
    assert torch.equal(_call(unet), expected)
    assert not any("forward" in vars(module) for module in unet.modules())


def test_gradients_still_flow():
    unet = _make_unet()
    speed_up(unet, _FAST)
    _call(unet).square().mean().backward()
    assert all(parameter.grad is not None for parameter in unet.parameters())


@torch.no_grad()
def test_a_mask_takes_diffusers_path():
    unet = _make_unet()
    x, text = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 96)
    mask = torch.ones(1, 77, dtype=torch.bool)
    mask[:, 40:] = False
    expected = unet(x, 500, text, encoder_attention_mask=mask).sample
    speed_up(unet, _FAST)
    assert torch.allclose(unet(x, 500, text, encoder_attention_mask=mask).sample, expected, atol=2e-5)
