"""What the header of an upscaler tells is what spandrel finds in its weights."""

import pytest
import torch
from safetensors.torch import save_file
from spandrel import ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN

from sfumato.models.files.gate import check_weights_file
from sfumato.models.inspect import find_kind
from sfumato.models.upscaler.detect_shape import describe_upscaler, find_upscaler

# The names of the two later releases for those of the first.
_LATER = {
    "ESRGAN": {"model.0.": "conv_first.", "model.1.sub.0.": "RRDB_trunk.0.", "model.1.sub.1.": "trunk_conv."},
    "Real-ESRGAN": {"model.0.": "conv_first.", "model.1.sub.0.": "body.0.", "model.1.sub.1.": "conv_body."},
}
_TAIL = {
    "ESRGAN": {"model.3.": "upconv1.", "model.6.": "upconv2.", "model.8.": "HRconv.", "model.10.": "conv_last."},
    "Real-ESRGAN": {
        "model.3.": "conv_up1.",
        "model.6.": "conv_up2.",
        "model.8.": "conv_hr.",
        "model.10.": "conv_last.",
    },
}


def rename(tensors, naming):
    names = _LATER[naming] | _TAIL[naming]
    renamed = {}
    for name, tensor in tensors.items():
        old, new = next(pair for pair in names.items() if name.startswith(pair[0]))
        rest = name.removeprefix(old).replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        renamed[new + (rest.replace("RDB", "rdb") if naming == "Real-ESRGAN" else rest)] = tensor
    return renamed


def esrgan(scale, fold=1):
    shuffle = {"in_nc": 3 * fold**2, "shuffle_factor": fold if fold > 1 else None}
    return ESRGAN(out_nc=3, num_filters=8, num_blocks=1, scale=scale * fold, **shuffle).state_dict()


NETWORKS = {
    "x2": esrgan(2),
    "x4": esrgan(4),
    "x8": esrgan(8),
    "folded x2": esrgan(2, fold=2),
    "ESRGAN": rename(esrgan(4), "ESRGAN"),
    "Real-ESRGAN": rename(esrgan(4), "Real-ESRGAN"),
    "compact": Compact(num_feat=8, num_conv=2, upscale=3).state_dict(),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_header_tells_what_the_weights_are(tmp_path, name):
    tensors = {key: tensor.contiguous() for key, tensor in NETWORKS[name].items()}
    save_file(tensors, tmp_path / "a.safetensors")
    header = check_weights_file(tmp_path / "a.safetensors")
    network = ModelLoader(device="cpu").load_from_state_dict(tensors)
    shape = find_upscaler(header)
    assert (shape.architecture, shape.scale) == (network.architecture.id, network.scale)
    assert (shape.channels, shape.parameters) == (8, sum(tensor.numel() for tensor in tensors.values()))
    assert find_kind(header) == "upscaler"


def test_another_network_is_taken_for_a_usual_one(tmp_path):
    save_file({"body.0.weight": torch.zeros(4, 3, 3, 3), "head.weight": torch.zeros(6)}, tmp_path / "a.safetensors")
    header = check_weights_file(tmp_path / "a.safetensors")
    assert find_upscaler(header) is None
    assert find_kind(header) == "checkpoint"
    shape = describe_upscaler(header)
    assert (shape.architecture, shape.scale, shape.parameters) == ("unknown", 4, 114)
