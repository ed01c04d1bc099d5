"""A tflite file becomes steps in torch that give the numbers of the original runtime, and a damaged one is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image

from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.models.parts.graph import PartGraph, load_graph
from sfumato.models.parts.tflite import convert_tflite
from tflite_files import write_tflite

# Numbers of ai-edge-litert 2.3.0 for a crop of scikit-image's astronaut (public domain, NASA), some of each output.
EXPECTED = json.loads(Path(__file__).with_name("litert.json").read_text())
ADD, JOIN, CONV, DEPTHWISE, DEQUANTIZE, DENSE, SIGMOID, MOST, RESHAPE, RESIZE, PAD, MEAN, PRELU, SOFTMAX = (
    0, 2, 3, 4, 6, 9, 14, 17, 22, 23, 34, 40, 54, 25,
)  # fmt: skip
SAME, VALID = ("b", 0), ("b", 1)


def run(raw, picture):
    part = convert_tflite({"toy.tflite": raw})
    weights = {name: torch.from_numpy(np.array(array)).float() for name, array in part.tensors.items()}
    graph = PartGraph(json.loads(json.dumps(part.notes)), weights)
    return [value.numpy() for value in graph.run(torch.from_numpy(picture))]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_parts_give_the_numbers_of_the_original_runtime(name, request):
    if not request.getfixturevalue("ready")(name):
        pytest.skip(f"parts were not fetched: {name}")
    wanted = EXPECTED[name]
    crop = Image.fromarray(skimage.data.astronaut()).crop((100, 0, 400, 300))
    picture = np.asarray(crop.resize((wanted["side"],) * 2, Image.Resampling.BILINEAR), np.float32)[None] / 255
    outputs = load_graph(name).run(torch.from_numpy(picture * 2 - 1 if wanted["signed"] else picture))
    for output, row in zip(outputs, wanted["outputs"], strict=True):
        assert list(output.shape) == row["shape"]
        # 0.1 % of the largest number: the heat maps of the pose differ most, by 0.05 %.
        assert output.flatten()[row["at"]].tolist() == pytest.approx(row["values"], abs=1e-3 * row["largest"] + 2e-5)


@pytest.fixture
def ready(parts):
    from sfumato.models.parts.catalogue import find_part

    return lambda name: find_part(name) is not None


@pytest.mark.part("face-mesh")
@pytest.mark.usefixtures("parts")
def test_a_batch_gives_what_single_pictures_give():
    mesh = load_graph("face-mesh")
    pictures = torch.from_numpy(noise(3, 192, 192, 3)).sigmoid()
    together = mesh.run(pictures)[0]
    alone = torch.cat([mesh.run(picture[None])[0] for picture in pictures])
    assert torch.allclose(together, alone, atol=1e-3)


def test_a_convolution_pads_as_tensorflow_does():
    weight, bias = noise(2, 3, 3, 1), noise(2, seed=1)
    options = {0: SAME, 1: ("i", 2), 2: ("i", 2), 3: ("b", 3)}
    tensors = [[1, 4, 4, 1], weight, bias, [1, 2, 2, 2]]
    raw = write_tflite(tensors, [(CONV, [0, 1, 2], [3], options)], [0], [3])
    picture = noise(1, 4, 4, 1, seed=2)
    # The one pixel that is missing goes to the right and the bottom.
    wide = F.pad(torch.from_numpy(picture).permute(0, 3, 1, 2), (0, 1, 0, 1))
    expected = F.conv2d(wide, torch.from_numpy(weight).permute(0, 3, 1, 2), torch.from_numpy(bias), 2).clamp(0, 6)
    assert run(raw, picture)[0] == pytest.approx(expected.permute(0, 2, 3, 1).numpy(), abs=1e-5)


def test_depthwise_weights_in_fp16_and_a_prelu():
    weight, slope = noise(1, 3, 3, 2).astype(np.float16), np.array([[[0.25, -1.0]]], np.float32)
    tensors = [[1, 5, 5, 2], weight, [1, 3, 3, 2], [1, 3, 3, 2], slope, [1, 3, 3, 2]]
    steps = [
        (DEQUANTIZE, [1], [2], {}),
        (DEPTHWISE, [0, 2], [3], {0: VALID, 1: ("i", 1), 2: ("i", 1), 3: ("i", 1)}),
        (PRELU, [3, 4], [5], {}),
    ]
    picture = noise(1, 5, 5, 2, seed=3)
    kernel = torch.from_numpy(weight).float().permute(3, 0, 1, 2)
    straight = F.conv2d(torch.from_numpy(picture).permute(0, 3, 1, 2), kernel, groups=2)
    expected = F.prelu(straight, torch.tensor([0.25, -1.0])).permute(0, 2, 3, 1).numpy()
    assert run(write_tflite(tensors, steps, [0], [5]), picture)[0] == pytest.approx(expected, abs=1e-5)


def test_old_resizes_start_at_the_corner_and_new_ones_at_the_middle():
    picture = np.arange(4, dtype=np.float32).reshape(1, 1, 4, 1)
    for half_pixel, expected in ((0, [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]), (1, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])):
        raw = write_tflite([[1, 1, 4, 1], [1, 1, 8, 1]], [(RESIZE, [0], [1], {3: ("?", bool(half_pixel))})], [0], [1])
        assert run(raw, picture)[0].ravel().tolist() == pytest.approx(expected)


def test_pad_pool_join_mean_dense_and_reshape():
    pads, axes = np.array([[0, 0], [0, 1], [1, 0], [0, 2]], np.int32), np.array([1, 2], np.int32)
    weight, bias = noise(3, 4), noise(3, seed=4)
    tensors = [[1, 3, 3, 2], pads, [1, 4, 4, 4], [1, 2, 2, 4], axes, [1, 1, 1, 4], weight, bias, [1, 3],
               [1, 1, 4], [1, 2, 4], [1, 3], [1, 3]]  # fmt: skip
    pool = {0: SAME, 1: ("i", 2), 2: ("i", 2), 3: ("i", 2), 4: ("i", 2)}
    steps = [
        (PAD, [0, 1], [2], {}),
        (MOST, [2], [3], pool),
        (MEAN, [3, 4], [5], {0: ("?", True)}),
        (DENSE, [5, 6, 7], [8], {}),
        (RESHAPE, [5], [9], {}),
        (JOIN, [9, 9], [10], {0: ("i", 1)}),
        (SIGMOID, [8], [11], {}),
        (ADD, [11, 7], [12], {}),
    ]
    picture = noise(1, 3, 3, 2, seed=5)
    joined, dense = run(write_tflite(tensors, steps, [0], [10, 8]), picture)
    wide = np.pad(picture, [(0, 0), (0, 1), (1, 0), (0, 2)])
    mean = wide.reshape(1, 2, 2, 2, 2, 4).max(axis=(2, 4)).mean(axis=(1, 2))
    assert joined[0] == pytest.approx(np.stack([mean[0], mean[0]]), abs=1e-6)
    assert dense == pytest.approx(mean @ weight.T + bias, abs=1e-5)


def test_what_is_not_covered_is_an_error():
    raw = write_tflite([[1, 4], [1, 4]], [(SOFTMAX, [0], [1], {})], [0], [1])
    with pytest.raises(ModelError, match="not covered"):
        convert_tflite({"toy": raw})


def test_a_damaged_file_is_refused_or_read_never_worse():
    weight = noise(2, 1, 1, 1)
    raw = write_tflite(
        [[1, 4, 4, 1], weight, [1, 4, 4, 2]], [(CONV, [0, 1], [2], {1: ("i", 1), 2: ("i", 1)})], [0], [2]
    )
    with pytest.raises(UnsafeFileError):
        convert_tflite({"toy": b"PK\x03\x04" + raw[4:8][::-1] + raw[8:]})
    refused = 0
    for place in range(8, len(raw), 3):
        hurt = bytearray(raw)
        hurt[place] ^= 0xFF
        try:
            convert_tflite({"toy": bytes(hurt)})
        except (UnsafeFileError, ModelError):
            refused += 1
    assert refused > 10
    with pytest.raises(UnsafeFileError):
        convert_tflite({"toy": raw[: len(raw) // 2]})
