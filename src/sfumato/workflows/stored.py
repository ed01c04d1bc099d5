"""The request that a picture file carries: ours, or the A1111 parameters of another tool as far as they carry over.

Start reading at `read_stored`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sfumato.canvas.formats.images import read_request, read_texts
from sfumato.core.errors import RequestError
from sfumato.core.metadata import parse_infotext
from sfumato.core.request import RenderRequest
from sfumato.workflows.requests import RequestValues

# Key of A1111's parameters -> (setting, how its text is read).
_CARRIED: dict[str, tuple[str, Any]] = {
    "Steps": ("steps", int),
    "Sampler": ("sampler", str),
    "Schedule type": ("schedule", str),
    "CFG scale": ("guidance", float),
    "CFG rescale": ("guidance_rescale", float),
    "Seed": ("seed", int),
    "Size": ("size", str),
    "Clip skip": ("clip_skip", int),
}


def read_stored(path: Path, values: RequestValues) -> tuple[RenderRequest | None, RequestValues]:
    """Read what a picture file carries: (our request, `values`), or (None, `values` completed by A1111 parameters).

    Raises:
        RequestError: the file carries neither.
    """
    texts = read_texts(path)
    if "sfumato" in texts or "parameters" not in texts:
        return read_request(path), values
    found, _ = read_foreign(texts["parameters"])
    said = {field.name for field in fields(values) if getattr(values, field.name) is not None}
    return None, replace(values, **{name: value for name, value in found.items() if name not in said})


def read_foreign(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings that A1111 parameters carry over, and the keys that are not honoured.

    Raises:
        RequestError: a value is no number where one is needed.
    """
    parsed = parse_infotext(text)
    found: dict[str, Any] = {"prompt": parsed.prompt}
    if parsed.negative:
        found["negative"] = parsed.negative
    left = list[str]()
    for key, value in parsed.pairs.items():
        if key not in _CARRIED:
            left.append(f"{key}: {value}")
            continue
        setting, read = _CARRIED[key]
        try:
            found[setting] = read(value)
        except ValueError as error:
            raise RequestError(f"{key} of the picture's parameters is no number", got=value) from error
    return found, tuple(left)
