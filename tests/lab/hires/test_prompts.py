"""Prompts are a fair and repeatable sample, and say what their scenes hold."""

from sfumato.core.geometry import PixelSize
from sfumato.lab.hires.prompts import STRATA, draw_reference, draw_scene_of, list_prompts
from sfumato.world.stream import Wish, make_sample


def test_a_longer_list_begins_with_the_shorter_and_mixes_evenly():
    many, few = list_prompts(12, seed=2), list_prompts(6, seed=2)
    assert many[:6] == few
    assert [prompt.stratum for prompt in few] == [name for name, _ in STRATA]
    assert {prompt.world_seed for prompt in many}.isdisjoint(p.world_seed for p in list_prompts(12, seed=3))


def test_a_prompt_says_how_many_its_scene_excuses():
    for prompt in list_prompts(12, seed=1):
        sample = make_sample(prompt.world_seed, wish=Wish(shot=prompt.shot))
        assert prompt.text == sample.captions[0]
        assert prompt.most["person"] == sample.labels["people"]
        assert ("house" in prompt.most) == (sample.scene.place.kind != "street")
        if prompt.stratum in ("empty place", "texture"):
            assert not any(prompt.most.values())


def test_scenes_are_drawn_at_any_size_and_aspect():
    size = PixelSize(96, 40)
    prompt = list_prompts(4, seed=1, aspect=2.4)[3]
    assert draw_scene_of(prompt, size).shape == (40, 96, 3)
    assert [picture.shape for picture in draw_reference(3, size, seed=1)] == [(40, 96, 3)] * 3
