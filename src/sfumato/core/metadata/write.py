"""What a picture says about itself: the `parameters` text that other tools read, and our whole request.

Turns a request into texts; knows no picture format and opens no weights (digests are given).
`read` takes such texts of any tool apart.
Start reading at `write_metadata`; `images` puts its texts into files and reads them back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath

from sfumato.core import serialize
from sfumato.core.metadata.provenance import XMP_NAME, choose_source_type, write_xmp
from sfumato.core.request import ImageSource, InpaintSource, RenderRequest
from sfumato.core.request_parts.control import ControlRef
from sfumato.core.version import __version__

# Names that other tools know; ours pass through when they have no name there.
_SAMPLERS = {
    "euler": "Euler",
    "euler_a": "Euler a",
    "heun": "Heun",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "ddim": "DDIM",
    "unipc": "UniPC",
    "lcm": "LCM",
}
_SCHEDULES = {
    # Not "Automatic", which is Karras to other tools where the sampler prefers it.
    "model": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "sgm_uniform": "SGM Uniform",
    "trailing": "Trailing",
}
_NEGATIVE = "Negative prompt: "
_CONTROL_MODES = {
    "balanced": "Balanced",
    "prompt": "My prompt is more important",
    "control": "ControlNet is more important",
}
# Shown widths of digests that other tools look up: checkpoints by 10 hex digits, adapters by 12.
_MODEL_DIGITS, _ADAPTER_DIGITS = 10, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDigests:
    """SHA-256 digests (hex) of the weights that made a picture; empty where there is none."""

    model: str = ""
    vae: str = ""
    loras: tuple[tuple[str, str], ...] = ()
    embeddings: tuple[tuple[str, str], ...] = ()


def write_metadata(request: RenderRequest, digests: WeightDigests | None = None) -> dict[str, str]:
    """Return the texts to store in a picture of `request`: `parameters`, `sfumato` and the XMP packet."""
    return {
        "parameters": write_infotext(request, digests or WeightDigests()),
        "sfumato": serialize.canonical_text(request.to_json()),
        XMP_NAME: write_xmp(choose_source_type(request)),
    }


def write_infotext(request: RenderRequest, digests: WeightDigests) -> str:
    """Write the `parameters` text of a request."""
    lines = [request.prompt]
    if request.negative:
        lines.append(_NEGATIVE + request.negative)
    pairs = {**_render_pairs(request), **_weight_pairs(request, digests), **_method_pairs(request)}
    pairs |= {f"ControlNet {index}": _describe_control(one) for index, one in enumerate(request.controls)}
    pairs["Version"] = f"sfumato {__version__}"
    lines.append(", ".join(f"{key}: {_quote(str(value))}" for key, value in pairs.items() if value is not None))
    return "\n".join(lines)


def _render_pairs(request: RenderRequest) -> dict[str, object]:
    return {
        "Steps": request.steps,
        "Sampler": _SAMPLERS.get(request.sampler, request.sampler),
        "Schedule type": _SCHEDULES.get(request.schedule, request.schedule),
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seed,
        "Size": request.size,
    }


def _weight_pairs(request: RenderRequest, digests: WeightDigests) -> dict[str, object]:
    return {
        "Model hash": digests.model[:_MODEL_DIGITS] or None,
        "Model": Path(request.model).stem,
        "VAE hash": digests.vae[:_MODEL_DIGITS] or None,
        "VAE": Path(request.vae).name if request.vae else None,
        "Denoising strength": _write_strength(request),
        # Absence means 1 to every reader.
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "RNG": "sfumato",
        "CFG rescale": f"{request.guidance_rescale:g}" if request.guidance_rescale else None,
        "Lora hashes": _join_digests(digests.loras),
        "TI hashes": _join_digests(digests.embeddings),
    }


def _write_strength(request: RenderRequest) -> str | None:
    source = request.source
    return f"{source.strength:g}" if isinstance(source, ImageSource | InpaintSource) else None


def _method_pairs(request: RenderRequest) -> dict[str, object]:
    return {"Method": request.method.kind, **request.method.to_pairs()}


def _describe_control(one: ControlRef) -> str:
    """Return a unit of control as A1111's extension writes it; its picture is prepared, whatever made it."""
    name = f"{PurePath(one.network).stem} [{one.network_sha256[:8]}]"
    shares = f"Guidance Start: {one.start:g}, Guidance End: {one.end:g}"
    return f"Module: none, Model: {name}, Weight: {one.weight:g}, {shares}, Control Mode: {_CONTROL_MODES[one.mode]}"


def _join_digests(named: tuple[tuple[str, str], ...]) -> str | None:
    return ", ".join(f"{name}: {digest[:_ADAPTER_DIGITS]}" for name, digest in named) or None


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",\n:") else value
