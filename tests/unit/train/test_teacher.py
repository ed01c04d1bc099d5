"""The teacher learns to name pixels, and its features feel what is missing."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfumato.train.discriminator import Discriminator, measure_mistakes, measure_suspicion
from sfumato.train.teacher import Teacher, TeacherTask, compare_features, load_teacher, save_teacher

CLASSES = np.zeros((16, 48, 64), np.uint8)
CLASSES[:, 10:30, 20:40] = 2
PICTURES = np.repeat((CLASSES * 100)[..., None], 3, axis=3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_teacher_learns_a_toy_and_draws() -> None:
    torch.manual_seed(0)
    networks = nn.ModuleDict({"teacher": Teacher(3)})
    task = TeacherTask(networks, [PICTURES], [CLASSES], PICTURES, CLASSES)
    optimiser = torch.optim.AdamW(networks.parameters(), lr=1e-3)
    for step in range(25):
        loss = task.compute_losses(networks, task.load_batch(step, 4, seeded(step)), seeded(step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    measured = task.measure_validation(networks)
    assert measured["right"] > 0.9
    assert measured["right_by_class"] > 0.9
    assert task.draw_grid(networks).size == (8 * 66, 2 * 50)


def test_a_saved_teacher_is_the_same_and_stays_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = Teacher(5).eval()
    save_teacher(teacher, tmp_path)
    loaded = load_teacher(tmp_path)
    pixels = torch.rand(1, 3, 32, 48, generator=seeded(1))
    torch.testing.assert_close(loaded(pixels), teacher(pixels))
    assert loaded(pixels).shape == (1, 5, 32, 48)
    assert not any(p.requires_grad for p in loaded.parameters())


def test_features_are_equal_for_equal_pictures_and_pull_towards_the_truth() -> None:
    torch.manual_seed(0)
    teacher = Teacher(3).requires_grad_(requires_grad=False)
    truth = torch.rand(2, 3, 32, 32, generator=seeded(2))
    aims = teacher.list_features(truth)
    assert compare_features(aims, aims) == 0
    ours = torch.rand(2, 3, 32, 32, generator=seeded(3)).requires_grad_()
    before = compare_features(teacher.list_features(ours), aims)
    before.backward()
    assert ours.grad is not None
    nearer = ours.detach() - 0.01 * ours.grad / ours.grad.abs().max()
    assert compare_features(teacher.list_features(nearer), aims) < before


def test_the_discriminator_learns_what_is_drawn_and_moves_the_decoder_only_then() -> None:
    torch.manual_seed(0)
    teacher, judge = Teacher(3).requires_grad_(requires_grad=False), Discriminator()
    drawn, decoded = torch.rand(4, 3, 32, 32, generator=seeded(4)), torch.zeros(4, 3, 32, 32).add(0.2).requires_grad_()
    ours, truth = teacher.list_features(decoded), teacher.list_features(drawn)
    measure_suspicion(judge, ours).backward(retain_graph=True)
    assert decoded.grad is not None
    assert not decoded.grad.any()
    assert all(p.grad is None for p in judge.parameters())
    optimiser = torch.optim.AdamW(judge.parameters(), lr=3e-3)
    for _ in range(20):
        optimiser.zero_grad()
        wrong = measure_mistakes(judge, ours, truth)
        wrong.backward()
        optimiser.step()
    assert measure_mistakes(judge, ours, truth) < 0.6
    # Its own loss never reaches the decoder.
    assert not decoded.grad.any()
    measure_suspicion(judge, ours).backward()
    assert decoded.grad.any()
