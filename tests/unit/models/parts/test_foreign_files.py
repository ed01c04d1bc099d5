"""Weights of Keras, TensorFlow.js, ONNX and pickles become the tensors that they were made of, and damage is refused."""

import json
import struct

import numpy as np
import pytest
import torch

from sfumato.core.errors import SfumatoError, UnsafeFileError
from sfumato.models.parts.converters import CONVERTERS, convert_state
from sfumato.models.parts.hdf5 import convert_keras
from sfumato.models.parts.onnx import convert_onnx
from sfumato.models.parts.tfjs import convert_tfjs


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Hdf5Writer:
    """Write nested dictionaries of arrays as Keras does: old groups, numbers in one piece."""

    def __init__(self):
        self.raw = bytearray(96)

    def put(self, content):
        self.raw += b"\0" * (-len(self.raw) % 8)
        self.raw += content
        return len(self.raw) - len(content)

    def write_header(self, messages):
        # The last message goes into a piece of its own, as the library does when a header grows.
        *first, (kind, content) = messages
        far = struct.pack("<HHI", kind, len(content), 0) + content
        place = self.put(far)
        near = b"".join(struct.pack("<HHI", kind, len(content), 0) + content for kind, content in first)
        near += struct.pack("<HHIQQ", 0x10, 16, 0, place, len(far))
        return self.put(struct.pack("<BBHII4x", 1, 0, len(messages) + 1, 1, len(near)) + near)

    def write(self, content):
        if isinstance(content, dict):
            children = {name: self.write(child) for name, child in sorted(content.items())}
            names = b"\0" * 8 + b"".join(name.encode() + b"\0" * (8 - len(name) % 8) for name in children)
            heap = self.put(struct.pack("<4sB3xQQQ", b"HEAP", 0, len(names), 0, self.put(names)))
            entries = b""
            for name, header in children.items():
                entries += struct.pack("<QQ24x", names.index(name.encode() + b"\0"), header)
            node = self.put(struct.pack("<4sBxH", b"SNOD", 1, len(children)) + entries)
            leaf = self.put(struct.pack("<4sBBHQQQQQ", b"TREE", 0, 0, 1, 0, 0, 0, node, 8))
            # One more level above the leaf, as in groups of many.
            tree = self.put(struct.pack("<4sBBHQQQQQ", b"TREE", 0, 1, 1, 0, 0, 0, leaf, 8))
            return self.write_header([(0, b"\0" * 8), (0x11, struct.pack("<QQ", tree, heap))])
        place = self.put(content.astype("<f4").tobytes())
        space = struct.pack("<BBB5x", 1, content.ndim, 0) + struct.pack(f"<{content.ndim}Q", *content.shape)
        layout = struct.pack("<BBQQ6x", 3, 1, place, content.nbytes)
        return self.write_header(
            [(1, space), (3, b"\x11\x20\x1f\x00" + struct.pack("<I", 4) + b"\0" * 16), (8, layout)]
        )

    def finish(self, content):
        root = self.write(content)
        self.raw[:16] = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0"
        struct.pack_into("<Q", self.raw, 64, root)
        return bytes(self.raw)


def write_varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def write_field(number, content):
    if isinstance(content, int):
        return write_varint(number << 3) + write_varint(content)
    content = content.encode() if isinstance(content, str) else content
    return write_varint(number << 3 | 2) + write_varint(len(content)) + content


def write_onnx(nodes, constants):
    graph = b""
    for kind, inputs, output in nodes:
        node = b"".join(write_field(1, name) for name in inputs) + write_field(2, output) + write_field(4, kind)
        graph += write_field(1, node + write_field(5, write_field(1, "pads") + write_field(8, b"\1\1")))
    for name, array in constants.items():
        shape = b"".join(write_field(1, side) for side in array.shape)
        graph += write_field(5, shape + write_field(2, 1) + write_field(8, name) + write_field(9, array.tobytes()))
    return write_field(1, 9) + write_field(7, graph)


KERNEL = noise(3, 3, 2, 4)
KERAS = Hdf5Writer().finish({"block1": {"layers": {"conv2d": {"vars": {"0": KERNEL, "1": noise(4, seed=1)}}}}})
ROWS = [
    {"name": "a/filters", "shape": [1, 1, 1, 4], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
    {"name": "fc", "shape": [2, 1], "dtype": "float32"},
]  # fmt: skip
TFJS = {"w.json": json.dumps([{"weights": ROWS}]).encode(), "w.bin": bytes([0, 1, 2, 255]) + noise(2).tobytes()}
CONSTANTS = {
    "w0": noise(2, 3, 3, 3), "w1": noise(2, 2, 1, 1, seed=1), "a": noise(1, 1, 1, 2, seed=2), "s": noise(1, 1, 1, 2, seed=3),
    "m": noise(1, 1, 1, 2, seed=4), "b": noise(1, 1, 1, 2, seed=5), "fw": noise(2, 2, seed=6), "fb": noise(2, seed=7),
}  # fmt: skip
NODES = [
    ("Cast", ["x"], "x0"), ("Conv", ["x0", "w0"], "c0"), ("Transpose", ["c0"], "t0"), ("Add", ["t0", "a"], "d0"),
    ("Sub", ["d0", "s"], "e0"), ("Mul", ["e0", "m"], "f0"), ("Identity", ["b"], "b2"), ("Add", ["f0", "b2"], "g0"),
    ("Relu", ["g0"], "r0"), ("Conv", ["r0", "w1"], "c1"), ("Add", ["c1", "r0"], "h"), ("ReduceMean", ["h"], "p"),
    ("MatMul", ["p", "fw"], "l"), ("Add", ["l", "fb"], "y"),
]  # fmt: skip
ONNX = write_onnx(NODES, CONSTANTS)


def test_keras_kernels_turn_their_axes():
    tensors = convert_keras({"a.h5": KERAS}).tensors
    assert sorted(tensors) == ["block1.conv2d.bias", "block1.conv2d.weight"]
    assert np.array_equal(tensors["block1.conv2d.weight"], KERNEL.transpose(3, 2, 0, 1))
    assert np.array_equal(tensors["block1.conv2d.bias"], noise(4, seed=1))


def test_bytes_of_tensorflow_js_are_widened():
    tensors = convert_tfjs(TFJS).tensors
    assert tensors["a.filters"].shape == (4, 1, 1, 1)
    assert tensors["a.filters"].ravel().tolist() == [-1.0, -0.5, 0.0, 126.5]
    assert tensors["fc"].tolist() == [noise(2).tolist()]


def test_scales_behind_a_convolution_of_onnx_are_folded_in():
    tensors = convert_onnx({"a.onnx": ONNX}).tensors
    flat = {name: array.reshape(-1) for name, array in CONSTANTS.items()}
    assert np.array_equal(tensors["conv0.weight"], CONSTANTS["w0"] * flat["m"][:, None, None, None])
    assert tensors["conv0.bias"] == pytest.approx((flat["a"] - flat["s"]) * flat["m"] + flat["b"], abs=1e-6)
    assert np.array_equal(tensors["conv1.weight"], CONSTANTS["w1"])
    assert not tensors["conv1.bias"].any()
    assert np.array_equal(tensors["fc.weight"], CONSTANTS["fw"].T)


@pytest.mark.parametrize(
    ("kind", "members", "name"),
    [("hdf5", {"a.h5": KERAS}, "a.h5"), ("onnx", {"a.onnx": ONNX}, "a.onnx"), ("tfjs", TFJS, "w.json")],
)
def test_damage_is_refused_or_read_never_worse(kind, members, name):
    raw, refused = members[name], 0
    for place in range(0, len(raw), 3):
        hurt = bytearray(raw)
        hurt[place] ^= 0xFF
        try:
            CONVERTERS[kind]({**members, name: bytes(hurt)})
        except SfumatoError:
            refused += 1
    assert refused > 5
    with pytest.raises(UnsafeFileError):
        CONVERTERS[kind]({**members, name: raw[: len(raw) // 2]})


def test_groups_that_hold_themselves_end():
    writer = Hdf5Writer()
    raw = bytearray(writer.finish({"a": {"b": noise(1)}}))
    # The entry of the inner group names the header of the root.
    place = raw.rindex(b"SNOD") + 16
    raw[place : place + 8] = raw[64:72]
    with pytest.raises(UnsafeFileError):
        convert_keras({"a.h5": bytes(raw)})


@pytest.mark.parametrize("members", [{"w.json": b"[]"}, {**TFJS, "w.bin": TFJS["w.bin"] + b"1"}])
def test_a_manifest_and_its_numbers_belong_together(members):
    with pytest.raises(UnsafeFileError):
        convert_tfjs(members)


@pytest.mark.slow
def test_a_pickle_is_opened_in_the_sandbox_alone(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(2), "count": torch.tensor(3)}, path)
    tensors = convert_state({"a.pth": path.read_bytes()}).tensors
    assert list(tensors) == ["w"]
    torch.save({"w": pytest.approx(1.0)}, path)
    with pytest.raises(UnsafeFileError):
        convert_state({"a.pth": path.read_bytes()})
