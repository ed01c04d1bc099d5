"""What turns the files of a package into tensors: one row for each kind of file.

A converter takes the members of a part by path, checked against their digests, and returns arrays by name and notes
that go into the header of the converted file. To add one, write a module with such a function and add its row. Start
reading at `CONVERTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sfumato.models.parts.encode import ConvertedPart
from sfumato.models.parts.ncnn import convert_ncnn
from sfumato.models.parts.tflite import convert_tflite

Converter = Callable[[Mapping[str, bytes]], ConvertedPart]
"""Takes the bytes of the members by their path in the package."""

CONVERTERS: dict[str, Converter] = {"ncnn": convert_ncnn, "tflite": convert_tflite}
