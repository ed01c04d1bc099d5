"""The one table of defaults: what every surface (command line, library, HTTP) takes where nothing is said.

Plain values, so that `--help` can print them without importing anything. `workflows.requests` applies them. What suits
one model only (guidance, the strength of slices) is not here: it comes from that model's contract.
Start reading at `DEFAULTS`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Hold what a request takes where a setting is left out.

    `seed` is "random": a 32-bit number is drawn and told. `size` is the model's native size. `method` depends on the
    size: native up to `native_slack` times the model's native area, `large_method` beyond it.
    `upscaler` enlarges between rounds and levels, and is what `upscale` falls back to: without a model it takes the
    fetched network that suits the picture.
    """

    model: str = "mini"
    seed: str = "random"
    steps: int = 20
    sampler: str = "DPM++ 2M"
    schedule: str = "karras"
    guidance_rescale: float = 0.0
    clip_skip: int = 1
    batch: int = 1
    strength: float = 0.75
    native_slack: float = 1.25
    large_method: str = "cohesive"
    upscaler: str = "lanczos"
    scale: float = 2.0
    preview_every: int = 5
    mask_fill: str = "original"
    # Room around a masked part that alone is drawn, and the soft seam of a picture that grows, in px.
    mask_padding: int = 32
    outpaint_overlap: int = 16
    outpaint_strength: float = 1.0
    anatomy: str = "off"
    unrepaired: str = "flag"
    # Where clients of A1111 look for a server unless told otherwise.
    host: str = "127.0.0.1"
    port: int = 7860


DEFAULTS = Defaults()
