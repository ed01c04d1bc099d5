"""Textual-inversion files of every form give the prompt what diffusers gives it, and leave without a trace."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.core.prompt.grammar import Span
from sfumato.models.adapters.attach import AdapterRack
from sfumato.models.text.clip import TextTower
from sfumato.models.text.encoder import DEPTHS, PromptEncoder


class Model:
    """A tiny model with its prompt encoder and its rack."""

    def __init__(self, parts: Any) -> None:
        self.parts = parts
        towers = [
            TextTower(tokenizer, encoder, depth=DEPTHS[parts.family])
            for tokenizer, encoder in zip(parts.tokenizers, parts.encoders, strict=True)
        ]
        self.prompts = PromptEncoder(towers)
        self.rack = AdapterRack(parts.components, self.prompts)

    def encode(self, text: str) -> Tensor:
        """Encode an unweighted prompt."""
        return self.prompts.encode([[[Span(text)]]]).hidden

    @property
    def matrices(self) -> list[Tensor]:
        """Copy the embedding matrices."""
        return [tower.embedding.weight.detach().clone() for tower in self.prompts.towers]


@pytest.fixture
def sd1(tiny_parts: Any) -> Model:
    """Make a model with one encoder of width 32."""
    return Model(tiny_parts("sd1"))


@pytest.fixture
def sdxl(tiny_parts: Any) -> Model:
    """Make a model with encoders of widths 32 and 48."""
    return Model(tiny_parts("sdxl"))


def write(path: Path, **tensors: Tensor) -> Path:
    """Write a file."""
    save_file(tensors, path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("vectors", [1, 3])
def test_a_concept_reads_as_in_diffusers(sd1: Model, tmp_path: Path, vectors: int) -> None:
    torch.manual_seed(0)
    rows = torch.randn(vectors, 32)
    path = write(tmp_path / "grumpy.safetensors", **{"<grumpy>": rows})
    twin = copy.deepcopy(sd1.parts).pipeline()
    twin.load_textual_inversion(str(path), token="<grumpy>")
    expected, _ = twin.encode_prompt("a <grumpy> cat", "cpu", 1, False)
    with sd1.rack.attach_embedding(path) as attachment:
        assert attachment.touched == vectors
        assert attachment.names == ("grumpy", "<grumpy>")
        for name in ("<grumpy>", "grumpy", "GRUMPY", "embedding:grumpy"):
            torch.testing.assert_close(sd1.encode(f"a {name} cat"), expected)


@pytest.mark.filterwarnings("ignore")
def test_sdxl_concepts_read_as_in_diffusers(sdxl: Model, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {"clip_l": torch.randn(2, 32), "clip_g": torch.randn(2, 48)}
    path = write(tmp_path / "grumpy.safetensors", **tensors)
    twin = copy.deepcopy(sdxl.parts).pipeline()
    for key, tokenizer, encoder in (
        ("clip_l", twin.tokenizer, twin.text_encoder),
        ("clip_g", twin.tokenizer_2, twin.text_encoder_2),
    ):
        twin.load_textual_inversion(tensors[key], token="<grumpy>", text_encoder=encoder, tokenizer=tokenizer)
    # The published encoder's pooling looks for the largest id and would land on the concept; the end token is meant.
    twin.text_encoder_2.text_model.eos_token_id = sdxl.parts.tokenizers[1].eos_token_id
    hidden, _, pooled, _ = twin.encode_prompt("a <grumpy> cat")
    with sdxl.rack.attach_embedding(path, token="<grumpy>"):
        encoded = sdxl.prompts.encode([[[Span("a <grumpy> cat")]]])
    torch.testing.assert_close(encoded.hidden, hidden)
    torch.testing.assert_close(encoded.pooled, pooled)


@pytest.mark.parametrize("key", ["emb_params", "string_to_param.*"])
def test_a1111_files_go_by_their_file_name(sd1: Model, tmp_path: Path, key: str) -> None:
    before = sd1.encode("a bad-hands 5 dog")
    path = write(tmp_path / "bad-hands 5.safetensors", **{key: torch.randn(2, 32)})
    with sd1.rack.attach_embedding(path) as attachment:
        assert attachment.names == ("bad-hands 5",)
        assert not torch.equal(sd1.encode("a bad-hands 5 dog"), before)
        assert [len(chunk.ids) for chunk in sd1.prompts.towers[0].cut([[Span("bad-hands 5")]])] == [2]
    assert torch.equal(sd1.encode("a bad-hands 5 dog"), before)


def test_concepts_leave_in_any_order_without_a_trace(sdxl: Model, tmp_path: Path) -> None:
    before, plain = sdxl.matrices, sdxl.encode("a red one two cat")
    paths = [
        write(tmp_path / f"{name}.safetensors", clip_l=torch.randn(rows, 32), clip_g=torch.randn(rows, 48))
        for name, rows in (("one", 3), ("two", 1))
    ]
    second = sdxl.rack.attach_embedding(paths[1])
    alone = sdxl.encode("a red one two cat")
    second.detach()
    first, second = (sdxl.rack.attach_embedding(path) for path in paths)
    both = sdxl.encode("a red one two cat")
    first.detach()
    assert torch.equal(sdxl.encode("a red one two cat"), alone)
    assert not torch.equal(both, alone)
    second.detach()
    assert torch.equal(sdxl.encode("a red one two cat"), plain)
    assert all(torch.equal(now, then) for now, then in zip(sdxl.matrices, before, strict=True))
    assert all(tower.embedding.num_embeddings == len(m) for tower, m in zip(sdxl.prompts.towers, before, strict=True))


def test_a_weighted_concept_keeps_its_weight(sd1: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "one.safetensors", emb_params=torch.randn(2, 32))
    with sd1.rack.attach_embedding(path):
        (chunk,) = sd1.prompts.towers[0].cut([[Span("a"), Span("one", 1.3)]])
    assert chunk.weights == (1.0, 1.3, 1.3)


def test_a_width_of_another_family_is_named(sd1: Model, sdxl: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "one.safetensors", emb_params=torch.randn(2, 768))
    with pytest.raises(ModelError, match="768 wide, this text encoder 32"):
        sd1.rack.attach_embedding(path)
    both = write(tmp_path / "two.safetensors", clip_l=torch.randn(1, 32), clip_g=torch.randn(1, 1280))
    with pytest.raises(ModelError, match="1280 wide, this text encoder 48"):
        sdxl.rack.attach_embedding(both)
    with pytest.raises(ModelError, match=r"another model family.*clip_g, clip_l.*1 encoders"):
        sd1.rack.attach_embedding(both)
    with pytest.raises(ModelError, match="another model family"):
        sdxl.rack.attach_embedding(path)
    assert not sd1.rack.attached
    assert not sdxl.rack.attached


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": torch.zeros(1, 32), "b": torch.zeros(1, 32)}, "no known embedding layout: a, b"),
        ({"clip_l": torch.zeros(1, 32), "t5xxl": torch.zeros(1, 32)}, "no known embedding layout"),
        ({"clip_g": torch.zeros(1, 32)}, "second encoder only"),
        ({"emb_params": torch.zeros(1, 1, 32)}, "table of vectors"),
        ({"emb_params": torch.zeros(1, 32, dtype=torch.int32)}, "table of vectors"),
        ({"emb_params": torch.zeros(76, 32)}, "more vectors than fit"),
        ({"emb_params": torch.full((1, 32), torch.inf)}, "NaN or infinite"),
    ],
)
def test_files_that_are_no_embedding(sd1: Model, tmp_path: Path, tensors: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        sd1.rack.attach_embedding(write(tmp_path / "one.safetensors", **tensors))


def test_encoders_need_the_same_number_of_vectors(sdxl: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "one.safetensors", clip_l=torch.zeros(1, 32), clip_g=torch.zeros(2, 48))
    with pytest.raises(ModelError, match=r"different numbers of vectors.*\[1, 2\]"):
        sdxl.rack.attach_embedding(path)


def test_names_are_unique_and_not_empty(sd1: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "One.safetensors", emb_params=torch.zeros(1, 32))
    sd1.rack.attach_embedding(path)
    with pytest.raises(RequestError, match="an embedding of this name"):
        sd1.rack.attach_embedding(path, token="ONE")
    with pytest.raises(RequestError, match="needs a name"):
        sd1.rack.attach_embedding(path, token=" ")
    sd1.rack.attach_embedding(path, token="other")
    sd1.rack.detach_all()
    assert not sd1.rack.attached


def test_pickled_embeddings_are_refused_with_the_way_out(sd1: Model, tmp_path: Path) -> None:
    path = tmp_path / "one.pt"
    path.write_bytes(b"\x80\x02.")
    with pytest.raises(UnsafeFileError, match="sfumato models convert"):
        sd1.rack.attach_embedding(path)
