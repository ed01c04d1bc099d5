"""Choices are made by the seed, styles join the prompt, and axes multiply; what has no end is refused."""

import pytest
from PIL import Image

from fakes import CONTRACT
from sfumato.core.errors import RequestError
from sfumato.workflows.requests import make_request
from sfumato.workflows.series.axes import GridAxis, list_matrix, list_prompts, list_variants, read_values
from sfumato.workflows.series.expand import apply_styles, expand_prompt, list_wildcards
from sfumato.workflows.series.grid import draw_grid
from sfumato.workflows.values import RequestValues


@pytest.fixture
def cards(tmp_path, monkeypatch):
    folder = tmp_path / "cards"
    (folder / "more").mkdir(parents=True)
    (folder / "animal.txt").write_text("# animals\ndog\n\ncat\n{small|large} bird\n")
    (folder / "more" / "loop.txt").write_text("a __more/loop__\n")
    (tmp_path / "secret.txt").write_text("secret\n")
    styles = tmp_path / "styles.csv"
    styles.write_text('name,prompt,negative_prompt\nOil,"oil painting of {prompt}, thick paint",photo\nSad,rain,\n')
    monkeypatch.setenv("SFUMATO_WILDCARDS", str(folder))
    monkeypatch.setenv("SFUMATO_STYLES", str(styles))
    return folder


def test_a_prompt_without_choices_stays(cards):
    for prompt in ("a (red:1.2) house", "{plain}", "a | b", "snake_case", "a__b", "{a|b", "a}b"):
        assert expand_prompt(prompt, 1) == prompt


def test_choices_depend_on_the_seed_alone(cards):
    text = "a {red|green|{dark |light }blue} house with a __animal__"
    found = {expand_prompt(text, seed) for seed in range(60)}
    assert expand_prompt(text, 7) == expand_prompt(text, 7)
    assert {"red", "green", "dark", "light"} <= {word for one in found for word in one.split()}
    assert {"dog", "cat", "small", "large"} <= {word for one in found for word in one.split()}
    assert not any(set("{}|") & set(one) for one in found)


@pytest.mark.parametrize(
    "text",
    ["__more/loop__", "__nobody__", "__more/../../secret__", "{a|" * 40 + "}" * 40],
)
def test_what_has_no_end_or_no_file_is_refused(cards, text):
    with pytest.raises(RequestError):
        expand_prompt(text, 1)


def test_a_hundred_thousand_brackets_take_no_time(cards):
    with pytest.raises(RequestError):
        expand_prompt("{a|b}" * 20_000, 1)
    assert list_wildcards() == ("animal", "more/loop")


def test_styles_join_prompt_and_negative(cards):
    assert apply_styles("a dog", "", ("oil", "Sad")) == ("oil painting of a dog, thick paint, rain", "photo")
    with pytest.raises(RequestError, match="no such style"):
        apply_styles("a dog", "", ("Nobody",))


def test_a_request_holds_the_words_that_were_chosen(cards):
    values = RequestValues(prompt="a {red|blue} house", styles=("Oil",), seed=4)
    request = make_request(values, CONTRACT)
    assert request == make_request(values, CONTRACT)
    assert request.prompt in {f"oil painting of a {colour} house, thick paint" for colour in ("red", "blue")}
    assert request.negative == "photo"


def test_axes_multiply_and_say_what_differs():
    axes = [GridAxis.parse("steps=10-30(+10)"), GridAxis.parse("prompt_replace=dog,cat")]
    found = list_variants({"prompt": "a dog", "seed": 1}, axes)
    assert [(one.settings["steps"], one.settings["prompt"]) for one in found][:4] == [
        (10, "a dog"),
        (20, "a dog"),
        (30, "a dog"),
        (10, "a cat"),
    ]
    assert found[3].labels == ("steps: 10", "cat")
    assert read_values("1-9[3], 0.5, Euler a") == (1, 5, 9, 0.5, "Euler a")


@pytest.mark.parametrize("text", ["steps", "magic=1", "steps=1-1000000", "init=/etc/passwd", "steps=1-9(0)"])
def test_wrong_axes_are_refused(text):
    with pytest.raises(RequestError):
        GridAxis.parse(text)


def test_too_many_pictures_are_refused():
    with pytest.raises(RequestError, match="too many"):
        list_variants({"prompt": "x"}, [GridAxis.parse("seed=1-100"), GridAxis.parse("steps=1-100")])
    with pytest.raises(RequestError, match="replaced"):
        list_variants({"prompt": "x"}, [GridAxis.parse("prompt_replace=dog,cat")])
    with pytest.raises(RequestError, match="lines"):
        list_prompts({}, "# nothing\n")


def test_a_matrix_has_every_combination_and_a_file_a_prompt_a_line():
    found = [one.settings["prompt"] for one in list_matrix({"prompt": "a castle|snow|at night"})]
    assert found == ["a castle", "a castle, snow", "a castle, at night", "a castle, snow, at night"]
    assert [one.settings["prompt"] for one in list_prompts({}, "a\n\n# no\n b ")] == ["a", "b"]


def test_a_grid_has_rows_columns_and_labels():
    pictures = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue", "black", "white")]
    plain = draw_grid(pictures, columns=3)
    assert plain.size == (3 * 72, 2 * 56)
    assert plain.getpixel((80, 10)) == (0, 128, 0)
    labelled = draw_grid(pictures, columns=3, column_labels=["a", "b" * 500, "c"], row_labels=["steps: 10", "20"])
    assert labelled.width > plain.width
    assert labelled.height > plain.height
