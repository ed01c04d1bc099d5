"""The optimiser moves as its sources say and its state survives."""

import torch

from sfumato.train.optimiser import Optimiser, clip_gradients, is_matrix, orthogonalise
from sfumato.train.task import Recipe


def test_orthogonalised_updates_have_singular_values_near_one() -> None:
    for shape in ((32, 96), (96, 32)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(3))))
        # The quintic oscillates between about 0.7 and 1.2 on purpose; see the source.
        assert values.min() > 0.4
        assert values.max() < 1.4


def test_tables_vectors_and_thin_matrices_are_left_to_adamw() -> None:
    assert is_matrix("layer.weight", torch.zeros(32, 32, 3, 3))
    assert not is_matrix("token_embedding.weight", torch.zeros(800, 256))
    assert not is_matrix("layer.bias", torch.zeros(32))
    assert not is_matrix("conv_in.weight", torch.zeros(96, 4, 3, 3))


def test_adamw_matches_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(8, 4), torch.nn.Linear(8, 4)
    theirs.load_state_dict(ours.state_dict())
    recipe = Recipe(batch=1, learning_rate=0.01, optimiser="adamw", weight_decay=0.0)
    mine = Optimiser(ours.named_parameters(), recipe)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.0)
    for seed in range(5):
        x = torch.randn(3, 8, generator=torch.Generator().manual_seed(seed))
        gradients = dict(
            zip(("weight", "bias"), torch.autograd.grad(ours(x).square().sum(), [ours.weight, ours.bias]), strict=True)
        )
        mine.step(gradients, 0.01)
        reference.zero_grad()
        theirs(x).square().sum().backward()
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-6)


def test_muon_fits_a_linear_map() -> None:
    torch.manual_seed(1)
    layer, aim = torch.nn.Linear(32, 32, bias=False), torch.randn(32, 32) / 6
    optimiser = Optimiser(layer.named_parameters(), Recipe(batch=1, learning_rate=0.02, weight_decay=0.0))
    losses = []
    for step in range(200):
        loss = (layer.weight - aim).square().mean()
        optimiser.step({"weight": torch.autograd.grad(loss, layer.weight)[0]}, 0.02 * (1 - step / 200))
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]


def test_clipping_keeps_direction_and_reports_the_norm_before() -> None:
    gradients = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    assert abs(clip_gradients(gradients, 1.0) - 5.0) < 1e-5
    torch.testing.assert_close(gradients["a"], torch.tensor([0.6]))
