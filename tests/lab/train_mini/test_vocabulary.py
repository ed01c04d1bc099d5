"""Every word of every table's captions is one token, those of close-ups too."""

import json
from pathlib import Path

import pytest

from sfumato.lab.train_mini import pictures
from sfumato.lab.train_mini.pictures import CROPS, list_filled, open_pictures
from sfumato.lab.train_mini.stages import MiniTraining, train_vocabulary
from sfumato.train.vocabulary import count_words


def test_words_that_only_close_ups_say_are_one_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "HELD_OUT_PICTURES", 2)
    monkeypatch.setattr(pictures, "_may_draw_hands", lambda _state: False)
    train_vocabulary(MiniTraining(state=tmp_path, pictures=24, steps=1))
    vocabulary = json.loads((tmp_path / "tokenizer" / "vocab.json").read_text())

    def words(table: pictures.PictureTable) -> set[str]:
        notes = open_pictures(tmp_path, table).read_notes()
        return set(count_words(caption for note in notes for caption in note["captions"]))

    known = {table.name: words(table) for table in list_filled(tmp_path)}
    others = set[str]().union(*(said for name, said in known.items() if name != CROPS.name))
    assert known[CROPS.name] - others
    assert not [word for said in known.values() for word in said if f"{word}</w>" not in vocabulary]
