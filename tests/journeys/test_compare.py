"""Compare methods on one prompt: pictures that repeat, one sheet, one page, a table; wrong words are refused."""

from PIL import Image

from sfumato.core.images import read_request


def test_methods_side_by_side(render, room):
    asked = ("a dog", "--size", "160x128", "--methods", "native,cohesive,gobig", "--out", "both")
    done = render(*asked, "--json", command="compare")
    assert done.code == 0, done.err
    assert list(done.json["methods"]) == ["native", "cohesive", "gobig"]
    assert {one["seed"] for one in done.json["methods"].values()} == {1}
    for name, one in done.json["methods"].items():
        assert read_request(room / one["path"]).method.kind == name
        assert one["evaluations"] > 0
    with Image.open(room / "both" / "cohesive.png") as cohesive:
        assert cohesive.size == (160, 128)
    with Image.open(room / done.json["sheet"]) as sheet:
        assert sheet.width >= 3 * 160
    page = (room / done.json["page"]).read_text()
    assert all(word in page for word in ("Side by side", "gobig.png", "peak memory"))
    assert render("--from", "both/gobig.png", "--out", "again.png", "--no-report").code == 0
    assert (room / "again.png").read_bytes() == (room / "both" / "gobig.png").read_bytes()


def test_a_table_is_printed(render, room):
    done = render("a dog", "--size", "160x128", "--methods", "native,gobig", command="compare")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith("method")
    assert [line.split()[0] for line in done.out.splitlines()[2:4]] == ["native", "gobig"]
    assert (room / "out" / "compare-a-dog-1" / "sheet.png").exists()


def test_what_cannot_be_compared_is_refused(render, room):
    for more in (["--methods", "cohesive,best"], ["--methods", "native"], ["--size", "64x64"]):
        usual = [] if "--size" in more else ["--size", "160x128"]
        done = render("a dog", *usual, *more, "--json", command="compare")
        assert (done.code, done.json["error"]) == (2, "request")
    assert not (room / "out").exists()
