"""Where an autoencoder comes from: part of a checkpoint, or a file or folder of its own (`vae`).

Knows files and configurations; builds no network. Start reading at `open_vae`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sfumato.core.errors import ModelError
from sfumato.models.files.detect_layout import VAE, describe_vae, load_family_configs
from sfumato.models.files.gate import check_checkpoint, check_folder_files, check_weights_file, find_weights
from sfumato.models.files.gate_configs import check_component
from sfumato.models.files.gate_json import read_config
from sfumato.models.files.library import find_model_file

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from sfumato.models.files.header import Header


@dataclass(frozen=True)
class VaeSource:
    """Hold a checked autoencoder: configuration, files, and the prefix of its names.

    `prefix` is None for diffusers' component files, else what precedes the names in the file.
    """

    config: dict[str, Any]
    headers: tuple[Header, ...]
    prefix: str | None

    @property
    def kind(self) -> Literal["kl", "tiny"]:
        """Which kind of network it is."""
        return "tiny" if self.config.get("_class_name") == "AutoencoderTiny" else "kl"

    @property
    def factor(self) -> int:
        """Pixels per latent cell."""
        if self.kind == "tiny":
            scale = int(self.config.get("upsampling_scaling_factor", 2))
            return scale ** (len(self.config.get("num_decoder_blocks", (3, 3, 3, 1))) - 1)
        return 2 ** (len(self.config["block_out_channels"]) - 1)

    @property
    def scaling(self) -> float:
        """What raw latents are multiplied by."""
        return float(self.config.get("scaling_factor") or (1.0 if self.kind == "tiny" else 0.18215))

    @property
    def shift(self) -> float:
        """What is subtracted from raw latents first."""
        return float(self.config.get("shift_factor") or 0.0)

    def read(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Read the weights under diffusers' names."""
        from sfumato.models.files.read_weights import read_component, read_part, read_tensors, read_vae_names

        if self.prefix is None:
            return read_component(self.headers, "vae", dtype)
        if self.prefix:
            return read_part(self.headers[0], "vae", self.prefix, self.config, dtype)
        return read_vae_names(dict(read_tensors(self.headers[0], dtype)), self.config)


def open_vae(path: str | Path) -> VaeSource:
    """Check an autoencoder: a safetensors file (either naming), its folder, a whole model's folder, or a short name.

    A bare file carries no scale; that of the family whose width it has is used: 0.18215.

    Raises:
        UnsafeFileError: the gate refuses it.
        ModelError: it holds no autoencoder.
    """
    path = find_model_file("vae", path)
    if path.is_dir():
        return _open_folder(path)
    header = check_weights_file(path)
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    prefix = VAE if any(name.startswith(VAE) for name in shapes) else ""
    below = {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
    config = load_family_configs("sd15")["vae"] | describe_vae(below)
    check_component(path, "vae", config)
    return VaeSource(config, (header,), prefix)


def _open_folder(path: Path) -> VaeSource:
    if (path / "model_index.json").is_file():
        checked = check_checkpoint(path)
        if "vae" not in checked.headers:
            raise ModelError("the folder holds no autoencoder", got=str(path))
        named = {"_class_name": checked.configs["index"]["vae"][1]}
        return VaeSource(named | checked.configs["vae"], checked.headers["vae"], None)
    check_folder_files(path)
    config = read_config(path / "config.json")
    check_component(path / "config.json", "vae", config)
    if "_class_name" not in config:
        raise ModelError("the configuration names no class", got=str(path / "config.json"))
    return VaeSource(config, find_weights(path, "vae"), None)
