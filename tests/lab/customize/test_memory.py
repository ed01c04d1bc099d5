"""Planned memory beside measured, in a process of its own."""

import pytest

from sfumato.customize.settings import ConceptSettings
from sfumato.lab.customize.memory import measure_memory

SMALL = {
    "unet": {"block_out_channels": [64, 128, 256, 256], "sample_size": 16},
    "text_encoder": {"num_hidden_layers": 2},
}


@pytest.mark.slow  # a process that loads libraries, and a checkpoint of 0.4 GB
def test_a_plan_is_near_what_a_process_takes():
    trials = (ConceptSettings(rung="lora", batch=2), ConceptSettings(rung="full", batch=1))
    card = measure_memory(trials, changes=SMALL)
    ratios = [row.value for row in card.rows if row.name.startswith("planned over measured")]
    assert len(ratios) == 2
    # Measured bytes of a fresh process are never near 0, as they were inside a warm one.
    assert all(0.6 < ratio < 2.5 for ratio in ratios), ratios
