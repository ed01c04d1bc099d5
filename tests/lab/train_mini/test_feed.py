"""A feed overwrites the oldest rows with fresh drawings, keeps its place, and refuses what does not belong together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sfumato.core.errors import RequestError, StorageError
from sfumato.lab.train_mini.feed import NOTE, feed_latents
from sfumato.lab.train_mini.pictures import CROPS, SQUARES, draw_example, draw_pictures, list_filled, open_pictures
from sfumato.lab.train_mini.stages import MiniTraining, encode_images, open_latents, spell
from sfumato.models.mini import load_mini_autoencoder, load_mini_tokenizer, make_mini_autoencoder
from sfumato.train.vocabulary import count_words, learn_merges, save_vocabulary

ROWS = 6


@pytest.fixture
def wanted(tmp_path: Path) -> MiniTraining:
    torch.manual_seed(0)
    save_vocabulary(tmp_path / "tokenizer", learn_merges(count_words(["a red house, photograph"])))
    make_mini_autoencoder(16, 16).save_pretrained(tmp_path / "vae")
    draw_pictures(tmp_path, ROWS)
    latents, tokens = open_latents(tmp_path)
    latents.append(np.zeros((ROWS, 4, 16, 16), np.float16), [None] * ROWS)
    tokens.append(np.zeros((ROWS, 4, 77), np.uint16), [None] * ROWS)
    # One block takes longer than these minutes: every feed below overwrites one block.
    return MiniTraining(state=tmp_path, minutes=1e-6, pace=10_000)


def test_fresh_rows_are_the_next_drawings_and_the_table_does_not_grow(wanted: MiniTraining) -> None:
    latents, tokens = open_latents(wanted.state)
    mapped = latents.open_rows()
    assert feed_latents(wanted).pictures == ROWS
    assert (len(latents), len(tokens)) == (ROWS, ROWS)
    encoder = load_mini_autoencoder(wanted.state / "vae").encoder.to(torch.bfloat16).eval()
    drawn = [draw_example(SQUARES, place, ROWS) for place in range(ROWS, 2 * ROWS)]
    images = np.stack([one.image for one in drawn])
    # Whoever had the rows mapped before sees the new ones.
    assert np.array_equal(mapped, encode_images(encoder, images, range(ROWS)))
    words = spell(load_mini_tokenizer(wanted.state / "tokenizer"), list(drawn[2].captions))
    assert np.array_equal(tokens.open_rows()[2], words)


def test_a_second_feed_goes_on_and_the_pictures_stay(wanted: MiniTraining) -> None:
    before = open_pictures(wanted.state).open_rows().copy()
    first, second = feed_latents(wanted), feed_latents(wanted)
    assert (first.rounds, second.rounds) == ({"pictures": 2.0}, {"pictures": 3.0})
    assert np.array_equal(open_pictures(wanted.state).open_rows(), before)


def test_what_does_not_belong_together_is_refused(wanted: MiniTraining) -> None:
    with pytest.raises(RequestError, match="pace"):
        feed_latents(replace(wanted, pace=0.0))
    feed_latents(wanted)
    make_mini_autoencoder(16, 16).save_pretrained(wanted.state / "vae")
    with pytest.raises(StorageError, match="autoencoder is not the one"):
        feed_latents(wanted)
    (wanted.state / NOTE).write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        feed_latents(wanted)
    (wanted.state / NOTE).unlink()
    draw_pictures(wanted.state, ROWS, CROPS)
    assert [table.name for table in list_filled(wanted.state)] == ["pictures", "pictures_crops"]
    with pytest.raises(StorageError, match="not all encoded"):
        feed_latents(wanted)


def test_tables_of_another_world_are_kept_and_not_added_to(tmp_path: Path) -> None:
    store = open_pictures(tmp_path)
    store.append(np.zeros((2, 128, 128, 3), np.uint8), [{"captions": ["x"]}] * 2)
    assert draw_pictures(tmp_path, 2) == 2
    with pytest.raises(StorageError, match="another world"):
        draw_pictures(tmp_path, 3)
