"""Names and values that no one chose well end as a picture or as advice, never as a defect."""

import html
import json
import re
import subprocess

import pytest
from PIL import Image, PngImagePlugin

from bundles import tiny_mini
from hostile import write_png
from processes import fork_command
from sfumato.core.geometry import PixelSize
from sfumato.core.request import RenderRequest


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr("sfumato.workflows.run.load_model", lambda *_given, **_more: pytest.fail("loaded"))


def name(count, suffix=".png"):
    return "n" * (count - len(suffix)) + suffix


@pytest.mark.parametrize("count", [245, 255])
def test_every_legal_name_is_rendered_to(render, room, count):
    done = render("a cat", "--size", "64x64", "--steps", 1, "--no-report", "--out", name(count))
    assert done.code == 0, done.err
    assert (room / name(count)).exists()


@pytest.mark.parametrize("verb", ["render", "plan"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-report", "--out", name(256)),
        ("--no-report", "--out", "d" * 256 + "/a.png"),
        ("--no-report", "--out", name(252), "--preview", name(256)),
        ("--no-report", "--out", name(254, ".dzi")),
    ],
)
def test_an_impossible_name_is_found_before_anything_is_loaded(render, no_model, verb, arguments):
    if verb == "plan":
        arguments = tuple(word for word in arguments if word != "--no-report")
        if "--preview" in arguments:
            arguments = ("--out", name(256))
    done = render("a cat", *arguments, command=verb)
    assert done.code == 2, done.err
    assert "no file can have" in done.err


def test_a_name_too_long_for_its_report_is_found_before_anything_is_loaded(render, no_model):
    done = render("a cat", "--out", name(255))
    assert done.code == 2, done.err
    assert "the report" in done.err


@pytest.mark.parametrize(
    "change",
    [
        {"guidance": 10**400},
        {"seed": 10**400},
        {"loras": [{"path": "a" * 4000, "weight": 1.0}]},
        {"loras": [{"path": "~nosuchuser/x", "weight": 1.0}]},
        {"loras": [{"path": "x", "weight": 10**400}]},
        {"embeddings": ["a" * 4000]},
        {"embeddings": ["~nosuchuser/x"]},
        {"model": "~nosuchuser/x"},
        {"model": "a" * 4000},
        {"vae": "~nosuchuser/x"},
        {"vae": "a" * 4000},
        {"source": {"kind": "image", "path": "a" * 4000, "sha256": "0" * 64, "strength": 0.5}},
        {"source": {"kind": "image", "path": "x", "sha256": "0" * 64, "strength": 10**400}},
    ],
    ids=lambda change: f"{next(iter(change))}-{str(change)[:40]}",
)
def test_a_stored_request_with_impossible_values_is_wrong_and_no_defect(sfumato, room, no_model, change):
    stored = RenderRequest(prompt="x", size=PixelSize(128, 128)).to_json() | change
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("sfumato", json.dumps(stored))
    Image.new("RGB", (8, 8)).save(room / "h.png", pnginfo=texts)
    for verb in ("render", "plan"):
        done = sfumato(verb, "--from", "h.png", "--out", "o.png", "--json")
        assert done.code in (2, 5), done.err
        assert done.json["error"] != "defect"
        assert done.json["do"] or done.json["got"]


@pytest.mark.parametrize("value", ["1e308", "inf", "nan", "0", "-1"])
def test_an_impossible_budget_is_a_wrong_request(render, value):
    done = render("a cat", "--budget-gb", value, command="plan")
    assert done.code == 2, done.err


@pytest.mark.parametrize("bad", ["m;touch P;.ckpt", "a\x1b]0;PWN\x07\x1b[2J.ckpt", "a b.ckpt", "$(touch P).ckpt"])
def test_advice_can_be_pasted_and_steers_no_terminal(sfumato, room, bad):
    (room / bad).write_bytes(b"x")
    for more in ((), ("--json",)):
        done = sfumato("models", "inspect", bad, *more)
        assert done.code == 4
        assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    advice = done.json["do"].split(": ", 1)[1]
    echoed = subprocess.run(["bash", "-c", f"printf '%s|' {advice}"], capture_output=True, cwd=room, check=True)
    assert echoed.stdout.decode().split("|")[-2] == bad
    assert not (room / "P").exists()


def test_names_are_quoted_in_the_report_and_escaped_in_what_is_printed(render, room):
    bad = "$(touch P)\x1b[2J.png"
    done = render("a cat", "--size", "64x64", "--steps", 1, "--out", bad)
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    page = (room / bad).with_suffix(".html").read_text()
    line = html.unescape(re.search(r"<pre[^>]*>\n?(sfumato render --from.*?)</pre>", page)[1])
    echoed = subprocess.run(["bash", "-c", f"printf '%s|' {line}"], capture_output=True, cwd=room, check=True)
    assert str(room / bad) in echoed.stdout.decode().split("|")
    assert not (room / "P").exists()


@pytest.mark.parametrize(("encoding", "more"), [("cp1252", ()), ("ascii", ("--json",))])
def test_a_saved_picture_is_success_whatever_stdout_can_print(room, encoding, more):
    words = ("render", "猫", "--model", tiny_mini(), "--size", "64x64", "--steps", 1, "--no-report")
    with fork_command(room, *words, "--out", "猫\U0001f431.png", *more, encoding=encoding) as run:
        assert run.wait() == 0, run.err
        assert (room / "猫\U0001f431.png").exists()
        if more:
            assert json.loads(run.out.splitlines()[-1])["path"] == "猫\U0001f431.png"


@pytest.mark.parametrize("verb", ["render", "plan"])
def test_the_budget_is_asked_before_a_picture_is_decoded(render, room, monkeypatch, no_model, verb):
    monkeypatch.setattr(Image.Image, "load", lambda *_given: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_given: pytest.fail("decoded"))
    write_png(room / "a.png", 16384, 16384)
    done = render("a cat", "--init", "a.png", "--size", "64x64", "--budget-gb", "0.5", "--out", "o.png", command=verb)
    assert done.code == 3, done.err


def test_the_next_start_removes_what_a_killed_one_left(render, room):
    for left in (".a.png.0123abcd.part", ".a.html.0123abcd.part", ".a.png.work.0123abcd.part"):
        (room / left).write_bytes(b"half")
    (room / ".b.png.0123abcd.part").write_bytes(b"of another picture")
    assert render("a cat", "--size", "64x64", "--steps", 1, "--out", "a.png").code == 0
    assert sorted(path.name for path in room.glob(".*")) == [".b.png.0123abcd.part"]


def test_stopped_while_cleaning_up_says_that_the_picture_is_there(render, room, monkeypatch):
    from sfumato.canvas.workspace.disk_workspace import DiskWorkspace

    def stopped(_self):
        raise KeyboardInterrupt

    monkeypatch.setattr(DiskWorkspace, "remove", stopped)
    done = render("a cat", "--size", "128x128", "--method", "cohesive", "--steps", 2, "--no-report", "--out", "a.png")
    assert done.code == 130
    assert (room / "a.png").exists()
    assert "1 finished picture" in done.err
