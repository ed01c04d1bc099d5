"""What turns the files of a package into tensors: one row for each kind of file.

A converter takes the members of a part by path, checked against their digests, and returns arrays by name and notes
that go into the header of the converted file. To add one, write a module with such a function and add its row. Start
reading at `CONVERTERS`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from sfumato.models.files.convert import convert_pickle
from sfumato.models.parts.encode import ConvertedPart
from sfumato.models.parts.hdf5 import convert_keras
from sfumato.models.parts.ncnn import convert_ncnn
from sfumato.models.parts.onnx import convert_onnx
from sfumato.models.parts.tfjs import convert_tfjs
from sfumato.models.parts.tflite import convert_tflite

Converter = Callable[[Mapping[str, bytes]], ConvertedPart]
"""Takes the bytes of the members by their path in the package."""


def convert_state(members: Mapping[str, bytes]) -> ConvertedPart:
    """Convert the one pickle of a part, which is only ever opened in the sandbox; counters of training are left out.

    Raises:
        UnsafeFileError: it holds something else than weights.
        ModelError: the sandbox failed.
        StorageError: the disk refuses.
    """
    (raw,) = members.values()
    with tempfile.TemporaryDirectory(prefix="sfumato-part-") as folder:
        source = Path(folder, "weights.pth")
        source.write_bytes(raw)
        tensors = load_file(convert_pickle(source).path)
    return ConvertedPart({name: array for name, array in tensors.items() if array.dtype == np.float32})


CONVERTERS: dict[str, Converter] = {
    "hdf5": convert_keras,
    "ncnn": convert_ncnn,
    "onnx": convert_onnx,
    "pickle": convert_state,
    "tfjs": convert_tfjs,
    "tflite": convert_tflite,
}
