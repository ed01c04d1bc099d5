"""How a picture says that an algorithm made it: an XMP packet with IPTC's digital source type.

The packet holds no date and no random id, so the same request still gives the same bytes. It is a claim and no proof:
anybody can take it out. Knows no picture format. Start reading at `write_xmp`.

Source: ISO 16684-1 (XMP), IPTC Photo Metadata Standard 2025.1, IPTC NewsCodes `digitalsourcetype`.
"""

from __future__ import annotations

import re

from sfumato.core.request import ImageSource, InpaintSource, PictureSource, RenderRequest
from sfumato.core.version import __version__

XMP_NAME = "XML:com.adobe.xmp"
"""The name of the text that holds the packet; PNG has this keyword for it."""
TRAINED = "trainedAlgorithmicMedia"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
ENHANCED = "algorithmicallyEnhanced"
# A packet of ours has about 700 bytes; JPEG has room for 65,502.
LONGEST_XMP_BYTES = 65_502

_CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_TYPE = re.compile(re.escape(_CODES) + r"(\w{1,64})")
# The id is the one that the standard gives to every packet.
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="Sfumato {version}"
    Iptc4xmpExt:DigitalSourceType="{source_type}"
    Iptc4xmpExt:AISystemUsed="Sfumato"
    Iptc4xmpExt:AISystemVersionUsed="{version}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def write_xmp(source_type: str) -> str:
    """Return the XMP packet of a picture whose source is `TRAINED`, `COMPOSITE` or `ENHANCED`."""
    return _PACKET.format(version=__version__, source_type=name_source_type(source_type))


def name_source_type(source_type: str) -> str:
    """Return the address that IPTC gave to a source type."""
    return _CODES + source_type


def choose_source_type(request: RenderRequest) -> str:
    """Return IPTC's word for how a request makes its picture: drawn by a model, or a picture that a model changed."""
    source = request.source
    if isinstance(source, InpaintSource | PictureSource):
        return COMPOSITE
    # At strength 1 nothing of the starting picture is kept.
    return COMPOSITE if isinstance(source, ImageSource) and source.strength < 1 else TRAINED


def choose_enlarged_type(texts: dict[str, str]) -> str:
    """Return the word for a picture that is made larger: what its own texts say of a model stays true."""
    found = read_source_type(texts)
    if found in (TRAINED, COMPOSITE):
        return found
    return TRAINED if found is None and "parameters" in texts else ENHANCED


def read_source_type(texts: dict[str, str]) -> str | None:
    """Return the digital source type that the texts of a picture say, None where they say none."""
    match = _TYPE.search(texts.get(XMP_NAME, ""))
    return match[1] if match else None
