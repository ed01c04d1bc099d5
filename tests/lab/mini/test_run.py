"""The evaluation end to end at tiny size, with a model and a reader of random weights."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bundles import write_tiny_mini
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.critic.reader.network import ReaderShape
from sfumato.critic.reader.reader import make_reader, save_reader
from sfumato.lab.frechet import make_cloud
from sfumato.lab.mini.pictures import Sampling, make_pictures
from sfumato.lab.mini.rows import (
    drop_claims,
    find_illegible,
    measure_claims,
    measure_distance,
    measure_reader,
)
from sfumato.lab.mini.run import Evaluation, run_evaluate_mini
from sfumato.lab.reader.autoencoder_round_trip import pass_autoencoder, to_bytes
from sfumato.lab.reader.words import make_vocabulary
from sfumato.models.load import load_model
from sfumato.nn.noise import START_STEP, normal_noise
from sfumato.nn.schedules import make_sigmas

SMALL = ReaderShape(widths=(8, 8, 16), blocks=(0, 0, 1))
WANTED = Evaluation(prompts=6, hands=2, reference=6, step_counts=(1, 2), sampling=Sampling(batch=4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle whose native size is the one the reader reads."""
    root = write_tiny_mini(tmp_path_factory.mktemp("mini"))
    config = root / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 16}))
    return root


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def reader():
    return make_reader(make_vocabulary(), SMALL)


@pytest.fixture(scope="module")
def card(model, reader, tmp_path_factory):
    seen: list[str] = []
    sheets = tmp_path_factory.mktemp("sheets")
    card = run_evaluate_mini(
        replace(WANTED, sheets=sheets), model=model, reader=reader, on_progress=lambda what, *_: seen.append(what)
    )
    return card, seen, sheets


def test_the_card_opens_with_the_readers_own_error_of_digits(card):
    names = [row.name for row in card[0].rows]
    assert names[0].startswith("reader's own error: digits")
    last_own = max(i for i, name in enumerate(names) if name.startswith("reader's own"))
    assert last_own < min(i for i, name in enumerate(names) if not name.startswith("reader's own"))


def test_every_promised_row_is_there_for_both_step_counts(card):
    names = {row.name for row in card[0].rows}
    assert "VAE PSNR, held-out pictures" in names
    assert "FID, drawn against drawn (floor)" in names
    for start in ("ceiling, drawn through the autoencoder", "1 steps", "2 steps"):
        assert f"{start}: scene (place) right" in names
        assert f"{start}: digits right on open-hand prompts" in names
    assert "2 steps: FID on the reader's features" in names


def test_aims_stand_where_the_model_is_judged_and_nowhere_else(card):
    aims = {row.name: row.aim for row in card[0].rows if row.aim is not None}
    assert aims["VAE PSNR, held-out pictures"] == 28
    assert aims["1 steps: scene (place) right"] == 97
    assert not [name for name in aims if name.startswith(("reader", "ceiling")) or "digits" in name or "FID" in name]


def test_the_card_prints_and_says_how_to_repeat_it(card):
    assert card[0].command == "sfumato evaluate mini --n 6 --seed 1"
    assert json.loads(card[0].to_line())["card"]
    assert "guidance 4" in card[0].to_text()
    assert {"reader", "autoencoder", "1 steps", "2 steps, hands"} <= set(card[1])


def test_a_sheet_per_shot_shows_drawn_above_generated(card):
    sheets = sorted(card[2].glob("*.png"))
    assert sheets
    with Image.open(sheets[0]) as sheet:
        assert sheet.height > 3 * 128


def test_the_same_evaluation_gives_the_same_numbers(card, model, reader):
    again = run_evaluate_mini(replace(WANTED, step_counts=(1,)), model=model, reader=reader)
    values = {row.name: row.value for row in card[0].rows}
    assert all(row.value == values[row.name] or math.isnan(row.value) for row in again.rows)


def test_files_are_found_by_their_folders(folder, reader, tmp_path):
    save_reader(reader, tmp_path)
    wanted = replace(WANTED, model=str(folder), reader=tmp_path, prompts=2, step_counts=(1,), dtype="fp32")
    assert run_evaluate_mini(wanted).rows


def test_what_cannot_be_judged_is_refused(tmp_path, reader):
    with pytest.raises(RequestError, match="not possible"):
        Evaluation(prompts=1)
    with pytest.raises(RequestError, match="not possible"):
        Evaluation(seed=-1)
    small = load_model(write_tiny_mini(tmp_path / "small"), device="cpu", dtype="fp32")
    with pytest.raises(RequestError, match="128x128"):
        run_evaluate_mini(WANTED, model=small, reader=reader)
    with pytest.raises(ModelError, match="--stage reader"):
        run_evaluate_mini(replace(WANTED, reader=tmp_path), model=small)


def test_a_picture_depends_on_its_prompt_and_seed_alone(model):
    prompts = ("a cat", "a red dog in a street", "a cat")
    how = Sampling(steps=2, batch=2)
    whole = make_pictures(model, prompts, how)
    single = make_pictures(model, prompts[1:2], replace(how, seed=how.seed + 1))
    assert np.abs(whole[1].astype(int) - single[0]).max() <= 1
    assert (whole[0] != whole[2]).any()


def test_one_euler_step_is_what_the_model_predicts(model):
    size = PixelSize(128, 128)
    cond = model.encode_prompt(parse_prompt("a cat").at_step(0, 1), size=size)
    uncond = model.encode_prompt(parse_prompt("").at_step(0, 1), size=size, negative=True)
    sigma = float(make_sigmas("model", model.contract.schedule, 1)[0])
    x = normal_noise(9, 0, START_STEP, size.to_latent(8).box)[None] * sigma
    with torch.inference_mode():
        expected = to_bytes(model.decode(model.denoise_guided(x, sigma, cond, uncond, 3.0)))
    ours = make_pictures(model, ["a cat"], Sampling(steps=1, sampler="Euler", schedule="model", guidance=3.0, seed=9))
    assert np.abs(ours.astype(int) - expected).max() <= 1


def test_a_round_trip_can_be_shaken(model):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    still = pass_autoencoder(model, pictures)
    shaken = pass_autoencoder(model, pictures, jitter=1.0, noise=torch.Generator().manual_seed(0))
    assert still.shape == pictures.shape
    assert (still != shaken).any()


def test_illegible_pairs_are_found_and_dropped(reader):
    pictures = np.zeros((4, 128, 128, 3), np.uint8)
    readings = reader.read(pictures)
    seen = readings.word(0, "place")
    other = next(word for word in reader.vocabulary.classes("place") if word != seen)
    claims, shots = (
        [{"place": other}, {"place": other}, {"place": seen}, {"place": seen}],
        ["wide", "wide", "full", "full"],
    )
    cells = find_illegible(readings, claims, shots, least=0.9, few=2)
    assert cells == {("place", "wide"): 0.0}
    assert find_illegible(readings, claims, shots, least=0.9, few=3) == {}
    assert drop_claims(claims, shots, cells) == ({}, {}, {"place": seen}, {"place": seen})
    (row, pooled) = measure_claims("x", readings, drop_claims(claims, shots, cells))
    assert (row.value, row.n, pooled.n) == (100.0, 2, 0)


def test_own_error_counts_only_what_was_asked(reader):
    pictures = np.zeros((3, 128, 128, 3), np.uint8)
    readings = reader.read(pictures)
    place = reader.vocabulary.names.index("people")
    answers = np.full((3, len(reader.vocabulary.names)), -1)
    answers[0, place] = readings.chosen[0, place]
    answers[1, place] = (readings.chosen[1, place] + 1) % 5
    (row,) = measure_reader(readings, answers, ["people"])
    assert (row.value, row.n) == (50.0, 2)


def test_a_distance_lies_inside_its_interval():
    stream = np.random.default_rng(0)
    row = measure_distance("d", stream.normal(size=(60, 3)), make_cloud(stream.normal(size=(200, 3))), seed=1)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.value <= row.high
