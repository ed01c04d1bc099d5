"""Say what a picture file holds: its size and profile, our request, or the words of another tool.

Opens headers and texts, decodes no pixel. Start reading at `describe_picture`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageCms

from sfumato.canvas.formats.images import read_header, read_texts
from sfumato.canvas.formats.read import open_regions
from sfumato.core.errors import RequestError
from sfumato.core.files import check_path
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.read import ForeignParameters, read_parameters
from sfumato.core.request import RenderRequest
from sfumato.core.serialize import Json, parse_json

_BAND_FORMATS = {".tif": "TIFF", ".tiff": "TIFF", ".dzi": "DeepZoom"}
_OURS, _PARAMETERS, _COMFY = "sfumato", "parameters", ("workflow", "prompt")
# A line of a prompt that is shown; the whole of it is in the JSON form.
_LONGEST_LINE_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class PictureDescription:
    """Hold what a picture file says about itself.

    `sizes` are those of its levels, largest first. `profile` names the colour profile, empty where there is none.
    `enlarged_from` is the file that was enlarged without a model. `unreadable` says why a request of ours could not
    be read. `comfy_nodes` counts the nodes of a ComfyUI graph, None where there is no graph. `texts` are the names of
    all texts in the file.
    """

    path: Path
    format: str
    file_bytes: int
    sizes: tuple[PixelSize, ...]
    mode: str
    profile: str
    texts: tuple[str, ...]
    request: RenderRequest | None = None
    enlarged_from: str = ""
    unreadable: str = ""
    parameters: ForeignParameters | None = None
    comfy_nodes: int | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the description as JSON values."""
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.file_bytes,
            "size": str(self.sizes[0]),
            "levels": [str(size) for size in self.sizes],
            "mode": self.mode,
            "profile": self.profile or None,
            "texts": list(self.texts),
            "request": None if self.request is None else self.request.to_json(),
            "enlarged_from": self.enlarged_from or None,
            "unreadable": self.unreadable or None,
            "parameters": None if self.parameters is None else self.parameters.to_json(),
            "comfy_nodes": self.comfy_nodes,
        }

    def to_lines(self) -> list[str]:
        """Return the description as lines of plain text."""
        largest, *smaller = self.sizes
        levels = f", {len(smaller) + 1} levels" if smaller else ""
        lines = [
            f"{self.path}",
            f"{self.format}, {largest} px{levels}, {self.mode}, {self.file_bytes / 1e6:,.1f} MB",
            f"colour profile: {self.profile or 'none, taken as sRGB'}",
        ]
        if self.request is not None:
            lines += _describe_request(self.request)
        elif self.enlarged_from:
            lines.append(f"enlarged by Sfumato without a model, from {self.enlarged_from}")
        elif self.unreadable:
            lines.append(f"a request of Sfumato that this version cannot read: {self.unreadable}")
        if self.parameters is not None and self.request is None:
            lines += _describe_parameters(self.parameters)
        if self.comfy_nodes is not None:
            lines.append(f"a workflow of ComfyUI with {self.comfy_nodes} nodes")
        if not self.texts:
            lines.append("no texts: nothing says how it was made")
        return lines


def describe_picture(path: Path | str) -> PictureDescription:
    """Describe a PNG, JPEG or WebP of any tool, or a TIFF or DeepZoom picture of ours, from headers and texts.

    Raises:
        RequestError: no such file, another format, or a damaged file.
        UnsafeFileError: a text chunk is a bomb.
    """
    path = Path(path)
    check_path(path, what="the picture")
    band_format = _BAND_FORMATS.get(path.suffix.lower())
    if band_format is None:
        header = read_header(path)
        sizes: tuple[PixelSize, ...] = (header.size,)
        mode, texts = header.mode, header.texts
        profile = _name_profile(header.icc_profile) if header.icc_profile else "sRGB" if header.is_srgb else ""
        name = header.format
    else:
        sizes, texts = open_regions(path).sizes, read_texts(path)
        mode, profile, name = "RGB", "sRGB", band_format
    enlarged_from = _read_enlarged(texts.get(_OURS))
    request, unreadable = (None, "") if enlarged_from else _read_request(texts.get(_OURS))
    return PictureDescription(
        path=path,
        format=name,
        file_bytes=path.stat().st_size,
        sizes=sizes,
        mode=mode,
        profile=profile,
        texts=tuple(sorted(texts)),
        request=request,
        enlarged_from=enlarged_from,
        unreadable=unreadable,
        parameters=read_parameters(texts[_PARAMETERS]) if texts.get(_PARAMETERS) else None,
        comfy_nodes=_count_nodes(texts),
    )


def _read_enlarged(text: str | None) -> str:
    """Return the file that `upscale` enlarged without a model; empty for any other picture."""
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return ""
    return str(found.get("path", "")) if isinstance(found, dict) and found.get("kind") == "enlarge" else ""


def _read_request(text: str | None) -> tuple[RenderRequest | None, str]:
    """Return the request of ours, and why it could not be read."""
    if text is None:
        return None, ""
    try:
        return RenderRequest.from_json(parse_json(text, what="the request in the picture")), ""
    except RequestError as error:
        return None, str(error)


def _name_profile(raw: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(raw))).strip() or "unnamed"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "damaged"


def _count_nodes(texts: Mapping[str, str]) -> int | None:
    """Return how many nodes a ComfyUI graph in the texts has, None where there is none."""
    for name in _COMFY:
        try:
            graph = json.loads(texts.get(name, ""))
        except (ValueError, RecursionError):
            continue
        if isinstance(graph, dict):
            nodes = graph.get("nodes", graph)
            return len(nodes) if isinstance(nodes, dict | list) else 0
    return None


def _describe_request(request: RenderRequest) -> list[str]:
    negative = [f"negative prompt: {_cut(request.negative)}"] if request.negative else []
    return [
        "made by Sfumato; its whole request is in the file",
        f"prompt: {_cut(request.prompt)}",
        *negative,
        f"size {request.size}, seed {request.seed}, method {request.method.kind}",
        *([f"focus: {request.focus}"] if request.focus else []),
        *([f"anatomy: {request.anatomy}"] if request.anatomy else []),
        f"{request.steps} steps of {request.sampler} ({request.schedule}), guidance {request.guidance:g}",
        f"model: {request.model}",
        *_describe_adapters(request),
    ]


def _describe_adapters(request: RenderRequest) -> list[str]:
    """Name what changed the model: its autoencoder, LoRAs, embeddings and concepts, in a line each kind."""
    named = {
        "autoencoder": [request.vae] if request.vae else [],
        "LoRAs": [f"{lora.path} ({lora.weight:g})" for lora in request.loras],
        "embeddings": list(request.embeddings),
        "concepts": [f"{concept.path} ({concept.weight:g})" for concept in request.concepts],
    }
    return [f"{kind}: {_cut(', '.join(files))}" for kind, files in named.items() if files]


def _describe_parameters(found: ForeignParameters) -> list[str]:
    named = {
        "size": found.size,
        "seed": found.seed,
        "steps": found.steps,
        "sampler": found.sampler,
        "schedule": found.schedule,
        "guidance": found.guidance,
        "strength": found.strength,
        "clip skip": found.clip_skip,
        "model": found.model,
        "model hash": found.model_hash,
        "VAE": found.vae,
    }
    lines = ["parameters of another tool", f"prompt: {_cut(found.prompt)}"]
    if found.negative:
        lines.append(f"negative prompt: {_cut(found.negative)}")
    lines.append(", ".join(f"{name} {value}" for name, value in named.items() if value is not None))
    if found.lora_hashes:
        lines.append(f"LoRAs: {', '.join(found.lora_hashes)}")
    if found.hires:
        lines.append("second pass: " + ", ".join(f"{name} {_cut(value)}" for name, value in found.hires.items()))
    if found.others:
        lines.append(f"keys that are not understood: {', '.join(found.others)}")
    return [line for line in lines if line]


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE_CHARACTERS else line[: _LONGEST_LINE_CHARACTERS - 1] + "…"
