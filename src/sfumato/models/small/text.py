"""CLIP's text encoder and tokenizer, for inference.

Knows torch and the `tokenizers` library. Names of modules are transformers', and so are every bit and every token.
Start reading at `ClipText`; `ClipWords` cuts texts into tokens.

Source: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision, section 2.4.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor, nn

from sfumato.models.files.vocabularies import BEGIN, END, check_special_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfumato.models.files.vocabularies import Merges

_NUMBERS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "layer_norm_eps",
)  # fmt: skip
# Contractions, words, single digits and runs of other signs, as CLIP's tokenizer cuts them.
_PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# Hendrycks and Gimpel 2016 approximate GELU by a sigmoid of so many times x.
QUICK_GELU = 1.702


def fits(config: Mapping[str, Any]) -> bool:
    """Tell whether `ClipText` is the network that a configuration describes."""
    plain = "CLIPTextModelWithProjection" not in (config.get("architectures") or [])
    return plain and config.get("hidden_act") == "quick_gelu" and all(config.get(key) is not None for key in _NUMBERS)


class ClipText(nn.Module):
    """Turn tokens into hidden states, one set for each layer."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build the network of a configuration for which `fits` is true."""
        super().__init__()
        self.config = SimpleNamespace(**config)
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.embeddings = TextEmbeddings(config["vocab_size"], config["max_position_embeddings"], width)
        heads, inner = config["num_attention_heads"], config["intermediate_size"]
        layers = [TextLayer(width, heads, inner, eps=eps) for _ in range(config["num_hidden_layers"])]
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        self.final_layer_norm = nn.LayerNorm(width, eps=eps)

    def forward(self, ids: Tensor, *, output_hidden_states: bool = True) -> SimpleNamespace:
        """Encode ids [B, tokens]; `hidden_states` holds the embeddings and what each layer gives, [B, tokens, width]."""
        assert output_hidden_states, "they are what it is for"
        states = [self.embeddings(ids)]
        for layer in self.encoder["layers"]:  # pyright: ignore[reportGeneralTypeIssues]
            states.append(layer(states[-1]))
        return SimpleNamespace(hidden_states=tuple(states))


class TextEmbeddings(nn.Module):
    """Rows for tokens plus rows for positions."""

    def __init__(self, words: int, positions: int, width: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.position_embedding = nn.Embedding(positions, width)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids [B, tokens] as [B, tokens, width]."""
        positions = torch.arange(ids.shape[-1], device=ids.device)[None]
        return self.token_embedding(ids) + self.position_embedding(positions)


class TextLayer(nn.Module):
    """Causal attention and two linear layers, each added to its input."""

    def __init__(self, width: int, heads: int, inner: int, *, eps: float) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.self_attn = CausalAttention(width, heads)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Turn [B, tokens, width] into the same shape."""
        x = x + self.self_attn(self.layer_norm1(x))
        hidden = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](hidden * torch.sigmoid(QUICK_GELU * hidden))


class CausalAttention(nn.Module):
    """Attention of each token to itself and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [B, tokens, width] into the same shape."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        scale = query.shape[-1] ** -0.5
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class ClipWords:
    """CLIP's tokenizer of a vocabulary: the part of transformers' class that prompts need."""

    def __init__(self, vocabulary: dict[str, int], merges: Merges, padding: str) -> None:
        """Raise ModelError where the vocabulary lacks a token that CLIP needs."""
        check_special_tokens(vocabulary, padding)
        self._words = Tokenizer(
            BPE(vocab=vocabulary, merges=merges, unk_token=END, continuing_subword_prefix="", end_of_word_suffix="</w>")
        )
        self._words.normalizer = normalizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        pieces = pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True)
        self._words.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
            [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self._words.add_special_tokens([BEGIN, END])
        self.bos_token_id, self.eos_token_id = vocabulary[BEGIN], vocabulary[END]
        self.pad_token_id = vocabulary[padding]

    def __len__(self) -> int:
        """Count the tokens."""
        return self._words.get_vocab_size()

    def get_vocab(self) -> dict[str, int]:
        """Return the words and pieces with their numbers, under the name of transformers' own class."""
        return self._words.get_vocab()

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        """Cut a text into tokens, without begin, end or padding."""
        return {"input_ids": self._words.encode(text, add_special_tokens=False).ids}
