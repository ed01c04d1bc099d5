"""Every picture file says in XMP that a model drew or changed it; other programs read it where they look."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.images import read_texts
from sfumato.canvas.formats.save import save_canvas
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.provenance import (
    COMPOSITE,
    ENHANCED,
    TRAINED,
    XMP_NAME,
    choose_enlarged_type,
    choose_source_type,
    read_source_type,
    write_xmp,
)
from sfumato.core.metadata.write import write_metadata
from sfumato.core.request import ImageSource, InpaintSource, RenderRequest
from sfumato.workflows.enlarge.request import EnlargeRequest

REQUEST = RenderRequest(prompt="a cat", size=PixelSize(64, 64))
PICTURE = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
FILE = {"path": "a.png", "sha256": "0" * 64}
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_other_programs_find_the_packet_where_each_format_keeps_it(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_canvas(path, PICTURE, write_metadata(REQUEST))
    with Image.open(path) as opened:
        # Pillow reads it as other programs do: iTXt, APP1, the chunk XMP, tag 700.
        packet = opened.tag_v2[700] if suffix == ".tif" else opened.info["xmp"]
    root = ET.fromstring(packet.decode().partition("?>")[2].rpartition("<?")[0])
    said = next(one for one in root.iter() if one.get(f"{IPTC}DigitalSourceType"))
    assert said.get(f"{IPTC}DigitalSourceType") == f"http://cv.iptc.org/newscodes/digitalsourcetype/{TRAINED}"
    assert said.get(f"{IPTC}AISystemUsed") == "Sfumato"
    assert read_source_type(read_texts(path)) == TRAINED
    first = path.read_bytes()
    save_canvas(path, PICTURE, write_metadata(REQUEST))
    assert path.read_bytes() == first


def test_a_changed_picture_is_called_composite():
    sources = {
        COMPOSITE: [ImageSource(**FILE, strength=0.5), InpaintSource(**FILE, mask="m.png", mask_sha256="1" * 64)],
        TRAINED: [ImageSource(**FILE, strength=1.0)],
    }
    for wanted, some in sources.items():
        for source in some:
            assert choose_source_type(replace(REQUEST, source=source)) == wanted


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ({}, ENHANCED),
        ({"comment": "a holiday"}, ENHANCED),
        ({"parameters": "a cat\nSteps: 3"}, TRAINED),
        ({XMP_NAME: write_xmp(COMPOSITE)}, COMPOSITE),
        ({XMP_NAME: write_xmp(TRAINED)}, TRAINED),
        ({XMP_NAME: write_xmp("digitalCapture"), "parameters": "x"}, ENHANCED),
        ({XMP_NAME: "<broken"}, ENHANCED),
    ],
)
def test_an_enlarged_picture_keeps_what_its_origin_says(tmp_path, texts, wanted):
    assert choose_enlarged_type(texts) == wanted
    save_canvas(tmp_path / "a.png", PICTURE, texts)
    request = EnlargeRequest(path=str(tmp_path / "a.png"), sha256="0" * 64, size=PixelSize(128, 128))
    assert read_source_type(request.write_texts()) == wanted
