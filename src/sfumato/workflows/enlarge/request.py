"""What changes the pixels of an enlarged picture, as a value that goes through JSON and is stored in the picture.

Knows no pixels. Start reading at `EnlargeRequest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sfumato.canvas.formats.images import read_texts
from sfumato.core import serialize
from sfumato.core.defaults import DEFAULTS
from sfumato.core.errors import RequestError, SfumatoError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.provenance import XMP_NAME, choose_enlarged_type, write_xmp

if TYPE_CHECKING:
    from pathlib import Path

OURS = "sfumato"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargeRequest:
    """Everything that changes the pixels of an enlarged picture: the picture, the new size, the upscaler.

    `upscaler` is `lanczos`, the name of a part, or the path of a file; `upscaler_sha256` is the digest of its weights,
    empty for Lanczos. `number_type` is the one that the network computed in, "fp32" or "bf16".
    """

    kind: ClassVar[str] = "enlarge"
    path: str
    sha256: str
    size: PixelSize
    upscaler: str = DEFAULTS.upscaler
    upscaler_sha256: str = ""
    number_type: str = "fp32"

    @property
    def method(self) -> str:
        """Return the method of `upscale`: lanczos or esrgan."""
        return "lanczos" if self.upscaler == DEFAULTS.upscaler else "esrgan"

    def write_texts(self) -> dict[str, str]:
        """Return the texts that a picture file carries; what the picture itself says of a model stays true."""
        try:
            said = read_texts(self.path)
        except SfumatoError:
            # It was only in memory, or is gone.
            said = dict[str, str]()
        xmp = write_xmp(choose_enlarged_type(said))
        return {OURS: serialize.canonical_text(serialize.to_json(self)), XMP_NAME: xmp}


def read_enlarge_request(path: Path) -> EnlargeRequest:
    """Read the request that an enlarged picture carries.

    Raises:
        RequestError: it cannot be read, or carries no such request.
    """
    text = read_texts(path).get(OURS)
    if text is None:
        raise RequestError("the picture carries no request of ours", got=str(path))
    found = serialize.parse_json(text, what="the request in the picture")
    if not isinstance(found, dict) or found.get("kind") != EnlargeRequest.kind:
        do = "Repeat it with `sfumato render`, setting `source`."
        raise RequestError("the picture was not made by `upscale` without a model", got=str(path), do=do)
    return serialize.from_json(EnlargeRequest, found, where="the request in the picture")
