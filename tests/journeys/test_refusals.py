"""Every mistake has its exit code, says what, got and do, and costs nothing."""

import json
import struct

import pytest
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN

from bundles import tiny_mini


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to draw"),
        (("a cat", "--size", "100x64"), "multiple of 8"),
        (("a cat", "--size", "0x0"), "at least 1"),
        (("a cat", "--size", "huge"), "WIDTHxHEIGHT"),
        (("a cat", "--size", "9999999x8"), "side of the picture"),
        (("a cat", "--steps", "none"), "valid integer"),
        (("a cat", "--steps", "1001"), "number of steps"),
        (("a cat", "--sampler", "magic"), "unknown sampler"),
        (("a cat", "--colour", "red"), "No such option"),
        (("a cat", "--strength", "0.4"), "no effect without --init"),
        (("a cat", "--init", "none.png"), "cannot be opened"),
        (("a cat", "--from", "none.png"), "cannot be opened"),
        (("a <lora:style:0.5> cat",), "looked up in a folder"),
        (("a cat", "--focus", "walls"), "looks otherwise in every picture"),
        (("a cat", "--focus", "off", "--focus-box", "1,2,3,4"), "no effect with"),
        (("a cat", "--focus-box", "1,2,3"), "four whole numbers"),
        (("a cat", "--focus-box", "9000,0,10,10"), "outside the picture"),
        (("a cat", "--device", "cuda:x"), "unknown device"),
        (("a cat", "--size", "128x128", "--method", "gobig", "--slice-strength", "0"), "not re-rendered"),
        (("a cat", "--size", "16392x8192", "--out", "a.webp"), "at most 16383 px"),
        (("a cat", "--guidance", "1", "--negative", "a dog"), "--negative has no effect"),
        (("a cat", "--negative", "<lora:style:0.5>"), "in the negative prompt has no effect"),
    ],
)
def test_wrong_requests_leave_with_2(render, room, arguments, words):
    for command in ("render", "plan"):
        done = render(*arguments, command=command)
        assert done.code == 2, done.err
        assert words in done.err
        assert done.out == ""
    assert not list(room.glob("**/*.png"))


def test_a_refusal_as_json_has_its_three_parts(render):
    done = render("a cat", "--size", "100x64", "--json")
    assert done.code == 2
    assert done.json["error"] == "request"
    assert set(done.json) == {"error", "what", "got", "do", "exit_code"}
    assert "104x64" in done.json["do"]


def test_native_refuses_what_memory_cannot_hold_before_it_starts(render, room):
    done = render("a cat", "--size", "8192x8192", "--method", "native", "--budget-gb", "1.5", "--json")
    assert done.code == 3
    assert done.json["error"] == "budget"
    assert "--size" in done.json["do"]
    assert not list(room.glob("**/*.png"))


def test_a_plan_over_budget_leaves_with_3_and_its_advice_fits(render):
    # What the program holds differs between machines; what a picture may take beside it does not.
    least = render("a cat", "--size", "64x64", "--json", command="plan").json["memory_bytes"]
    budget = str(least / 2**30 + 0.25)
    done = render("a cat", "--size", "8192x4096", "--method", "native", "--budget-gb", budget, "--json", command="plan")
    assert done.code == 3
    size = done.json["do"].split("--size ")[1].split(",")[0]
    fits = render("a cat", "--size", size, "--method", "native", "--budget-gb", budget, "--json", command="plan")
    assert fits.code == 0, fits.out
    assert fits.json["size"] == size


def test_a_plan_lists_stages_memory_disk_and_time(render):
    done = render("a cat", "--size", "256x144", command="plan")
    assert done.code == 0
    for word in ("base", "level 2 of", "evaluations", "memory", "disk", "time"):
        assert word in done.out


def test_a_model_that_is_not_there_leaves_with_5(sfumato):
    assert sfumato("render", "a cat", "--model", "nowhere").code == 5
    for name in ("nowhere", "nowhere.ckpt", "nowhere.safetensors"):
        done = sfumato("models", "inspect", name)
        assert done.code == 5
        assert "convert" not in done.err


def test_an_upscaler_is_named_as_one(sfumato, room):
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2).state_dict(), room / "up.safetensors")
    done = sfumato("models", "inspect", "up.safetensors", "--json")
    assert done.code == 0, done.err
    assert (done.json["kind"], done.json["architecture"], done.json["scale"]) == ("upscaler", "ESRGAN", 2)


def test_a_pickle_leaves_with_4_and_says_how_to_convert(sfumato, room):
    (room / "old.ckpt").write_bytes(b"\x80\x04.")
    done = sfumato("render", "a cat", "--model", "old.ckpt")
    assert done.code == 4
    assert "sfumato models convert" in done.err


def test_a_lying_header_leaves_with_4(sfumato, room):
    header = json.dumps({"a": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 99999]}}).encode()
    (room / "bad.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert sfumato("render", "a cat", "--model", "bad.safetensors").code == 4


def test_a_cut_off_picture_leaves_with_2(render, room):
    Image.effect_noise((64, 64), 50).save(room / "whole.png")
    (room / "cut.png").write_bytes((room / "whole.png").read_bytes()[:700])
    done = render("a cat", "--init", "cut.png")
    assert done.code == 2
    assert "damaged" in done.err


def test_a_text_called_png_leaves_with_2(render, room):
    (room / "text.png").write_text("not a picture")
    assert render("a cat", "--init", "text.png").code == 2


def test_a_picture_without_a_request_cannot_be_repeated(sfumato, room):
    Image.new("RGB", (8, 8)).save(room / "plain.png")
    done = sfumato("render", "--from", "plain.png")
    assert done.code == 2
    assert "carries no request" in done.err


def test_a_folder_that_cannot_be_written_is_found_before_rendering(render, room, monkeypatch):
    from sfumato.models.latent_model import LatentModel

    monkeypatch.setattr(LatentModel, "denoise_guided", lambda *_given, **_more: pytest.fail("rendered"))
    (room / "file").write_text("in the way")
    done = render("a cat", "--out", "file/a.png")
    assert done.code == 5
    assert "cannot be written" in done.err


def test_a_preview_that_cannot_be_written_is_found_before_rendering(render, room, monkeypatch):
    from sfumato.models.latent_model import LatentModel

    monkeypatch.setattr(LatentModel, "denoise_guided", lambda *_given, **_more: pytest.fail("rendered"))
    (room / "file").write_text("in the way")
    done = render("a cat", "--out", "a.png", "--preview", "file/p.png")
    assert done.code == 5
    assert "another --preview" in done.err


@pytest.mark.parametrize("command", ["render", "plan"])
@pytest.mark.parametrize(("name", "code"), [("nowhere.safetensors", 5), ("old.pth", 4), ("LANCZOS", 0)])
def test_an_upscaler_is_looked_at_before_anything_is_loaded(render, room, command, name, code):
    (room / "old.pth").write_bytes(b"\x80\x04.")
    done = render("a cat", "--size", "128x96", "--method", "gobig", "--upscaler", name, command=command)
    assert done.code == code, done.err


@pytest.mark.parametrize("command", ["render", "plan"])
@pytest.mark.parametrize(
    ("mask", "more", "words"),
    [
        (Image.new("L", (96, 72), 255), (), "a mask has the size of its picture"),
        (Image.new("L", (100, 75), 0), (), "the mask selects nothing"),
        (Image.new("L", (100, 75), 255), ("--size", "96x72"), "inpainting keeps the size"),
    ],
)
def test_a_mask_is_looked_at_before_anything_is_loaded(render, room, monkeypatch, command, mask, more, words):
    monkeypatch.setattr("sfumato.workflows.run.load_model", lambda *_given, **_more: pytest.fail("loaded"))
    Image.new("RGB", (100, 75)).save(room / "odd.png")
    mask.save(room / "mask.png")
    done = render("a cat", "--init", "odd.png", "--mask", "mask.png", *more, command=command)
    assert done.code == 2
    assert words in done.err


def test_a_page_of_somebody_else_is_not_written_over(render, room):
    (room / "index.html").write_text("<!doctype html><title>my site</title>")
    done = render("a cat", "--out", "index.png")
    assert done.code == 2
    assert "index.html" in done.err
    assert (room / "index.html").read_text().endswith("<title>my site</title>")
    assert not (room / "index.png").exists()
    assert render("a cat", "--out", "index.png", "--no-report").code == 0


def test_an_unknown_setting_is_named(render, monkeypatch):
    monkeypatch.setenv("SFUMATO_BUDGET_GIB", "3")
    done = render("a cat")
    assert done.code == 2
    assert "SFUMATO_BUDGET_GB" in done.err


def test_a_defect_is_told_apart_from_a_mistake(render, monkeypatch):
    from sfumato.models.latent_model import LatentModel

    def broken(*_given, **_more):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(LatentModel, "denoise_guided", broken)
    done = render("a cat", "--json")
    assert done.code == 1
    assert "defect" in done.err
    assert (done.json["error"], done.json["exit_code"]) == ("defect", 1)


def test_ctrl_c_before_the_first_step_is_told_too(render, monkeypatch):
    def stop(*_given, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("sfumato.models.describe.load_contract", stop)
    done = render("a cat")
    assert done.code == 130
    assert "stopped" in done.err
    assert render("a cat", "--json").json["error"] == "interrupted"


def test_a_list_of_models_is_for_people(sfumato, room):
    (room / "old.ckpt").write_bytes(b"\x80\x04.")
    done = sfumato("models", "list", "--folder", ".")
    assert done.code == 0
    mini, old = done.out.splitlines()
    assert mini.startswith("mini")
    assert "128x128" in mini
    assert "refused" in old
    assert "{" not in done.out
    assert "{" not in sfumato("models", "inspect", "mini").out


def test_commands_that_are_misspelled_are_suggested(sfumato):
    done = sfumato("rendr")
    assert done.code == 2
    assert "render" in done.err


@pytest.mark.parametrize("words", [(), ("models",)])
def test_a_command_without_its_word_prints_help_and_no_empty_complaint(sfumato, words):
    done = sfumato(*words)
    assert done.code == 2
    assert "Usage" in done.out
    assert done.err == ""


def test_version_and_help_leave_with_0(sfumato):
    assert sfumato("--version").out.startswith("sfumato ")
    for words in (["--help"], ["render", "--help"], ["models", "--help"], ["train", "--help"]):
        assert sfumato(*words).code == 0


def test_inspecting_a_model_says_what_it_is(sfumato):
    done = sfumato("models", "inspect", tiny_mini(), "--json")
    assert done.code == 0
    assert done.json["family"] == "mini"
