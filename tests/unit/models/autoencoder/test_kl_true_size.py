"""The true autoencoder of SD 1.x, 2.x and SDXL, random weights: tiles against the whole, with the memory of both.

Minutes and two GiB, so outside the default run: `pytest -s -m slow tests/unit/models/autoencoder/test_kl_true_size.py`.
What it measured is in docs/log/README.md.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from autoencoders import SD_CHANNELS, Sheet, make_ends, make_kl, make_latents, make_pixels
from sfumato.models.autoencoder.estimate import LEAST_BYTES
from sfumato.models.autoencoder.kl_layers import list_decoder_layers, list_encoder_layers
from sfumato.models.autoencoder.kl_tiles import run_in_tiles
from sfumato.nn.tiled import Extent, make_program

TOLERANCE = 1e-4
SIDE_CELLS = 64
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def read_mib(name):
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def timed(what, run):
    """Run something; print its seconds of the processor and its peak memory above what was there."""
    CLEAR.write_text("5")
    before, begun = read_mib("VmRSS"), time.process_time()
    result = run()
    print(f"\n{what}: {time.process_time() - begun:.1f} s, {read_mib('VmHWM') - before:.0f} MiB", end="")
    return result


def run_tiles(layers, x, memory_bytes):
    start = Extent(*x.shape[1:])
    output = make_program(layers, start).output
    sheet = Sheet(output.region, output.channels)
    run_in_tiles(layers, start, make_ends(x, sheet), memory_bytes)
    return sheet.values


@pytest.mark.slow
@pytest.mark.skipif(not CLEAR.exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("memory_bytes", [LEAST_BYTES, 2**30])
def test_the_true_network_in_tiles_is_the_whole(memory_bytes):
    network = make_kl(SD_CHANNELS, layers=2)
    latents, pixels = make_latents(SIDE_CELLS, SIDE_CELLS), make_pixels(8 * SIDE_CELLS, 8 * SIDE_CELLS)
    words = f"in {memory_bytes / 2**20:.0f} MiB"
    with torch.inference_mode():
        tiled = timed(f"decode {words}", lambda: run_tiles(list_decoder_layers(network), latents, memory_bytes))
        whole = timed("decode whole", lambda: network.decode(latents).sample)
        assert float((tiled - whole).abs().max()) <= TOLERANCE * float(whole.abs().max())
        tiled = timed(f"encode {words}", lambda: run_tiles(list_encoder_layers(network), pixels, memory_bytes))
        whole = timed("encode whole", lambda: network.encode(pixels).latent_dist.parameters)
        assert float((tiled - whole).abs().max()) <= TOLERANCE * float(whole.abs().max())
