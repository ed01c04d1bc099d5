"""Compare methods on one prompt: pictures that repeat, one sheet, one page, a table; wrong words are refused."""

from PIL import Image

from sfumato.canvas.formats.images import read_request
from sfumato.canvas.workspace.disk_workspace import find_resumable
from sfumato.models.latent_model import LatentModel
from sfumato.workflows.compare import compare as compare_module
from sfumato.workflows.compare.compare import find_work
from sfumato.workflows.forecast import plan_request


def test_methods_side_by_side(render, room):
    asked = ("a dog", "--size", "160x128", "--methods", "native,cohesive,gobig", "--out", "both")
    done = render(*asked, "--json", command="compare")
    assert done.code == 0, done.err
    assert list(done.json["pictures"]) == ["native", "cohesive", "gobig"]
    assert {one["seed"] for one in done.json["pictures"].values()} == {1}
    for name, one in done.json["pictures"].items():
        assert read_request(room / one["path"]).method.kind == name
        assert one["evaluations"] > 0
    with Image.open(room / "both" / "cohesive.png") as cohesive:
        assert cohesive.size == (160, 128)
    with Image.open(room / done.json["sheet"]) as sheet:
        assert sheet.width >= 3 * 160
    page = (room / done.json["page"]).read_text()
    assert all(word in page for word in ("Side by side", "gobig.png", "memory, planned"))
    assert render("--from", "both/gobig.png", "--out", "again.png", "--no-report").code == 0
    assert (room / "again.png").read_bytes() == (room / "both" / "gobig.png").read_bytes()


def test_a_table_is_printed(render, room):
    done = render("a dog", "--size", "160x128", "--methods", "native,gobig", command="compare")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith("method")
    assert [line.split()[0] for line in done.out.splitlines()[2:4]] == ["native", "gobig"]
    assert (room / "out" / "compare-a-dog-1" / "sheet.png").exists()


def test_what_was_planned_is_not_refused_once_the_model_has_taken_its_memory(render, monkeypatch):
    load = compare_module.load_model

    def load_and_fill(*given, **more):
        monkeypatch.setattr(plan_request, "measure_free_bytes", lambda _: 1)
        return load(*given, **more)

    monkeypatch.setattr(compare_module, "load_model", load_and_fill)
    done = render("a dog", "--size", "160x128", "--methods", "native,multidiffusion", command="compare")
    assert done.code == 0, done.err


def test_what_cannot_be_compared_is_refused(render, room):
    wrong = (
        ["--methods", "cohesive,best"],
        ["--methods", "native"],
        ["--methods", "native,gobig", "--resume"],
        ["--size", "64x64"],
    )
    for more in wrong:
        usual = [] if "--size" in more else ["--size", "160x128"]
        done = render("a dog", *usual, *more, "--json", command="compare")
        assert (done.code, done.json["error"]) == (2, "request")
    assert not (room / "out").exists()


def test_a_stopped_comparison_is_found_again_and_nothing_is_drawn_over_it(render, room, monkeypatch):
    denoise, calls = LatentModel.denoise_guided, []

    def stop_late(model, *given, **more):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return denoise(model, *given, **more)

    asked = ("a dog", "--size", "160x128", "--methods", "cohesive,native")
    with monkeypatch.context() as patched:
        patched.setattr(LatentModel, "denoise_guided", stop_late)
        assert render(*asked, command="compare").code == 130
    folder = room / "out" / "compare-a-dog-1"
    assert find_resumable(find_work(folder))
    refused = render(*asked, "--out", folder, "--json", command="compare")
    assert (refused.code, len(list(folder.glob("*.png")))) == (2, 0)
    done = render(*asked, "--resume", "--json", command="compare")
    assert done.code == 0, done.err
    assert room / done.json["folder"] == folder
    assert not find_work(folder).exists()
