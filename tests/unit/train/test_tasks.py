"""Each task's loss is finite, falls on a toy, and depends only on its generator."""

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from sfumato.models.mini import make_mini_autoencoder, make_mini_text_encoder
from sfumato.train.autoencoder import AutoencoderTask, measure_whiteness
from sfumato.train.denoiser import DenoiserTask, Examples, make_signal, sample_ddim
from sfumato.train.pictures import draw_sheet, load_pixels, measure_psnr

PICTURES = np.random.default_rng(1).integers(0, 255, (16, 32, 32, 3), dtype=np.uint8)
TOKENS = np.random.default_rng(2).integers(0, 90, (16, 4, 77)).astype(np.uint16)
LATENTS = np.random.default_rng(3).normal(size=(16, 4, 16, 16)).astype(np.float16)
TABLE = Examples(LATENTS, TOKENS)
WIDE = Examples(np.zeros((48, 4, 12, 22), np.float16), np.zeros((48, 4, 77), np.uint16))
EMPTY = np.full(77, 99, np.uint16)


def make_denoiser_task() -> DenoiserTask:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=256,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    networks = nn.ModuleDict({"unet": unet, "text": make_mini_text_encoder(100, start=98, end=99)})
    return DenoiserTask(networks, [TABLE], EMPTY, TABLE, grid_tokens=TOKENS[:3, 0], decode=lambda z: z[:, :3])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_batch_depends_only_on_its_generator() -> None:
    task = make_denoiser_task()
    one, two = task.load_batch(1, 6, seeded(4)), task.load_batch(1, 6, seeded(4))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["latents"], task.load_batch(1, 6, seeded(5))["latents"])


def test_one_caption_in_ten_is_dropped_and_some_steps_see_all_tokens() -> None:
    task = make_denoiser_task()
    tokens = task.load_batch(1, 2000, seeded(1))["tokens"]
    dropped = (tokens == 99).all(dim=1).float().mean()
    assert 0.07 < dropped < 0.13
    assert tokens.shape[1] == 48
    assert task.load_batch(4, 2, seeded(1))["tokens"].shape[1] == 77


def test_every_lane_of_a_step_learns_from_one_table_and_tables_are_met_as_often_as_they_are_long() -> None:
    task = make_denoiser_task()
    task.tables = [TABLE, WIDE]
    shapes = [task.load_batch(step, 2, seeded(step))["latents"].shape[2:] for step in range(200)]
    assert shapes[7] == task.load_batch(7, 2, seeded(99))["latents"].shape[2:]
    assert 0.65 < shapes.count((12, 22)) / 200 < 0.85
    losses = task.compute_losses(task.networks, task.load_batch(shapes.index((12, 22)), 2, seeded(1)), seeded(2))
    assert torch.isfinite(losses["loss"])


def test_the_noise_schedule_is_that_of_sd_1() -> None:
    signal = make_signal()
    # alphas_cumprod of SD 1.5's scheduler, first and last.
    torch.testing.assert_close(signal[[0, -1]], torch.tensor([0.99915, 0.0046601]), rtol=1e-4, atol=0)


def test_the_denoiser_learns_a_toy_and_draws() -> None:
    task = make_denoiser_task()
    before = task.measure_validation(task.networks)["loss"]
    optimiser = torch.optim.AdamW(task.networks.parameters(), lr=2e-3)
    for step in range(12):
        loss = task.compute_losses(task.networks, task.load_batch(step, 8, seeded(step)), seeded(step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert task.measure_validation(task.networks)["loss"] < before
    grid = task.draw_grid(task.networks)
    assert grid is not None
    assert grid.size == (3 * 18, 18)


def test_ddim_with_the_true_velocity_finds_the_picture() -> None:
    signal, truth = make_signal(), torch.randn(1, 4, 8, 8, generator=seeded(0))

    class Oracle(nn.Module):
        """Know the one picture there is."""

        def __init__(self) -> None:
            super().__init__()
            self.anchor = nn.Parameter(torch.zeros(()))

        def forward(
            self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor, *, return_dict: bool
        ) -> tuple[torch.Tensor]:
            del context, return_dict
            a = signal[time]
            normal = (x - a.sqrt() * truth) / (1 - a).sqrt()
            return (a.sqrt() * normal - (1 - a).sqrt() * truth,)

    found = sample_ddim(Oracle(), torch.randn(1, 4, 8, 8, generator=seeded(1)), torch.zeros(2, 77, 8), signal)
    torch.testing.assert_close(found, truth, rtol=0, atol=2e-3)


def test_the_autoencoder_loss_falls_and_a_frozen_encoder_stays() -> None:
    torch.manual_seed(0)
    vae = make_mini_autoencoder(16, 16)
    networks = nn.ModuleDict({"encoder": vae.encoder, "decoder": vae.decoder})
    flat = np.repeat(np.repeat(PICTURES[:, :2, :2], 16, axis=1), 16, axis=2)
    task = AutoencoderTask(networks, [flat], flat, freeze_encoder=True)
    assert not any(p.requires_grad for p in networks["encoder"].parameters())
    losses = []
    optimiser = torch.optim.AdamW([p for p in networks.parameters() if p.requires_grad], lr=3e-3)
    for step in range(25):
        values = task.compute_losses(networks, task.load_batch(step, 8, seeded(step)), seeded(step))
        optimiser.zero_grad()
        values["loss"].backward()
        optimiser.step()
        losses.append(float(values["pixel"].detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert task.draw_grid(networks).size == (8 * 34, 4 * 34)


def test_whiteness_is_zero_for_white_latents_only() -> None:
    white = torch.randn(64, 4, 16, 16, generator=seeded(0))
    assert measure_whiteness(white) < 0.01
    assert measure_whiteness(2 * white) > 1


def test_pictures_survive_the_way_to_tensors_and_back() -> None:
    pixels = load_pixels(PICTURES, range(4))
    sheet = np.asarray(draw_sheet([pixels], gap_px=0))
    assert (sheet[:, :32] == PICTURES[0]).all()
    assert measure_psnr(pixels, pixels) > 90
