"""Small parts weigh more, and patches lie where they are."""

import numpy as np
import torch
from torch import nn

from sfumato.models.mini import make_mini_autoencoder
from sfumato.train.autoencoder import AutoencoderLoss, AutoencoderTask, Patches, compare_pictures
from sfumato.train.discriminator import Discriminator
from sfumato.train.patches import LARGEST_WEIGHT, choose_corners, weigh_parts
from sfumato.train.teacher import Teacher

# A large ground, a part of 3 x 4 pixels and one of 30 x 30.
CLASSES = np.zeros((6, 128, 128), np.uint8)
CLASSES[:, 100:103, 10:14] = 1
CLASSES[:, 20:50, 60:90] = 2
PICTURES = np.repeat((CLASSES * 100)[..., None], 3, axis=3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_part_weighs_by_the_root_of_its_area_within_limits() -> None:
    weights = weigh_parts(torch.from_numpy(CLASSES))
    assert weights.shape == (6, 128, 128)
    assert weights[0, 101, 12] == LARGEST_WEIGHT
    assert weights[0, 30, 70] == 1
    assert weights[0, 0, 0] == 1


def test_most_patches_hold_the_small_part_and_all_lie_inside() -> None:
    weights = weigh_parts(torch.from_numpy(np.repeat(CLASSES[:1], 400, axis=0)))
    corners = choose_corners(weights, 64, seeded(1))
    assert all(0 <= top <= 64 and 0 <= left <= 64 for top, left in corners)
    # 12 pixels of 7.1 against 16,372 of 0.1: one draw in twenty is at the small part.
    held = sum(top <= 100 and left <= 10 for top, left in corners)
    assert held > 60
    assert corners == choose_corners(weights, 64, seeded(1))


def test_two_steps_of_three_learn_from_patches_with_as_many_pixels() -> None:
    networks = nn.ModuleDict({"encoder": nn.Identity(), "decoder": nn.Identity()})
    task = AutoencoderTask(networks, [PICTURES], PICTURES, patches=Patches(classes=[CLASSES]))
    shapes = [tuple(task.load_batch(step, 2, seeded(step))["pixels"].shape) for step in range(4)]
    assert shapes == [(2, 3, 128, 128), (8, 3, 64, 64), (8, 3, 64, 64), (2, 3, 128, 128)]
    batch = task.load_batch(1, 2, seeded(5))
    # Weights follow the patch: whatever is not ground is the part that weighs more.
    small = (batch["pixels"][:, 0] * 127.5 + 127.5).round() == 100
    assert (batch["weights"][small] == LARGEST_WEIGHT).all()


def test_latents_of_patches_need_not_be_white() -> None:
    torch.manual_seed(0)
    vae = make_mini_autoencoder(16, 16)
    networks = nn.ModuleDict({"encoder": vae.encoder, "decoder": vae.decoder})
    losses = []
    for white in (0.0, 10.0):
        loss = AutoencoderLoss(white=white, jitter=0)
        task = AutoencoderTask(networks, [PICTURES], PICTURES, loss, patches=Patches(classes=[CLASSES]))
        losses.append(
            [
                float(
                    task.compute_losses(networks, task.load_batch(step, 1, seeded(step)), seeded(step))["loss"].detach()
                )
                for step in (0, 1)
            ]
        )
    assert losses[1][0] > losses[0][0] + 1
    assert losses[1][1] == losses[0][1]


def test_heavy_pixels_count_more_in_every_pictured_loss() -> None:
    ours, truth = torch.rand(1, 3, 8, 8, generator=seeded(2)), torch.rand(1, 3, 8, 8, generator=seeded(3))
    plain = compare_pictures(ours, truth, AutoencoderLoss())
    even = compare_pictures(ours, truth, AutoencoderLoss(), torch.ones(1, 8, 8))
    double = compare_pictures(ours, truth, AutoencoderLoss(), torch.full((1, 8, 8), 2.0))
    for name, value in plain.items():
        torch.testing.assert_close(even[name], value)
        torch.testing.assert_close(double[name], 2 * value)


def test_teacher_and_discriminator_add_their_losses() -> None:
    torch.manual_seed(0)
    vae = make_mini_autoencoder(16, 16, decoder_blocks=(1, 1, 1, 0))
    networks = nn.ModuleDict({"encoder": vae.encoder, "decoder": vae.decoder, "discriminator": Discriminator()})
    teacher = Teacher(3).requires_grad_(requires_grad=False)
    loss = AutoencoderLoss(feature=0.5, adversary=0.1)
    task = AutoencoderTask(
        networks, [PICTURES], PICTURES, loss, patches=Patches(classes=[CLASSES], side_px=32), teacher=teacher
    )
    losses = task.compute_losses(networks, task.load_batch(1, 1, seeded(1)), seeded(1))
    assert {"feature", "suspicion", "mistakes"} <= losses.keys()
    assert losses["suspicion"] == 0
    losses["loss"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in networks.parameters())
