"""The request that a picture file carries: ours, or the A1111 parameters of another tool as far as they carry over.

Start reading at `read_stored`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.canvas.formats.images import read_request, read_texts
from sfumato.core.errors import RequestError
from sfumato.core.metadata.read import ForeignParameters, read_parameters
from sfumato.core.request import RenderRequest
from sfumato.nn.samplers import choose_schedule, make_sampler

if TYPE_CHECKING:
    from sfumato.workflows.values import RequestValues

# What the parameters call a setting of ours.
_CARRIED = ("prompt", "negative", "seed", "steps", "sampler", "schedule", "guidance", "clip_skip", "size")


def read_stored(path: Path, values: RequestValues) -> tuple[RenderRequest | None, RequestValues, tuple[str, ...]]:
    """Read what a picture file carries.

    Returns our request and `values` as they are; or, for a picture of another tool, None, `values` completed by its
    parameters, and what is not honoured of them.

    Raises:
        RequestError: the file carries neither.
    """
    texts = read_texts(path)
    if "sfumato" in texts or "parameters" not in texts:
        return read_request(path), values, ()
    found, left = carry_over(read_parameters(texts["parameters"]))
    said = {field.name for field in fields(values) if getattr(values, field.name) is not None}
    return None, replace(values, **{name: value for name, value in found.items() if name not in said}), left


def carry_over(parameters: ForeignParameters) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings that parameters of another tool give, and sentences on what is not honoured."""
    found = {name: value for name in _CARRIED if (value := getattr(parameters, name)) not in (None, "")}
    left = list[str]()
    try:
        if "sampler" in found:
            sampler = make_sampler(found["sampler"])
            choose_schedule(sampler, found.get("schedule", "automatic"))
    except RequestError:
        left.append(f"sampler {found.pop('sampler')} {found.pop('schedule', '')}".strip())
    if parameters.model:
        left.append(f"model {parameters.model}: name a checkpoint of yours")
    if parameters.vae:
        left.append(f"VAE {parameters.vae}")
    if parameters.strength is not None and not parameters.hires:
        left.append(f"denoising strength {parameters.strength:g}: the starting picture is not in the file")
    if parameters.hires:
        left.append("the second pass (Hires fix): ask for a larger size instead")
    left += [f"{key} {value}" for key, value in parameters.others.items()]
    return found, tuple(left)
