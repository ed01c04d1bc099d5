"""What a judge says became of the objects of a base: kept, broken, gone."""

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from sfumato.core.geometry import PixelSize
from sfumato.lab.hires.judge import Case, Judge
from sfumato.lab.hires.objects import Watcher
from sfumato.lab.hires.prompts import ScenePrompt
from sfumato.lab.hires.store import Store

SIZE = PixelSize(256, 256)


@dataclass
class TrueBox:
    kind: str
    box: tuple[float, float, float, float]
    confidence: float


class Faint:
    """Sees a person that fills the picture, the surer the brighter; below a confidence of 0.15 nobody."""

    def find(self, picture):
        confidence = float(picture.mean()) / 255
        return [TrueBox("person", (0, 0, *picture.shape[1::-1]), confidence)] if confidence > 0.15 else []


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def add(store, name, level, side):
    line = {"width": side, "height": side, "lines": [[128], [128], [128], [128]]}
    return store.add(name, Image.fromarray(np.full((side, side, 3), level, np.uint8)), line)


def test_a_doubt_keeps_an_object_that_is_no_longer_sure(store):
    made = {name: add(store, name, level, 256) for name, level in (("bright", 250), ("dim", 60), ("dark", 10))}
    prompt = ScenePrompt(0, "crowd", "group", 0, "a prompt", {"person": 1})
    judge = Judge(store, Watcher(Faint(), {"person": 0.5}, "marks"))
    found = judge.judge(Case(prompt, SIZE, add(store, "base", 250, 128), made))
    assert [found[name]["held"] for name in made] == [1, 1, 1]
    assert [len(found[name]["lost"]) for name in made] == [0, 0, 1]
    assert [len(found[name]["unsure"]) for name in made] == [0, 1, 1]
