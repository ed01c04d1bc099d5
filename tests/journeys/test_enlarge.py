"""Upscale without a model: nothing is drawn anew, and the user is told so."""

import json

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.images import load_picture, read_texts


@pytest.fixture
def photo(room):
    noise = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((80, 60), Image.Resampling.BICUBIC).save(room / "photo.png")
    return room / "photo.png"


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_a_picture_is_enlarged_by_lanczos_and_the_user_is_told(sfumato, room, photo, name):
    done = sfumato("upscale", "photo.png", "--scale", 2, "--out", name)
    assert done.code == 0, done.err
    assert "Lanczos" in done.err
    ours = np.asarray(load_picture(room / name).convert("RGB"), dtype=int)
    wanted = np.asarray(load_picture(photo).resize((160, 120), Image.Resampling.LANCZOS), dtype=int)
    assert np.abs(ours - wanted).max() <= 1
    assert json.loads(read_texts(room / name)["sfumato"])["kind"] == "enlarge"
    assert sfumato("show", name, "--json").json["enlarged_from"] == str(photo)


def test_several_pictures_go_to_a_folder_under_names_that_replace_nothing(sfumato, room, photo):
    Image.open(photo).save(room / "other.png")
    for _ in range(2):
        done = sfumato("upscale", "photo.png", "other.png", "--out", "large")
        assert done.code == 0, done.err
    names = sorted(path.name for path in (room / "large").iterdir())
    assert names == ["other-160x120-2.png", "other-160x120.png", "photo-160x120-2.png", "photo-160x120.png"]


@pytest.mark.parametrize(
    "more",
    [
        ("--method", "cohesive"),
        ("--method", "esrgan", "--upscaler", "lanczos"),
        ("--method", "lanczos", "--resume"),
        ("--from", "photo.png"),
        ("--method", "lanczos", "--model", "mini"),
        ("--steps", 3),
        ("--prompt", "a dog"),
        ("--scale", 0.5),
        ("--size", "70x50"),
        ("--size", "160x120", "--scale", 2),
        ("--upscaler", "none.safetensors", "--method", "lanczos"),
        ("--out", "a.gif"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(sfumato, room, photo, more):
    done = sfumato("upscale", "photo.png", *more, "--json")
    assert (done.code, json.loads(done.out.splitlines()[-1])["error"]) == (2, "request")
    assert not list(room.rglob("*-1*.png"))


def test_a_network_that_was_not_fetched_is_named_with_the_command_that_fetches_it(sfumato, room, photo):
    for more in (("--method", "esrgan"), ("--upscaler", "x4plus-anime")):
        done = sfumato("upscale", "photo.png", *more, "--json")
        assert done.code == 5
        assert "sfumato parts get x4plus" in json.loads(done.out.splitlines()[-1])["do"]
    assert not list(room.rglob("*-1*.png"))


def test_a_damaged_file_in_a_folder_does_not_end_the_work(sfumato, room, photo):
    (room / "many").mkdir()
    Image.open(photo).save(room / "many" / "a.png")
    (room / "many" / "b.png").write_bytes(b"no picture")
    Image.open(photo).save(room / "many" / "c.png")
    done = sfumato("upscale", "many", "--out", "large", "--json")
    assert done.code == 2
    assert "b.png" in done.err
    # One object for both: what was made, and what failed and why.
    assert len(done.out.splitlines()) == 1
    assert len(done.json["pictures"]) == 2
    (failed,) = done.json["failed"]
    assert failed["picture"].endswith("b.png")
    assert (failed["error"], failed["exit_code"]) == ("request", 2)
    assert sorted(path.name for path in (room / "large").iterdir()) == ["a-160x120.png", "c-160x120.png"]


def test_an_enlarged_picture_is_repeated_from_its_request(sfumato, room, photo):
    assert sfumato("upscale", "photo.png", "--out", "a.png").code == 0
    done = sfumato("upscale", "--from", "a.png", "--out", "b.png", "--json")
    assert done.code == 0, done.err
    assert done.json["upscaler"] == "lanczos"
    assert (room / "a.png").read_bytes() == (room / "b.png").read_bytes()


def test_a_dry_run_answers_in_json(sfumato, room, photo):
    done = sfumato("upscale", "photo.png", "--scale", 2, "--method", "lanczos", "--dry-run", "--json")
    assert (done.code, len(done.out.splitlines())) == (0, 1), done.err
    assert (done.json["size"], done.json["upscaler"]) == ("160x120", "lanczos")
    assert not (room / "out").exists()
