"""What a picture of any tool holds, in any format that can hold it."""

import json

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from hostile import write_png
from sfumato.canvas.formats.save import save_canvas
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import write_metadata
from sfumato.core.request import ConceptRef, LoraRef, RenderRequest
from sfumato.workflows.files.describe_picture import describe_picture

TEXT = "a café\nNegative prompt: 猫\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x32, Model: other"
REQUEST = RenderRequest(prompt="a house", size=PixelSize(400, 300), seed=3)
PICTURE = Image.new("RGB", (400, 300), (9, 8, 7))


def save_png(path, text, *, kind):
    texts = PngImagePlugin.PngInfo()
    getattr(texts, kind)("parameters", text)
    PICTURE.save(path, pnginfo=texts)


def save_exif(path, raw, **options):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = raw
    PICTURE.save(path, exif=exif.tobytes(), **options)


def check_foreign(path):
    found = describe_picture(path)
    assert found.parameters is not None
    assert (found.parameters.prompt, found.parameters.negative) == ("a café", "猫")
    assert (found.parameters.size, found.parameters.model) == (PixelSize(64, 32), "other")
    assert found.request is None
    assert any("another tool" in line for line in found.to_lines())
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["parameters"]["seed"] == 5


@pytest.mark.parametrize("kind", ["add_itxt", "add_text"])
def test_parameters_in_a_png(tmp_path, kind):
    save_png(tmp_path / "a.png", TEXT, kind=kind)
    check_foreign(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png"])
@pytest.mark.parametrize(
    "raw",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"ASCII\0\0\0" + TEXT.encode(),
        bytes(8) + TEXT.encode(),
    ],
    ids=["big-endian", "little-endian", "ascii", "undefined"],
)
def test_parameters_in_a_user_comment(tmp_path, suffix, raw):
    save_exif(tmp_path / f"a{suffix}", raw)
    check_foreign(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".dzi"])
def test_a_picture_of_ours(tmp_path, suffix):
    save_canvas(tmp_path / f"a{suffix}", PICTURE, write_metadata(REQUEST))
    found = describe_picture(tmp_path / f"a{suffix}")
    assert found.request == REQUEST
    assert found.sizes[0] == REQUEST.size
    assert (len(found.sizes) > 1) == (suffix in (".tif", ".dzi"))
    assert found.profile == "sRGB"
    assert found.to_json()["request"] == REQUEST.to_json()
    assert any("a house" in line for line in found.to_lines())


def test_a_request_of_another_version_is_told_with_its_reason(tmp_path):
    texts = write_metadata(REQUEST)
    stored = json.loads(texts["sfumato"]) | {"novelty": 1}
    save_canvas(tmp_path / "a.png", PICTURE, texts | {"sfumato": json.dumps(stored)})
    found = describe_picture(tmp_path / "a.png")
    assert found.request is None
    assert "novelty" in found.unreadable
    assert found.parameters is not None


@pytest.mark.parametrize(
    ("name", "graph", "nodes"), [("workflow", {"nodes": [1, 2, 3]}, 3), ("prompt", {"1": {}, "2": {}}, 2)]
)
def test_a_graph_of_comfyui(tmp_path, name, graph, nodes):
    texts = PngImagePlugin.PngInfo()
    texts.add_text(name, json.dumps(graph))
    PICTURE.save(tmp_path / "a.png", pnginfo=texts)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = f"{name}:{json.dumps(graph)}"
    PICTURE.save(tmp_path / "a.webp", exif=exif.tobytes())
    for path in tmp_path.iterdir():
        assert describe_picture(path).comfy_nodes == nodes


@pytest.mark.parametrize("text", ["a cat", "[1, 2]", "{", "[" * 100_000])
def test_other_texts_are_no_graph(tmp_path, text):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", text)
    PICTURE.save(tmp_path / "a.png", pnginfo=texts)
    found = describe_picture(tmp_path / "a.png")
    assert (found.comfy_nodes, found.texts) == (None, ("prompt",))


def test_a_bare_picture_says_so(tmp_path):
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a.png")
    found = describe_picture(tmp_path / "a.png")
    assert (found.mode, found.profile, found.texts) == ("L", "", ())
    assert found.to_lines()[-1].startswith("no texts")


def test_the_profile_is_named(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PICTURE.save(tmp_path / "a.jpg", icc_profile=profile)
    assert "sRGB" in describe_picture(tmp_path / "a.jpg").profile
    PICTURE.save(tmp_path / "b.jpg", icc_profile=b"none")
    assert describe_picture(tmp_path / "b.jpg").profile == "damaged"


def test_no_pixel_is_decoded(tmp_path):
    write_png(tmp_path / "a.png", 60_000, 60_000)
    assert describe_picture(tmp_path / "a.png").sizes == (PixelSize(60_000, 60_000),)


@pytest.mark.parametrize("raw", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(tmp_path, raw):
    (tmp_path / "a.png").write_bytes(raw)
    with pytest.raises(RequestError):
        describe_picture(tmp_path / "a.png")


def test_what_changed_the_model_is_named(tmp_path):
    request = RenderRequest(
        prompt="bo in a meadow",
        size=PixelSize(64, 64),
        seed=3,
        loras=(LoraRef(path="ink.safetensors", weight=0.5),),
        concepts=(ConceptRef(path="bo.concept", sha256="0" * 64),),
    )
    path = tmp_path / "a.png"
    save_canvas(path, Image.new("RGB", (64, 64)), write_metadata(request))
    lines = describe_picture(path).to_lines()
    assert {"LoRAs: ink.safetensors (0.5)", "concepts: bo.concept (1)"} <= set(lines)
