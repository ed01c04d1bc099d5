"""Pictures of other tools: `show` says what they hold, and `--from` repeats as much of them as can be."""

from PIL import Image, PngImagePlugin

from sfumato.canvas.formats.images import read_request

PARAMETERS = (
    "a (red:1.2) house, in a meadow\nNegative prompt: fog, rain\n"
    "Steps: 3, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 77, Size: 160x128, "
    "Model hash: 0123456789, Model: dream, Clip skip: 2, Hires upscale: 2, ENSD: 31337"
)


def save(path, text):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (16, 16)).save(path, pnginfo=info)


def test_parameters_of_a1111_are_repeated_and_what_is_not_honoured_is_listed(render, room):
    save(room / "other.png", PARAMETERS)
    done = render("--from", "other.png", "--out", "ours.png")
    assert done.code == 0, done.err
    request = read_request(room / "ours.png")
    assert (request.prompt, request.negative, request.seed, request.steps) == (
        "a (red:1.2) house, in a meadow", "fog, rain", 77, 3,
    )  # fmt: skip
    assert (request.guidance, str(request.size), request.schedule, request.clip_skip) == (5.5, "160x128", "karras", 2)
    left = [line for line in done.err.splitlines() if line.startswith("not honoured")]
    assert all(any(word in line for line in left) for word in ("dream", "Hires", "ENSD"))
    changed = render("--from", "other.png", "--out", "more.png", "--steps", 2, "--json")
    assert changed.json["request"]["steps"] == 2


def test_a_sampler_that_is_unknown_here_is_listed_and_the_rest_is_repeated(render, room):
    save(room / "other.png", PARAMETERS.replace("DPM++ 2M", "Restart"))
    done = render("--from", "other.png", "--out", "ours.png")
    assert done.code == 0, done.err
    assert "Restart" in done.err
    assert read_request(room / "ours.png").seed == 77


def test_show_prints_what_a_picture_holds(sfumato, render, room):
    save(room / "other.png", PARAMETERS)
    assert render("a house", "--out", "ours.png").code == 0
    for name, words in (("other.png", "in a meadow"), ("ours.png", "made by Sfumato")):
        done = sfumato("show", name)
        assert done.code == 0, done.err
        assert words in done.out
    assert sfumato("show", "ours.png", "--json").json["request"]["prompt"] == "a house"
    assert sfumato("show", "none.png").code == 2


def test_a_picture_without_texts_carries_no_request(sfumato, room):
    Image.new("RGB", (16, 16)).save(room / "plain.png")
    assert sfumato("render", "--from", "plain.png").code == 2
