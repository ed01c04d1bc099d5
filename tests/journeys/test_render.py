"""Render, and find the picture, its report and its whole request on disk."""

import hashlib
import html

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.images import load_picture, read_request, read_texts
from sfumato.canvas.formats.read import open_region
from sfumato.core.geometry import PixelBox, PixelSize


def test_a_prompt_becomes_a_picture_with_a_report(render, room):
    done = render("a cat", "--out", "cat.png")
    assert done.code == 0
    assert "cat.png" in done.out
    assert "cat.html" in done.out
    assert load_picture(room / "cat.png").size == (64, 64)
    assert "a cat" in (room / "cat.html").read_text()
    assert read_texts(room / "cat.png")["parameters"].startswith("a cat\nSteps: 3")
    # Nothing half written, nothing forgotten.
    assert {path.name for path in room.iterdir()} - {"cache"} == {"cat.png", "cat.html"}


def test_without_out_every_picture_gets_a_new_name(render, room):
    for _ in range(2):
        assert render("A cat, sitting!", "--no-report").code == 0
    assert sorted(path.name for path in (room / "out").iterdir()) == ["a-cat-sitting-1-2.png", "a-cat-sitting-1.png"]


def test_json_is_all_there_is_on_stdout(render, room):
    done = render("a cat", "--out", "cat.png", "--json")
    assert done.out.count("\n") == 1
    assert done.json["path"] == "cat.png"
    assert done.json["sha256"] == hashlib.sha256((room / "cat.png").read_bytes()).hexdigest()
    assert done.json["request"]["prompt"] == "a cat"
    assert "native" in done.err


@pytest.mark.parametrize(
    "options",
    [
        ("--sampler", "Euler a"),
        ("--size", "128x96", "--method", "gobig", "--sampler", "DPM++ 2M SDE"),
        ("--size", "96x72", "--method", "multidiffusion"),
        ("--negative", "[fog:rain:0.5]", "--guidance-rescale", "0.4", "--clip-skip", "2"),
    ],
    ids=["native", "gobig", "multidiffusion", "words"],
)
def test_from_gives_the_same_bytes(render, room, options):
    assert render("a (cat:1.2) AND a dog", "--out", "a.png", "--no-report", *options).code == 0
    assert render("--from", "a.png", "--out", "b.png", "--no-report").code == 0
    assert (room / "a.png").read_bytes() == (room / "b.png").read_bytes()


def test_from_takes_changes(render, room):
    render("a cat", "--out", "a.png", "--no-report")
    render("--from", "a.png", "--seed", "5", "--out", "b.png", "--no-report")
    assert read_request(room / "b.png").seed == 5
    assert read_request(room / "b.png").prompt == "a cat"


def test_each_picture_of_a_batch_can_be_had_alone(render, room):
    done = render("a cat", "--batch", "2", "--seed", "8", "--out", "cats.png", "--json")
    assert [picture["path"] for picture in done.json["pictures"]] == ["cats-01.png", "cats-02.png"]
    render("a cat", "--seed", "9", "--out", "one.png")
    assert (room / "cats-02.png").read_bytes() == (room / "one.png").read_bytes()
    assert (room / "cats-01.png").read_bytes() != (room / "cats-02.png").read_bytes()


def make_start(room, size=(96, 72)):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(room / "start.png")
    mask = Image.new("L", size)
    mask.paste(255, (20, 10, 60, 50))
    mask.save(room / "mask.png")
    return np.asarray(mask) > 0


@pytest.mark.parametrize(
    ("size", "more"),
    [((96, 72), ()), ((75, 101), ("--method", "native")), ((75, 101), ("--method", "multidiffusion"))],
    ids=["whole cells", "native", "multidiffusion"],
)
def test_inpainting_keeps_every_pixel_outside_the_mask(render, room, size, more):
    inside = make_start(room, size)
    given = ("a cat", "--init", "start.png", "--mask", "mask.png", "--strength", "1", *more)
    assert render(*given, "--out", "a.png").code == 0
    assert read_request(room / "a.png").size == PixelSize(*size)
    old, new = (np.asarray(load_picture(room / name)) for name in ("start.png", "a.png"))
    assert np.array_equal(old[~inside], new[~inside])
    assert not np.array_equal(old[inside], new[inside])
    assert render("--from", "a.png", "--out", "b.png").code == 0
    assert (room / "a.png").read_bytes() == (room / "b.png").read_bytes()


def test_a_start_picture_is_found_again_from_another_folder(render, room, monkeypatch):
    make_start(room)
    given = ("a cat", "--init", "start.png", "--mask", "mask.png", "--method", "native")
    assert render(*given, "--out", "a.png", "--no-report").code == 0
    (room / "elsewhere").mkdir()
    monkeypatch.chdir(room / "elsewhere")
    assert render("--from", "../a.png", "--out", "b.png", "--no-report").code == 0
    assert (room / "a.png").read_bytes() == (room / "elsewhere" / "b.png").read_bytes()
    (room / "mask.png").unlink()
    done = render("--from", "../a.png", "--out", "c.png")
    assert done.code == 2
    assert "Give it again, as --init, --mask" in done.err


def test_a_report_is_written_over_by_the_next_one(render, room):
    for prompt in ("a cat", "a dog"):
        assert render(prompt, "--out", "a.png").code == 0
    assert "a dog" in (room / "a.html").read_text()


def test_img2img_takes_the_size_of_its_picture(render, room):
    make_start(room)
    assert render("a cat", "--init", "start.png", "--method", "native", "--out", "a.png").code == 0
    assert load_picture(room / "a.png").size == (96, 72)


def test_a_changed_start_picture_is_noticed(render, room):
    make_start(room)
    render("a cat", "--init", "start.png", "--method", "native", "--out", "a.png")
    Image.new("RGB", (96, 72)).save(room / "start.png")
    done = render("--from", "a.png", "--out", "b.png")
    assert done.code == 2
    assert "not the one of the request" in done.err


def test_a_preview_is_written_while_it_runs(render, room):
    assert render("a cat", "--out", "a.png", "--preview", "p.png", "--preview-every", "2").code == 0
    assert load_picture(room / "p.png").size == (64, 64)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_other_formats_carry_the_request_too(render, room, name):
    assert render("a cat", "--out", name).code == 0
    assert read_request(room / name).prompt == "a cat"


@pytest.mark.parametrize("name", ["a.tif", "a.dzi"])
def test_pyramids_carry_picture_request_and_report(render, room, name):
    done = render("a cat", "--out", name, "--size", "96x72", "--method", "native", "--json")
    assert done.code == 0, done.err
    assert done.json["sha256"] == hashlib.sha256((room / name).read_bytes()).hexdigest()
    assert read_request(room / name).prompt == "a cat"
    page = html.unescape((room / "a.html").read_text())
    assert f"--from {room / name} --out again{name[1:]}" in page
    assert render("--from", name, "--out", f"b{name[1:]}", "--no-report").code == 0
    assert (room / name).read_bytes() == (room / f"b{name[1:]}").read_bytes()
    assert render("--from", name, "--out", "b.png", "--no-report").code == 0
    box = PixelBox(0, 0, 96, 72)
    assert np.array_equal(open_region(room / name, box), open_region(room / "b.png", box))


def test_a_batch_of_pyramids_has_folders_of_its_own(render, room):
    done = render("a cat", "--batch", "2", "--out", "cats.dzi", "--json", "--no-report")
    assert [picture["path"] for picture in done.json["pictures"]] == ["cats-01.dzi", "cats-02.dzi"]
    assert {path.name for path in room.glob("cats*")} == {f"cats-0{n}{end}" for n in "12" for end in (".dzi", "_files")}


def test_what_is_in_the_way_of_tiles_is_found_before_rendering(render, room):
    (room / "cat_files").mkdir()
    (room / "cat_files" / "photo.jpg").write_bytes(b"dear")
    done = render("a cat", "--out", "cat.dzi")
    assert done.code == 2
    assert "cat_files" in done.err
    assert (room / "cat_files" / "photo.jpg").read_bytes() == b"dear"


def test_a_plan_counts_the_levels_of_a_pyramid(render):
    plain, levels = (render("a cat", "--out", f"a{end}", "--json", command="plan").json for end in (".png", ".tif"))
    width, height = map(int, plain["size"].split("x"))
    assert levels["disk_bytes"] - plain["disk_bytes"] == pytest.approx(width * height, abs=1)


def test_an_interrupted_render_tells_of_the_preview_it_wrote(render, room, monkeypatch):
    from sfumato.models.latent_model import LatentModel

    denoise, calls = LatentModel.denoise_guided, []

    def stop_at_the_third(*given, **more):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return denoise(*given, **more)

    monkeypatch.setattr(LatentModel, "denoise_guided", stop_at_the_third)
    done = render("a cat", "--out", "a.png", "--preview", "p.png", "--preview-every", "1", "--json")
    assert done.code == 130
    assert done.json["got"] == "no picture was finished, the last preview is p.png"
    assert (room / "p.png").exists()


def test_an_interrupt_within_a_step_leaves_nothing(render, room, monkeypatch):
    from sfumato.models.latent_model import LatentModel

    calls = []

    def stop_at_the_second(*given, **more):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return given[1]

    monkeypatch.setattr(LatentModel, "denoise_guided", stop_at_the_second)
    done = render("a cat", "--out", "a.png", "--json")
    assert done.code == 130
    assert done.json["error"] == "interrupted"
    assert len(calls) == 2
    assert not [path for path in room.iterdir() if path.name != "cache"]
