"""The alpha of files that keep it beside the tensors: peft's settings as text.

Knows the settings' names; it opens no file. Start reading at `LoraAlphas.find_scale`. Kohya files
carry alpha as tensors and never come here.

Source: LoRA, Hu et al. 2021, section 4.1 (alpha / rank); rsLoRA, Kalajdzievski 2023 (alpha / sqrt(rank)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sfumato.core.errors import ModelError


@dataclass(frozen=True, slots=True)
class _AlphaSettings:
    alpha: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    by_root: bool = False


class LoraAlphas:
    """The alphas of one file, per component."""

    def __init__(self, settings: Mapping[str, _AlphaSettings]) -> None:
        """Use `parse_alphas`."""
        self._settings = settings

    def find_scale(self, layer: str, rank: int) -> float:
        """Find alpha / rank for a layer; 1 where the file says nothing, as diffusers reads it."""
        path = layer.removeprefix("base_model.model.")
        component, _, rest = path.partition(".")
        settings = self._settings.get(component)
        if settings is None:
            settings, rest = self._settings.get("", _AlphaSettings()), path
        alpha = next((a for tail, a in settings.patterns.items() if _ends_with(rest, tail)), settings.alpha)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if settings.by_root else rank)


def parse_alphas(settings: Mapping[str, object]) -> LoraAlphas:
    """Parse peft's settings, with or without a component in front (`unet.lora_alpha`, `lora_alpha`).

    Raises: ModelError when a value is not what peft writes.
    """
    components = {key.rpartition(".")[0] for key in settings}
    try:
        return LoraAlphas({name: _parse(settings, name + "." if name else "") for name in components})
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError("the adapter's settings cannot be read", got=error, do="Save the adapter again") from error


def _parse(settings: Mapping[str, object], prefix: str) -> _AlphaSettings:
    alpha = settings.get(prefix + "lora_alpha")
    patterns = settings.get(prefix + "alpha_pattern") or {}
    return _AlphaSettings(
        None if alpha is None else float(alpha),  # pyright: ignore[reportArgumentType]
        {str(tail): float(value) for tail, value in patterns.items()},  # pyright: ignore[reportAttributeAccessIssue]
        bool(settings.get(prefix + "use_rslora", False)),
    )


def _ends_with(path: str, tail: str) -> bool:
    return path == tail or path.endswith("." + tail.removeprefix("^"))
