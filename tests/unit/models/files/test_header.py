"""The bounded reader of safetensors headers."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from sfumato.core.errors import ModelError, SfumatoError, UnsafeFileError
from sfumato.models.files.header import read_header


def write(path, header, payload=b"", *, length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + payload)
    return path


def test_a_sound_file_is_read(tmp_path):
    tensors = {"b": torch.ones(2, 3).half(), "a": torch.arange(4), "empty": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"note": 'quotes " and { braces'})
    header = read_header(tmp_path / "x.safetensors")
    assert {name: (entry.dtype, entry.shape) for name, entry in header.tensors.items()} == {
        "a": ("I64", (4,)),
        "b": ("F16", (2, 3)),
        "empty": ("F32", (0, 4)),
    }
    assert header.tensor_bytes == 44
    assert header.metadata == {"note": 'quotes " and { braces'}


def test_a_file_that_changes_afterwards_is_noticed(tmp_path):
    path = write(tmp_path / "x.safetensors", {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"0")
    header = read_header(path)
    header.check_unchanged()
    path.write_bytes(path.read_bytes() + b"1")
    with pytest.raises(UnsafeFileError, match="changed"):
        header.check_unchanged()


def test_an_absent_file_is_an_error_of_the_model(tmp_path):
    with pytest.raises(ModelError):
        read_header(tmp_path / "none.safetensors")


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_bytes_cause_anything_but_a_refusal(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(content)
    with pytest.raises(SfumatoError):
        read_header(path)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_header_causes_anything_but_a_refusal(tmp_path_factory, data):
    number = st.one_of(st.integers(-2, 9), st.sampled_from([2**32, 2**63, 4194305, True, 1.5, None, "1"]))
    numbers = st.one_of(st.lists(number, max_size=4), number)
    entry = st.fixed_dictionaries(
        {"dtype": st.sampled_from(["F32", "U8", "XX", None, 3]), "shape": numbers, "data_offsets": numbers}
    )
    header = data.draw(st.dictionaries(st.sampled_from(["a", "b", "__metadata__", "\n"]), st.one_of(entry, number)))
    path = write(tmp_path_factory.getbasetemp() / "fuzz2.safetensors", header, data.draw(st.binary(max_size=12)))
    try:
        found = read_header(path)
    except SfumatoError:
        return
    size = path.stat().st_size - 8 - len(json.dumps(header).encode())
    assert sum(entry.end - entry.begin for entry in found.tensors.values()) == size
