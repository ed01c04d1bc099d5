"""What a render may take of a machine, and how fast the machine is, as values.

Measures nothing and knows no request. The guesses come from the measurements in docs/log/README.md; a calibration of this
machine replaces them (docs/plan_and_cost.md). Start reading at `RenderBudget`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sfumato.models.upscaler.detect_shape import UpscalerShape

GIB = 1024**3
MIB = 1024**2

# Windows denoised in one call where memory allows. A smaller batch may change the last bits of a picture.
WINDOW_BATCH = 4
SMALLER_BATCHES = (WINDOW_BATCH, 2, 1)

Basis = Literal["probe", "measured", "guess"]


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """State how long the parts of a render take on one device, in seconds.

    A call of the denoiser costs `call_s`, and `cell_s` per latent cell and evaluation in it; a picture costs `decode_s`
    and `encode_s` per pixel, and `save_s` to check, write and report. In the middle of a KL autoencoder every latent
    cell reads every other, which costs `attend_s` a pair. `open_s` is spent once a process, `start_s` before the first
    step. `basis` says where the numbers are from: a calibration of this machine, its last renders, or a guess.
    """

    call_s: float
    cell_s: float
    decode_s: float
    encode_s: float
    attend_s: float = 0.0
    save_s: float = 0.0
    start_s: float = 0.0
    open_s: float = 0.0
    basis: Basis = "guess"

    def scaled(self, factor: float) -> CostModel:
        """Return the same model at the speed of renders that took `factor` times as long; opening has its own."""
        timed = {name: value * factor for name, value in asdict(self).items() if name not in ("open_s", "basis")}
        return replace(self, **timed, basis="measured")


@dataclass(frozen=True, kw_only=True)
class RenderBudget:
    """Limit a plan: bytes of memory and disk, and the time that the parts take.

    `memory_bytes` limits the device, of which `free_bytes` are free now; a KL autoencoder takes at most `decode_share`
    of these. `base_bytes` is the memory of the loaded model, on a CPU with the program. A device with memory of its own
    is `separate`; then `host_bytes` limits the host, where the program takes `host_base_bytes`.
    `disk_bytes` is free where the picture goes, `spill_bytes` in TMPDIR, `spill_shared` if that is one disk.
    Control networks have `control_parameters` weights.
    A number that the denoiser computes with has `number_bytes`. `upscaler` is the network that enlarges. The file of
    the picture may be a `pyramid`; a format that is not written in bands takes `whole_bytes` of memory a pixel.
    None is no limit.
    """

    memory_bytes: int
    cost: CostModel
    base_bytes: int = 0
    free_bytes: int | None = None
    decode_share: float = 1.0
    separate: bool = False
    host_bytes: int | None = None
    host_base_bytes: int = 0
    disk_bytes: int | None = None
    spill_bytes: int | None = None
    spill_shared: bool = False
    upscaler: UpscalerShape | None = None
    number_bytes: int = 4
    control_parameters: int = 0
    pyramid: bool = False
    whole_bytes: int = 0
    window_batch: int = WINDOW_BATCH


# Two CPU cores with bf16; replaced by a calibration.
_SD = CostModel(
    call_s=0.05, cell_s=2.8e-4, decode_s=2e-5, encode_s=1e-5, attend_s=1e-8, save_s=7e-7, start_s=2.0, open_s=12.0
)
GUESSES = {
    "mini": CostModel(call_s=0.012, cell_s=2.2e-5, decode_s=5e-7, encode_s=3e-7, save_s=7e-7, start_s=0.3, open_s=8.0),
    "sd1": _SD,
    "sd2": _SD,
    "sdxl": replace(_SD, call_s=0.1, cell_s=4.5e-4, start_s=5.0, open_s=20.0),
}
