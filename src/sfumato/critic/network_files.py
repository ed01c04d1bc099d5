"""The two files of a network that was trained here: weights as fp16, packed with xz, and a JSON configuration beside them.

Knows no network: detector, reader and parser read and write their folders through it. Start reading at `NetworkFiles`.
"""

from __future__ import annotations

import json
import lzma
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.core.files import open_regular, write_atomic
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.read_weights import read_tensors
from sfumato.models.files.write_weights import pack_weights

# The configuration is a page of numbers and words; anything longer is no configuration.
LONGEST_CONFIG_BYTES = 1 << 20
# The largest of these networks takes 2.4 MB. xz itself may use as much again as its dictionary.
LARGEST_WEIGHTS_BYTES, MOST_XZ_BYTES = 1 << 26, 1 << 27


@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """Name the files of a kind of network; `name` is that of the stage that trains it. `format` counts its versions."""

    name: str
    format: int = 1

    @property
    def weights(self) -> str:
        """Return the name of the file of weights."""
        return f"{self.name}.safetensors.xz"

    @property
    def config(self) -> str:
        """Return the name of the configuration."""
        return f"{self.name}.json"

    def read_config(self, folder: Path) -> dict[str, Any]:
        """Read the configuration of a folder.

        Raises:
            ModelError: there is none, or another version wrote it.
        """
        path = folder / self.config
        try:
            with open_regular(path, what=f"the configuration of the {self.name}") as stream:
                config = json.loads(stream.read(LONGEST_CONFIG_BYTES))
        except (RequestError, ValueError) as error:
            raise ModelError(f"there is no {self.name} here", got=str(path), do=f"{self._train}.") from error
        if not isinstance(config, dict) or config.get("format") != self.format:
            what = f"the {self.name} was written by another version"
            raise ModelError(what, got=str(path), do=f"{self._train} again.")
        return config

    def read_weights(self, folder: Path) -> dict[str, Tensor]:
        """Read the weights of a folder in float32.

        Raises:
            ModelError: there is no such file.
            UnsafeFileError: it is cut off, no file of xz, larger than a network of this kind, or against the gate's rules.
        """
        path = folder / self.weights
        whole = self._unpack(path)
        # The gate reads files alone, so the weights lie in one for a moment.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as room:
            plain = Path(room) / f"{self.name}.safetensors"
            plain.write_bytes(whole)
            try:
                return dict(read_tensors(check_weights_file(plain), torch.float32))
            except UnsafeFileError as error:
                # Its message names the file of a moment, which nobody can look at.
                raise self._refuse("are refused", path, error.got or "no safetensors file") from error

    def _unpack(self, path: Path) -> bytes:
        """Return the bytes of the safetensors file in a file of xz, never more than the limit."""
        try:
            with open_regular(path, what=f"the weights of the {self.name}") as stream:
                packed = stream.read(LARGEST_WEIGHTS_BYTES + 1)
        except RequestError as error:
            what = f"the weights of the {self.name} cannot be read"
            raise ModelError(what, got=error.got, do=f"{self._train}.") from error
        unpacking = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_XZ_BYTES)
        try:
            # A file longer than the limit is refused below: what is cut off has no end.
            whole = unpacking.decompress(packed, LARGEST_WEIGHTS_BYTES + 1)
        except lzma.LZMAError as error:
            raise self._refuse("cannot be unpacked", path, str(error)) from error
        if len(whole) > LARGEST_WEIGHTS_BYTES:
            raise self._refuse("are too large", path, f"more than {LARGEST_WEIGHTS_BYTES} bytes")
        if not unpacking.eof or unpacking.unused_data:
            raise self._refuse("cannot be unpacked", path, "no end" if not unpacking.eof else "bytes behind its end")
        return whole

    def _refuse(self, why: str, path: Path, got: object) -> UnsafeFileError:
        return UnsafeFileError(
            f"the weights of the {self.name} {why}", got=f"{path}: {got}", do=f"{self._train} again."
        )

    def write(self, folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        """Write both files.

        Raises:
            StorageError: the folder cannot be written.
        """
        packed = lzma.compress(pack_weights(state))
        write_atomic(folder / self.weights, lambda stream: stream.write(packed))
        text = json.dumps({"format": self.format, **config}, indent=1, ensure_ascii=False) + "\n"
        write_atomic(folder / self.config, lambda stream: stream.write(text.encode()))

    @contextmanager
    def fitting(self) -> Generator[None]:
        """Turn what goes wrong while a network is put together from its files into one error.

        Raises:
            ModelError: the files do not fit together.
        """
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            what = f"the files of the {self.name} do not fit together"
            raise ModelError(what, got=str(error), do=f"{self._train} again.") from error

    @property
    def _train(self) -> str:
        return f"Train it with sfumato train mini --stage {self.name}"
