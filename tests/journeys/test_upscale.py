"""Upscale a picture: larger, the same picture, with its request inside; and what cannot grow is refused."""

import re

import numpy as np
import pytest
from PIL import Image

from bundles import tiny_mini
from sfumato.canvas.formats.images import load_picture, read_request
from sfumato.core.geometry import PixelSize
from sfumato.core.request import PictureSource
from sfumato.render.cohesive.stages import SEEDS, STEPS


@pytest.fixture
def upscale(sfumato):
    """Run `sfumato upscale` on the tiny model with few steps."""

    def run(*arguments):
        seed = [] if "--seed" in arguments else ["--seed", 1]
        return sfumato("upscale", *arguments, "--model", tiny_mini(), "--dtype", "fp32", "--steps", 3, *seed)

    return run


@pytest.fixture
def picture(room):
    """Two colours side by side, 96x72."""
    made = Image.new("RGB", (96, 72), (210, 60, 40))
    made.paste((40, 60, 210), (48, 0, 96, 72))
    made.save(room / "photo.png")
    return made


def halves(picture):
    return np.asarray(picture.convert("RGB").resize((2, 1), Image.Resampling.BOX), dtype=int)[0]


def test_a_picture_grows_and_carries_its_request(upscale, render, room, picture):
    done = upscale("photo.png", "--size", "192x144", "--out", "big.png", "--json")
    assert done.code == 0, done.err
    assert done.json["size"] == "192x144"
    assert [stage["name"] for stage in done.json["stages"]] == ["picture", "level 1 of 1"]
    assert {"base consistency", "added object mass"} <= set(done.json["checks"]["measures"])
    request = read_request(room / "big.png")
    assert isinstance(request.source, PictureSource)
    assert (request.source.size, request.prompt) == (PixelSize(96, 72), "")
    # Random weights draw nothing, but wide areas are held to the colours of the picture.
    assert np.abs(halves(load_picture(room / "big.png")) - halves(picture)).max() < 40
    page = (room / "big.html").read_text()
    assert "photo.png, 96x72 px" in page
    # The picture of the user lies under the result.
    assert page.count("data:image/webp") >= 2
    assert render("--from", "big.png", "--out", "again.png", "--no-report").code == 0
    assert (room / "again.png").read_bytes() == (room / "big.png").read_bytes()
    larger = render("--from", "big.png", "--size", "288x216", "--out", "larger.png", "--no-report")
    assert larger.code == 0, larger.err
    assert read_request(room / "larger.png").source == request.source
    assert not list(room.glob("*.work"))


def test_a_prompt_and_the_options_of_levels_reach_the_request(upscale, room, picture):
    options = ("--prompt", "a cat", "--level-strength", "0.5", "--overlap", "0.4", "--lock", "0.9")
    done = upscale("photo.png", "--size", "128x96", "--out", "a.png", "--no-report", "--seed", "7", *options)
    assert done.code == 0, done.err
    request = read_request(room / "a.png")
    assert (request.prompt, request.seed) == ("a cat", 7)
    method = request.method
    assert (method.strength, method.overlap, method.lock) == (0.5, 0.4, 0.9)


def test_a_dry_run_says_what_it_would_take_and_makes_nothing(upscale, room, picture):
    done = upscale("photo.png", "--size", "384x288", "--dry-run")
    assert done.code == 0, done.err
    for word in ("picture", "level 2 of 2", "384x288", "memory", "disk", "time"):
        assert word in done.out
    assert upscale("photo.png", "--size", "384x288", "--dry-run", "--json").json["method"] == "cohesive"
    assert {path.name for path in room.iterdir()} - {"cache"} == {"photo.png"}
    tight = upscale("photo.png", "--size", "384x288", "--dry-run", "--budget-gb", "0.1")
    assert tight.code == 3


def test_without_out_the_name_tells_the_picture_and_its_size(upscale, room, picture):
    assert upscale("photo.png", "--size", "128x96", "--no-report").code == 0
    assert [path.name for path in (room / "out").iterdir()] == ["photo-128x96-1.png"]


def test_transparency_is_laid_on_white_and_cameras_are_turned_upright(upscale, room):
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    clear.save(room / "clear.png")
    assert upscale("clear.png", "--size", "96x96", "--out", "a.png", "--no-report").code == 0
    assert halves(load_picture(room / "a.png")).min() > 200
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (96, 64), (9, 9, 9)).save(room / "turned.jpg", exif=exif)
    done = upscale("turned.jpg", "--size", "128x192", "--out", "b.png", "--no-report")
    assert done.code == 0, done.err
    assert read_request(room / "b.png").source.size == PixelSize(64, 96)


def test_a_tiff_of_ours_grows_in_rows_and_a_deepzoom_is_refused(upscale, render, room, picture):
    assert upscale("photo.png", "--size", "128x96", "--out", "a.tif", "--no-report").code == 0
    done = upscale("a.tif", "--size", "192x144", "--out", "b.png", "--no-report")
    assert done.code == 0, done.err
    assert np.abs(halves(load_picture(room / "b.png")) - halves(picture)).max() < 40
    (room / "a.dzi").write_text("<Image/>")
    assert upscale("a.dzi", "--size", "192x144").code == 2


def test_a_png_beyond_the_limit_is_read_in_rows_to_the_same_picture(upscale, room, picture, monkeypatch):
    assert upscale("photo.png", "--size", "128x96", "--out", "a.png", "--no-report").code == 0
    monkeypatch.setenv("SFUMATO_MAX_PICTURE_PIXELS", "1000")
    assert upscale("photo.png", "--size", "128x96", "--out", "b.png", "--no-report").code == 0
    monkeypatch.delenv("SFUMATO_MAX_PICTURE_PIXELS")
    assert load_picture(room / "a.png").tobytes() == load_picture(room / "b.png").tobytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("photo.png", "--scale", "1.1"), "whole number of quarters"),
        (("photo.png", "--scale", "nan"), "whole number of quarters"),
        (("photo.png", "--scale", "1"), "above 1"),
        (("photo.png", "--scale", "2", "--size", "192x144"), "say the same"),
        (("photo.png", "--size", "96x72"), "grows to a larger size"),
        (("photo.png", "--size", "64x48"), "grows to a larger size"),
        (("photo.png", "--size", "130x96"), "Ask for 128x96, 136x96 or 120x90."),
        (("none.png", "--size", "192x144"), "the picture to grow cannot be opened"),
        (("cache", "--size", "192x144"), "the picture to grow is a folder"),
        (("photo.png", "--size", "192x144", "--budget-gb", "nan"), "--budget-gb is a number above 0"),
        (("photo.png", "--size", "192x144", "--keep", "2"), "lies between 0 and 1"),
        (("photo.png", "--size", "0x0"), "at least 1 pixel"),
        (("broken.png", "--size", "192x144"), "damaged"),
        (("words.png", "--size", "192x144"), "PNG, JPEG or WebP"),
        (("photo.png", "--size", "192x144", "--level-strength", "0"), "not re-rendered"),
        (
            ("photo.png", "--size", "192x144", "--out", "photo.png"),
            "would replace a picture that the request starts from",
        ),
        (("photo.png", "--size", "16392x12288", "--out", "b.webp"), "at most 16383 px"),
        (("photo.png", "--size", "192x144", "--method", "gobig"), "no effect with gobig"),
        (("--size", "192x144"), "nothing to enlarge"),
    ],
)
def test_what_cannot_grow_leaves_with_2(upscale, room, picture, arguments, words):
    (room / "broken.png").write_bytes((room / "photo.png").read_bytes()[:120])
    (room / "words.png").write_text("no picture")
    (room / "cache").mkdir(exist_ok=True)
    before = (room / "photo.png").read_bytes()
    for more in ((), ("--dry-run",)):
        done = upscale("--out", "a.png", *arguments, *more)
        assert done.code == 2, done.err
        assert words in done.err
        assert re.search(r"^  do:  .+", done.err, re.MULTILINE)
    assert (room / "photo.png").read_bytes() == before
    assert {path.name for path in room.iterdir()} - {"cache"} == {"photo.png", "broken.png", "words.png"}


def test_a_picture_that_changed_or_went_is_noticed(upscale, render, room, picture):
    assert upscale("photo.png", "--size", "128x96", "--out", "a.png", "--no-report").code == 0
    Image.new("RGB", (96, 72)).save(room / "photo.png")
    changed = render("--from", "a.png", "--out", "b.png")
    (room / "photo.png").unlink()
    gone = render("--from", "a.png", "--out", "b.png")
    assert (changed.code, gone.code) == (2, 2)
    assert "not the one of the request" in changed.err
    assert "is not there" in gone.err
    wrong = render("--from", "a.png", "--method", "gobig", "--out", "b.png")
    assert "only the cohesive method grows" in wrong.err
    idle = render("--from", "a.png", "--strength", "0.5", "--out", "b.png")
    assert "no effect without --init" in idle.err


# Two levels, of which the first is stopped; one level is the shorter way through the same code.
@pytest.mark.parametrize("size", ["240x180", pytest.param("144x108", marks=pytest.mark.slow)])
def test_a_stopped_upscale_is_resumed_to_the_same_bytes(upscale, room, picture, monkeypatch, size):
    from sfumato.models.latent_model import LatentModel

    asked = ("photo.png", "--size", size, "--no-report")
    assert upscale(*asked, "--out", "whole.png").code == 0
    denoise, calls = LatentModel.denoise_guided, []

    def stop_late(*given, **more):
        calls.append(1)
        if len(calls) == SEEDS * STEPS + 2:
            raise KeyboardInterrupt
        return denoise(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(LatentModel, "denoise_guided", stop_late)
        assert upscale(*asked, "--out", "a.png").code == 130
    assert (room / "a.png.work").exists()
    assert upscale(*asked, "--out", "a.png").code == 2
    assert upscale(*asked, "--out", "a.png", "--resume").code == 0
    assert load_picture(room / "a.png").tobytes() == load_picture(room / "whole.png").tobytes()


@pytest.fixture
def odd(room):
    """Two colours side by side, 75x62; its double is no multiple of 8."""
    made = Image.new("RGB", (75, 62), (210, 60, 40))
    made.paste((40, 60, 210), (38, 0, 75, 62))
    made.save(room / "odd.png")
    return made


def test_any_picture_is_doubled_exactly(upscale, render, room, odd):
    done = upscale("odd.png", "--out", "big.png", "--json")
    assert done.code == 0, done.err
    assert (done.json["size"], done.json["canvas"]) == ("150x124", "152x128")
    assert done.json["stages"][-1]["name"] == "level 1 of 1"
    made, request = load_picture(room / "big.png"), read_request(room / "big.png")
    assert (made.size, request.size, request.source.size) == ((150, 124), PixelSize(150, 124), PixelSize(75, 62))
    assert np.abs(halves(made) - halves(odd)).max() < 40
    page = (room / "big.html").read_text()
    assert "150 × 124" in page
    assert "152 × 128" in page
    plan = upscale("odd.png", "--scale", "2", "--dry-run", "--out", "c.png")
    assert "150x124, cut from 152x128" in plan.out
    assert render("--from", "big.png", "--out", "again.png", "--no-report").code == 0
    assert (room / "again.png").read_bytes() == (room / "big.png").read_bytes()


@pytest.mark.parametrize(("scale", "size"), [("1.5", (113, 93)), ("2.25", (169, 140)), ("3", (225, 186))])
def test_scales_in_quarters_plan_that_size(upscale, odd, scale, size):
    done = upscale("odd.png", "--scale", scale, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["size"] == f"{size[0]}x{size[1]}"


def test_a_scale_in_quarters_gives_the_size_of_its_plan(upscale, room, odd):
    done = upscale("odd.png", "--scale", "2.25", "--out", "a.jpg", "--no-report")
    assert done.code == 0, done.err
    assert load_picture(room / "a.jpg").size == (169, 140)


def test_mini_grows_a_picture_of_its_own_native_size(sfumato, room):
    drawn = Image.new("RGB", (128, 128), (120, 170, 230))
    drawn.paste((70, 140, 60), (0, 80, 128, 128))
    drawn.save(room / "field.png")
    done = sfumato(
        "upscale",
        "field.png",
        "--model",
        "mini",
        "--seed",
        1,
        "--size",
        "256x256",
        "--steps",
        "4",
        "--out",
        "a.png",
        "--json",
    )
    assert done.code == 0, done.err
    rows = np.asarray(load_picture(room / "a.png").resize((1, 8), Image.Resampling.BOX), dtype=int)[:, 0]
    assert np.abs(rows[0] - (120, 170, 230)).max() < 12
    assert np.abs(rows[-1] - (70, 140, 60)).max() < 12


def test_several_pictures_are_one_json_object(upscale, room, picture):
    picture.save(room / "other.png")
    done = upscale("photo.png", "other.png", "--scale", 2, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1
    assert [one["size"] for one in done.json["pictures"]] == ["192x144", "192x144"]
