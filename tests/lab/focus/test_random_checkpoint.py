"""A checkpoint with the shapes of SD 1.5 and random weights draws nothing that may be put back into a photograph."""

import pytest
import skimage.data
from PIL import Image

from sfumato import load
from sfumato.lab.true_shapes.random_checkpoint import write_random_folder

# The longer side of the photograph: its face has about 40 px.
SIDE_PX, FACE = 192, "68,20,50,60:the face of an astronaut"
SMALL = {
    "unet": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64, "sample_size": 8},
    "vae": {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "sample_size": 64},
    "text_encoder": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "projection_dim": 64,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [SMALL, None], ids=["small", "true size"])
def test_every_candidate_of_random_weights_is_rejected(tmp_path, monkeypatch, changes):
    # No finder of real pictures helps: what was fetched on this machine must not matter.
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path / "parts"))
    photograph = Image.fromarray(skimage.data.astronaut()).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    model = load(write_random_folder(tmp_path / "sd15", "sd15", changes), device="cpu", dtype="fp32")
    done = model.focus(photograph, boxes=(FACE,), prompt="a portrait of an astronaut", steps=2, seed=1)
    (outcome,) = done.focus
    assert (outcome.verdict, outcome.tries) == ("dropped", 3)
    assert all(outcome.reasons)
    assert done.image.tobytes() == photograph.tobytes()
