"""The broad mix: exact truth for what it adds, plain captions, and a first world that it leaves as it was."""

import hashlib
import re
from collections import Counter

import numpy as np
import pytest

from sfumato.world.broad.closeup import FINEST_SCALE, make_closeup
from sfumato.world.broad.compose import BROAD_SHARES
from sfumato.world.ink import Window
from sfumato.world.objects.pen import Thing
from sfumato.world.scene import STYLES, Scene
from sfumato.world.scenery.stage import Place
from sfumato.world.shapes import make_shapes
from sfumato.world.stream import Sample, Wish, draw_scene, make_sample
from sfumato.world.things import MORE_THINGS

FIRST_WORLD = "b86bec48ee8211c0"


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [make_sample(seed, size=16, wish=Wish(mix="broad", with_truth=True)) for seed in range(300)]


def test_the_first_world_keeps_its_pictures_and_words() -> None:
    digest = hashlib.sha256()
    for seed in range(60):
        sample = make_sample(seed, size=32, wish=Wish(with_truth=True))
        assert sample.truth is not None
        digest.update(repr(sample.captions).encode() + sample.truth.ids.tobytes())
    assert digest.hexdigest()[:16] == FIRST_WORLD


@pytest.mark.parametrize("shot", BROAD_SHARES)
@pytest.mark.parametrize("style", STYLES)
def test_every_shot_in_every_style_and_aspect(shot: str, style: str) -> None:
    for seed, aspect in enumerate((1.0, 11 / 6, 6 / 11)):
        sample = make_sample(seed, size=32, wish=Wish(mix="broad", shot=shot, style=style, aspect=aspect))
        assert sample.image.shape == (32, round(32 * aspect), 3)
        assert (sample.scene.shot, sample.scene.style) == (shot, style)
        assert sample.image.std() > 3


def test_every_new_thing_and_light_occurs_and_has_its_mask(samples: list[Sample]) -> None:
    things = Counter[str]()
    for sample in samples:
        assert sample.truth is not None
        for kind in {thing.kind for thing in sample.scene.things}:
            things[kind] += int(sample.truth.mask(f"{kind}1").any())
    assert set(MORE_THINGS) <= {kind for kind, count in things.items() if count >= 2}
    assert {sample.scene.place.light for sample in samples} == {"day", "sunset", "night"}


def test_captions_are_plain_text_and_the_fullest_names_the_light_and_the_thing(samples: list[Sample]) -> None:
    lights = {
        "sunset": r"sunset|sundown|evening|dusk|sun\b|orange sky|red sky",
        "night": r"night|dark|stars|moon|lamplight|evening",
    }
    told = Counter[str]()
    for sample in samples:
        for caption in sample.captions:
            assert re.fullmatch(r"[A-Za-z,' -]+", caption), caption
            assert "  " not in caption
            assert len(caption.split()) <= 70
        light = sample.scene.place.light
        if light in lights:
            told[light] += 1
            told[f"said {light}"] += bool(re.search(lights[light], sample.captions[0]))
    assert told["said night"] > 0.9 * told["night"]
    assert told["said sunset"] > 0.9 * told["sunset"]
    assert len({caption for sample in samples for caption in sample.captions}) > 0.8 * 4 * len(samples)


def test_night_is_darker_than_day_and_lit_windows_are_bright() -> None:
    means: dict[str, float] = {}
    for light in ("day", "night"):
        house = Thing("house", "white", 0.5 + 0.85j, 0.55)
        scene = Scene("thing", "photo", Place("meadow", light=light), things=(house,))
        image, truth = draw_scene(scene, make_shapes(scene), height_px=64, with_truth=True)
        assert truth is not None
        means[light] = image.mean()
    assert means["night"] < 0.6 * means["day"]
    assert image[truth.mask("house1/window1")][:, 0].mean() > 1.3 * image[truth.mask("house1/wall")][:, 0].mean()


def test_a_window_is_cut_out_of_the_whole() -> None:
    sample = make_sample(8, size=32, wish=Wish(mix="broad"))
    shapes = make_shapes(sample.scene)
    whole, told = draw_scene(sample.scene, shapes, height_px=160, with_truth=True)
    part, cut = draw_scene(sample.scene, shapes, height_px=64, with_truth=True, window=Window(70, 30, 160, 1.0))
    assert told is not None
    assert cut is not None
    assert np.abs(whole[30:94, 70:134].astype(int) - part).mean() < 1.0
    assert (told.ids[30:94, 70:134] == cut.ids).mean() > 0.995


def test_closeups_show_what_they_name() -> None:
    eyes = 0
    for seed in range(30):
        crop = make_closeup(seed, size=48)
        assert crop.image.shape == (48, 48, 3)
        assert 1.0 < crop.scale <= FINEST_SCALE + 0.1
        if re.search(r"\beyes?\b", crop.captions[3]) and "behind" not in crop.captions[3]:
            eyes += 1
            assert crop.truth.mask("person1/head").any() or crop.truth.mask("person2/head").any()
            assert any("/eye_" in crop.truth.paths[number] for number in np.unique(crop.truth.ids))
    assert eyes >= 1
