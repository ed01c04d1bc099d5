"""The networks of one checkpoint behind four questions: encode a prompt, denoise, encode a picture, decode.

It knows no sampler, canvas, request or file; what a plan needs to know stands in `contract`. Start reading at
`LatentModel.denoise`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.memory import give_back_memory
from sfumato.models.adapters.attach import AttachedAdapters
from sfumato.models.autoencoder.coder import (
    TiledAutoencoder,
    decode_box,
    decode_latents,
    encode_pixels,
)
from sfumato.models.contract import ModelContract
from sfumato.models.denoiser import predict_clean
from sfumato.models.text.attention_maps import watch_words
from sfumato.models.text.conditioning import Conditioning, ConditioningPart
from sfumato.models.text.encoder import size_condition
from sfumato.nn.guidance import compose, guide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from sfumato.core.geometry import LatentBox, LatentSize, PixelBox
    from sfumato.core.prompt.grammar import PromptPart
    from sfumato.models.adapters.attach import Attachment
    from sfumato.models.autoencoder.kl_tiles import CoderCheckpoint
    from sfumato.models.control.residuals import ControlInput
    from sfumato.models.hardware.policy import Policy
    from sfumato.models.text.attention_maps import WordMaps
    from sfumato.models.text.encoder import PromptEncoder


@dataclass(eq=False, kw_only=True)
class LatentModel:
    """Run one checkpoint. A leaf: nobody subclasses it.

    The networks are in evaluation mode on `policy.device`; latents and pixels go in and out as
    float32 whatever the networks compute in. `autoencoder_bytes` bounds the memory that encoding and
    decoding take above the weights; None leaves them a share of what is free. `controls` are control networks, by the
    names that a request gives them; a call says which of them act, and by which pictures.
    """

    contract: ModelContract
    policy: Policy
    unet: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    text: PromptEncoder
    autoencoder_bytes: int | None = None
    controls: dict[str, Any] = field(default_factory=dict[str, Any])
    adapters: AttachedAdapters = field(init=False)

    def __post_init__(self) -> None:
        names = ("text_encoder", "text_encoder_2")
        encoders = dict(zip(names, self.text_encoders, strict=False))
        self.adapters = AttachedAdapters({"unet": self.unet, **encoders}, self.text)

    @property
    def device(self) -> torch.device:
        """Where latents live."""
        return self.policy.device

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the denoiser."""
        return self.policy.unet_dtype

    @torch.inference_mode()
    def encode_prompt(
        self,
        parts: Sequence[PromptPart],
        *,
        size: PixelSize,
        clip_skip: int = 1,
        chunks: int = 1,
        negative: bool = False,
    ) -> Conditioning:
        """Encode the AND parts of a prompt for a picture of `size` pixels.

        All parts are padded to one length, at least `chunks` times the encoder's (give both halves
        of guidance the same, from `text.count_chunks`, to run them as one batch). `negative` marks
        what guidance points away from.

        Raises:
            RequestError: there is no part, or `clip_skip` points outside the encoder.
        """
        encoded = self.text.encode(
            [part.segments for part in parts], clip_skip=clip_skip, chunks=chunks, negative=negative
        )
        record = size_condition(size)[None].to(self.device) if self.contract.pooled_width else None
        return Conditioning(
            tuple(
                ConditioningPart(
                    weight=part.weight,
                    hidden=encoded.hidden[index : index + 1],
                    pooled=None if encoded.pooled is None or record is None else encoded.pooled[index : index + 1],
                    time_ids=record,
                )
                for index, part in enumerate(parts)
            )
        )

    @torch.inference_mode()
    def denoise(
        self,
        x: Tensor,
        sigma: float | Tensor,
        conditioning: Conditioning,
        *,
        controls: Sequence[ControlInput] = (),
        wanted: bool = True,
    ) -> Tensor:
        """Predict the clean latents x0 from x = x0 + sigma * noise.

        x is [B, 4, h, w] float32, sigma one number or [B]; returns float32 like x. Several AND
        parts are averaged by weight; guidance needs them apart: see `denoise_guided`. Conditioning that is not `wanted`
        is what guidance points away from.

        Raises:
            RequestError: the weights of several parts add up to zero or less.
            ModelError: the prediction is not finite.
        """
        parts = conditioning.parts
        prompts = len(parts) if wanted else 0
        if len(parts) == 1:
            return self._denoise_parts(x, sigma, parts, controls, prompts)[0]
        total = conditioning.total_weight
        if total <= 0:
            raise RequestError("AND weights without guidance have to add up to more than zero", got=total)
        clean = self._denoise_parts(x, sigma, parts, controls, prompts)
        return sum((part.weight / total) * one for part, one in zip(parts, clean, strict=True))  # pyright: ignore[reportReturnType]

    @torch.inference_mode()
    def denoise_guided(
        self,
        x: Tensor,
        sigma: float | Tensor,
        cond: Conditioning,
        uncond: Conditioning,
        guidance: float,
        *,
        rescale: float = 0.0,
        controls: Sequence[ControlInput] = (),
    ) -> Tensor:
        """Predict x0 with classifier-free guidance, AND parts composed, steered by control pictures [B, 3, 8h, 8w].

        x0 = uncond + guidance * sum_i w_i (cond_i - uncond); shapes as in `denoise`; AND parts of
        `uncond` are averaged. A guidance of exactly 1 with one part of weight 1 skips the second
        pass, which cannot change the answer.

        Raises: as `denoise`.

        Source: Ho and Salimans 2022, eq. 6; Liu et al. 2022, Composable Diffusion, eq. 11.
        """
        single = len(cond.parts) == 1 and cond.parts[0].weight == 1.0
        if guidance == 1.0 and single:
            return self.denoise(x, sigma, cond, controls=controls)
        weights = [part.weight for part in cond.parts]
        if len(uncond.parts) == 1:
            *clean, base = self._denoise_parts(x, sigma, (*cond.parts, *uncond.parts), controls, len(cond.parts))
        else:
            clean = self._denoise_parts(x, sigma, cond.parts, controls, len(cond.parts))
            base = self.denoise(x, sigma, uncond, controls=controls, wanted=False)
        return guide(compose(clean, weights, base), base, guidance, rescale)

    def watch_words(self, conditioning: Conditioning, size: PixelSize) -> AbstractContextManager[WordMaps]:
        """Listen, while open, to where the words of a one-part prompt are in pictures of `size`; changes no bit."""
        height, width = size.to_latent(self.contract.factor).shape_hw
        return watch_words(self.unet, conditioning.parts[0].hidden, (height, width))

    @torch.inference_mode()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Encode pixels [B, 3, H, W] float32 in [-1, 1] to scaled latents [B, 4, H/8, W/8] float32.

        Raises:
            RequestError: a side is not a multiple of the factor.
            BudgetError: it does not fit in memory, not even in tiles.
            StorageError: what does not fit in memory does not fit on disk either.
        """
        height, width = pixels.shape[-2:]
        PixelSize(width, height).to_latent(self.contract.factor)
        return encode_pixels(self.vae, pixels, self.contract, self.policy, most_bytes=self.autoencoder_bytes)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [B, 4, h, w] to pixels [B, 3, 8h, 8w] float32, about [-1, 1].

        Raises:
            BudgetError: a KL autoencoder does not fit in memory, not even in tiles.
            StorageError: what does not fit in memory does not fit on disk either.
        """
        return decode_latents(self.vae, latents, self.contract, self.policy, most_bytes=self.autoencoder_bytes)

    @torch.inference_mode()
    def decode_into(
        self,
        read: Callable[[LatentBox], Tensor],
        size: LatentSize,
        write: Callable[[PixelBox, Tensor], None],
        kept: CoderCheckpoint | None = None,
    ) -> None:
        """Decode a canvas of scaled latents that need not be in memory, into boxes of pixels.

        `read` gives any box of the canvas as [1, C, h, w] float32; boxes overlap. `write` takes boxes that
        cover the canvas, each pixel once, their sides multiples of the factor, as [1, 3, H, W] float32,
        about [-1, 1], on the device. The same pixels as `decode`, bit by bit, whatever memory is
        free. Memory does not grow with the canvas. Where it is `kept`, how far it is gets noted after every strip and
        every row of tiles; a later run goes on from the mark that was noted, with the boxes after it. A KL
        autoencoder that runs whole notes nothing, and one that is not on a CPU only now and then.

        Raises: as `decode`.
        """
        # What windows left in the heap does not fit the tiles, nor what tiles leave in it the windows.
        give_back_memory()
        self._autoencoder.decode_into(read, size, write, kept)
        give_back_memory()

    @torch.inference_mode()
    def encode_into(
        self,
        read: Callable[[PixelBox], Tensor],
        size: PixelSize,
        write: Callable[[LatentBox, Tensor], None],
        kept: CoderCheckpoint | None = None,
    ) -> None:
        """Encode a picture that need not be in memory, into boxes of scaled latents.

        `read` gives any box of the picture as [1, 3, H, W] float32 in [-1, 1]; boxes overlap. `write` takes
        boxes that cover the latents, each cell once, as [1, C, h, w] float32, on the device. The same latents
        as `encode_image`, and `kept`, as `decode_into`.

        Raises: as `encode_image`.
        """
        give_back_memory()
        self._autoencoder.encode_into(read, size, write, kept)
        give_back_memory()

    @torch.inference_mode()
    def decode_box(self, latents: Tensor, box: LatentBox) -> Tensor:
        """Decode one box of a canvas exactly as the whole would be; with a KL autoencoder as slow as the whole."""
        most = self.autoencoder_bytes
        return decode_box(self.vae, latents, box, self.contract, self.policy, most_bytes=most)

    def attach_lora(self, path: Path, weight: float = 1.0, *, text_weight: float | None = None) -> Attachment:
        """Merge a LoRA file into the weights; `Attachment.detach()` restores every bit.

        Raises:
            UnsafeFileError: the gate refuses the file.
            ModelError: its keys do not all apply to this model; lists them.
        """
        return self.adapters.attach_lora(path, weight, text_weight=text_weight)

    def attach_networks(self, folder: Path, weight: float = 1.0) -> Attachment:
        """Put the UNet and text encoders of a diffusers folder in force; `Attachment.detach()` restores every bit.

        Raises:
            UnsafeFileError: the gate refuses a file.
            ModelError: they are not of this model's shapes.
        """
        return self.adapters.attach_networks(folder, weight)

    def attach_embedding(self, path: Path, token: str | None = None) -> Attachment:
        """Make a textual-inversion file usable in prompts; `Attachment.detach()` restores every bit.

        Raises: as `attach_lora`; also RequestError when its name is taken.
        """
        return self.adapters.attach_embedding(path, token)

    @property
    def _autoencoder(self) -> TiledAutoencoder:
        return TiledAutoencoder(
            vae=self.vae, contract=self.contract, policy=self.policy, most_bytes=self.autoencoder_bytes
        )

    def _denoise_parts(
        self,
        x: Tensor,
        sigma: float | Tensor,
        parts: Sequence[ConditioningPart],
        controls: Sequence[ControlInput],
        wanted: int,
    ) -> list[Tensor]:
        """Predict x0 for each part, the first `wanted` prompts; parts of one length share a forward pass where that is faster."""
        lengths = {part.hidden.shape[1] for part in parts}
        if self.policy.pair_batch and len(lengths) == 1:
            return self._predict(x, sigma, parts, controls, wanted)
        return [self._predict(x, sigma, [part], controls, int(at < wanted))[0] for at, part in enumerate(parts)]

    def _predict(
        self,
        x: Tensor,
        sigma: float | Tensor,
        parts: Sequence[ConditioningPart],
        controls: Sequence[ControlInput],
        wanted: int,
    ) -> list[Tensor]:
        said: dict[str, Any] = {"contract": self.contract, "policy": self.policy}
        return predict_clean(self.unet, x, sigma, parts, controls=controls, wanted=wanted, **said)
