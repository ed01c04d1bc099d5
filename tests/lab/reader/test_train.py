"""Training a reader end to end at tiny size: resumable, calibrated, saved."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bundles import write_tiny_mini
from sfumato.critic.reader.network import ReaderNetwork, ReaderShape
from sfumato.critic.reader.reader import load_reader
from sfumato.lab.reader.pictures import draw_training, open_training
from sfumato.lab.reader.task import ReaderTask
from sfumato.lab.reader.train import RECIPE, ReaderTraining, run_train_reader
from sfumato.lab.reader.words import make_vocabulary
from sfumato.train.task import Budget


@pytest.fixture
def wanted(tmp_path):
    recipe = replace(RECIPE, batch=4, warmup_steps=1)
    budget = Budget(steps=2, validate_every_s=1e6, save_every_s=1e6, log_every_steps=1)
    return ReaderTraining(
        state=tmp_path / "state", out=tmp_path / "out", budget=budget, pictures=10, calibration=6, recipe=recipe
    )


def test_a_run_ends_with_a_reader_that_loads(wanted):
    rows: list[dict[str, float | str]] = []
    reader, result = run_train_reader(wanted, report=rows.append)
    assert result.step == 2
    assert {"train", "validation"} == {row["kind"] for row in rows}
    assert "digits_right" in result.validation
    again = load_reader(wanted.out)
    assert again.vocabulary == make_vocabulary()
    picture = np.zeros((1, 128, 128, 3), np.uint8)
    assert np.allclose(again.read(picture).confidence, reader.read(picture).confidence, atol=2e-2)


def test_a_longer_budget_goes_on_and_decodes_pictures_when_an_autoencoder_comes(wanted, tmp_path):
    run_train_reader(wanted)
    write_tiny_mini(tmp_path / "mini")
    more = replace(wanted, budget=replace(wanted.budget, steps=3), vae=tmp_path / "mini" / "vae", round_trips=5)
    _, result = run_train_reader(more)
    assert result.step == 3
    decoded, drawn = open_training(wanted.state, round_trips=True), open_training(wanted.state)
    assert len(decoded) == 5
    assert decoded.read_notes() == drawn.read_notes()[:5]
    assert decoded.open_rows().shape == (5, 128, 128, 3)


def test_drawing_goes_on_where_it_ended(tmp_path):
    draw_training(tmp_path / "a", 3)
    store = draw_training(tmp_path / "a", 5)
    assert np.array_equal(store.open_rows(), draw_training(tmp_path / "b", 5).open_rows())


def test_a_batch_depends_on_its_generator_alone():
    network = nn.ModuleDict({"reader": ReaderNetwork((2,), ReaderShape(widths=(8, 8), blocks=(0, 0)))})
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    answers = np.arange(6)[:, None] % 2
    task = ReaderTask(
        networks=network,
        pictures=pictures,
        answers=answers,
        held_out=pictures,
        held_out_answers=answers,
        round_trips=pictures[:1],
    )
    first, second = (task.load_batch(step, 4, torch.Generator().manual_seed(3)) for step in (0, 9))
    assert all(torch.equal(first[name], second[name]) for name in first)
    # A decoded batch comes from the rows that were decoded.
    batches = [task.load_batch(0, 4, torch.Generator().manual_seed(seed)) for seed in range(12)]
    assert any(set(batch["answers"].flatten().tolist()) == {0} for batch in batches)
