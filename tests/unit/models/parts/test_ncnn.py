"""Networks of ncnn become the tensors that they were made of."""

import numpy as np
import pytest

from sfumato.core.errors import UnsafeFileError
from sfumato.models.parts.ncnn import convert_ncnn


def write(shapes, *, half=True):
    """Write a chain of convolutions as ncnn does; return its files and its numbers."""
    rng, lines, raw, numbers = np.random.default_rng(0), [], b"", []
    for at, (outputs, inputs) in enumerate(shapes):
        weight = rng.normal(size=(outputs, inputs, 3, 3)).astype("<f2" if half else "<f4")
        bias = rng.normal(size=outputs).astype("<f4")
        blob = weight.tobytes()
        raw += (0x01306B47 if half else 0).to_bytes(4, "little") + blob + b"\0" * (-len(blob) % 4) + bias.tobytes()
        lines.append(f"Convolution c{at} 1 1 {at} {at + 1} 0={outputs} 1=3 5=1 6={weight.size}")
        numbers.append((weight, bias))
    text = "\n".join(["7767517", f"{len(lines)} 9", *lines])
    return {"a/x.param": text.encode(), "a/x.bin": raw}, numbers


# An odd count of halves is padded.
CHAIN = [(3, 3), *[(3, 3)] * 15, *[(3, 3)] * 5]


@pytest.mark.parametrize("half", [True, False])
def test_a_dense_network_gets_the_names_of_its_family(half):
    members, numbers = write(CHAIN, half=half)
    found = convert_ncnn(members).tensors
    assert len(found) == 2 * len(CHAIN)
    for name, (weight, bias) in zip(
        ["conv_first", "body.0.rdb1.conv1", "conv_last"], (numbers[0], numbers[1], numbers[-1]), strict=True
    ):
        assert np.array_equal(found[f"{name}.weight"], weight)
        assert np.array_equal(found[f"{name}.bias"], bias)
    assert found["conv_first.weight"].dtype == ("float16" if half else "float32")


def test_damaged_networks_are_refused():
    members, _ = write(CHAIN)
    param, raw = members["a/x.param"], members["a/x.bin"]
    short, _ = write(CHAIN[:-1])
    broken = [
        {"x.param": param, "x.bin": raw[:-4]},
        {"x.param": param, "x.bin": raw + b"1234"},
        {"x.param": b"1\n" + param, "x.bin": raw},
        {"x.param": param.replace(b"6=81", b"6=-81"), "x.bin": raw},
        {"x.param": param.replace(b" 1 1 0 1 ", b" 1 "), "x.bin": raw},
        {"x.param": b"", "x.bin": raw},
        {"x.param": param, "x.bin": b"\1\2\3\4" + raw[4:]},
        {"x.bin": raw},
        short,
    ]
    for members in broken:
        with pytest.raises(UnsafeFileError):
            convert_ncnn(members)
