"""One measurement of `sfumato bench coding`, in a process of its own: decode or encode a picture, say what it took.

A small one is coded first, so that libraries are loaded. Nothing holds the canvas: what is read is drawn when it is
asked for, and what is written is let go. Prints one line of JSON. Start reading at `main`.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
from sfumato.core.memory import give_back_memory, read_memory, restart_peak_memory
from sfumato.models.latent_model import LatentModel
from sfumato.models.load import load_model

_TRIED = PixelSize(64, 64)


def main() -> None:
    """Run the trial named on the command line: model, way, size of the picture."""
    model, way, size = load_model(sys.argv[1]), sys.argv[2], PixelSize.parse(sys.argv[3])
    _code(model, way, _TRIED)
    give_back_memory()
    restart_peak_memory()
    held, began = read_memory("VmRSS"), time.process_time()
    _code(model, way, size)
    spent = time.process_time() - began
    found = {"processor_s": round(spent, 3), "growth_bytes": read_memory("VmHWM") - held}
    sys.stdout.write(json.dumps(found) + "\n")


def _code(model: LatentModel, way: str, size: PixelSize) -> None:
    if way == "decode":
        model.decode_into(lambda box: _draw(model, box), size.to_latent(model.contract.factor), _let_go)
    else:
        model.encode_into(lambda box: _draw(model, box).clamp_(-1.0, 1.0), size, _let_go)


def _draw(model: LatentModel, box: LatentBox | PixelBox) -> torch.Tensor:
    channels = model.contract.latent_channels if isinstance(box, LatentBox) else 3
    return torch.randn(1, channels, box.height, box.width).to(model.device)


def _let_go(_box: object, _values: torch.Tensor) -> None: ...


if __name__ == "__main__":
    main()
