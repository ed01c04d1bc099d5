"""Every row of the project's list of attacks on model files, with harmless payloads.

Each test names the case it stands for. All are refused as `UnsafeFileError` (exit code 4) before
anything in the file is used.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import struct
import tarfile
import time
import tracemalloc
import zipfile

import pytest
import torch

from checkpoints import make_configs
from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.models.files.gate import check_checkpoint, check_weights_file
from sfumato.models.files.gate_configs import check_component, check_index
from sfumato.models.files.gate_json import LARGEST_CONFIG_BYTES, LARGEST_VOCABULARY_BYTES, read_json
from sfumato.models.files.header import LARGEST_HEADER_BYTES, read_header
from sfumato.models.files.vocabularies import read_folder

MOST_SECONDS, MOST_BYTES = 1.0, 200 * 2**20
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write_file(path, header, payload=b"\0" * 8, *, length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + payload)
    return path


HEADERS = {
    "length beyond the file (CVE-2026-111984, CVE-2026-111985)": (b"{}", b"", 2**62),
    "length of 100 MB": (b"{}", b"", 100 * 2**20),
    "length zero": (b"", b"", 0),
    "not an object": (b"[1]", b"", None),
    "not JSON": (b"{nope}", b"", None),
    "not UTF-8": (b'{"\xff": 1}', b"", None),
    "nested deeply": (b'{"a":' * 5000 + b"1" + b"}" * 5000, b"", None),
    "brackets deeply": (b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}", b"", None),
    "too many tensors": (b"{" + b",".join(b'"%d":{}' % i for i in range(50000)) + b"}", b"", None),
    "ten million tensors on one offset": (b"{" + b'"a":{},' * 1_000_000 + b'"a":{}}', b"", None),
    "a doubled name": (b'{"a":%s,"a":%s}' % ((b'{"dtype":"U8","shape":[8],"data_offsets":[0,8]}',) * 2), b"\0" * 8, None),
    "a doubled field": (b'{"a":{"dtype":"U8","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8, None),
    "product that overflows 64 bits": ({"a": F32 | {"shape": [4194305, 4194305, 4194305, 4194305]}}, b"\0" * 8, None),
    "product that wraps to zero (stable-diffusion.cpp 1876)": ({"a": F32 | {"shape": [2**32, 2**32]}}, b"\0" * 8, None),
    "wraps to zero bytes": (
        {"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}, b"", None),
    "a number of a million digits": (b'{"a":{"dtype":"U8","shape":[' + b"9" * 10**6 + b'],"data_offsets":[0,8]}}',
                                     b"\0" * 8, None),
    "negative shape": ({"a": F32 | {"shape": [-2, -1]}}, b"\0" * 8, None),
    "shape of fractions": ({"a": F32 | {"shape": [2.0]}}, b"\0" * 8, None),
    "shape of truth values": ({"a": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}}, b"\0" * 8, None),
    "too many axes": ({"a": F32 | {"shape": [1] * 40 + [2]}}, b"\0" * 8, None),
    "unknown number type": ({"a": F32 | {"dtype": "F31"}}, b"\0" * 8, None),
    "number type that is no text": ({"a": F32 | {"dtype": ["F32"]}}, b"\0" * 8, None),
    "overlap": ({"a": F32, "b": F32 | {"data_offsets": [4, 12]}}, b"\0" * 12, None),
    "shared offsets": ({"a": F32, "b": F32}, b"\0" * 8, None),
    "hole": ({"a": F32, "b": F32 | {"data_offsets": [12, 20]}}, b"\0" * 20, None),
    "hole at the start": ({"a": F32 | {"data_offsets": [8, 16]}}, b"\0" * 16, None),
    "beyond the end": ({"a": F32}, b"\0" * 4, None),
    "more after the end": ({"a": F32}, b"\0" * 800, None),
    "backwards offsets": ({"a": F32 | {"data_offsets": [8, 0]}}, b"\0" * 8, None),
    "shape and bytes disagree": ({"a": F32 | {"shape": [3]}}, b"\0" * 8, None),
    "an unknown field": ({"a": F32 | {"code": "x"}}, b"\0" * 8, None),
    "a control character in a name": ({"a\u001b[31m": F32}, b"\0" * 8, None),
    "an endless name": ({"a" * 100000: F32}, b"\0" * 8, None),
    "notes that are no text": ({"__metadata__": {"a": {"b": "c"}}, "a": F32}, b"\0" * 8, None),
    "NaN in the header": (b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,8]}}', b"\0" * 8, None),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_a_hostile_header_is_refused_fast_and_small(tmp_path, case):
    header, payload, length = HEADERS[case]
    path = write_file(tmp_path / "x.safetensors", header, payload, length=length)
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(UnsafeFileError) as caught:
        read_header(path)
    seconds, peak = time.process_time() - begun, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in caught.value.what
    assert caught.value.do
    assert len(str(caught.value)) < 2000
    assert seconds < 4 * MOST_SECONDS  # tracing alone slows this several times
    assert peak < MOST_BYTES


def fill(start, item, end=b"", *, limit):
    """Repeat an item until the text is as long as the limit allows; `%d` in it counts."""
    if b"%d" not in item:
        return start + item * ((limit - len(start) - len(end)) // len(item)) + end
    width = len(item % 10**6)
    return start + b"".join(item % (10**6 + number) for number in range((limit - len(start) - len(end)) // width)) + end


# Each text drives one loop of the checks as far as the limit of its file lets it.
LONG_TEXTS = {
    "a string of escaped quotes that never closes": lambda limit: fill(b'{"', b'\\"', limit=limit),
    "a closed string of escaped quotes": lambda limit: fill(b'{"__metadata__":{"a":"', b'\\"', b'"}}', limit=limit),
    "backslashes": lambda limit: fill(b'{"', b"\\", limit=limit),
    "quotes": lambda limit: fill(b"{", b'"', limit=limit),
    "many keys and one double": lambda limit: fill(b'{"__metadata__":{', b'"%d":"",', b'"1000001":""}}', limit=limit),
    "few enough keys and one double": lambda limit: fill(
        b'{"__metadata__":{', b'"%d":"",', b'"1000001":""}}', limit=min(limit, 1_900_000)
    ),
    "the same key": lambda limit: fill(b"{", b'"a":1,', b'"a":1}', limit=limit),
    "commas": lambda limit: fill(b"{", b",", limit=limit),
    "numbers": lambda limit: fill(b'{"a":{"shape":[', b"1,", b"1]}}", limit=limit),
    "few enough numbers": lambda limit: fill(b'{"a":{"shape":[', b"1,", b"1]}}", limit=min(limit, 900_000)),
    "brackets": lambda limit: fill(b"{", b"[],", b"[]}", limit=limit),
    "opening brackets": lambda limit: fill(b"{", b"[", limit=limit),
    "blanks": lambda limit: fill(b"{", b" ", b"}", limit=limit),
    "digits": lambda limit: fill(b'{"a":', b"9", b"}", limit=limit),
}


@pytest.mark.parametrize("case", LONG_TEXTS)
def test_no_text_at_a_limit_keeps_the_gate_busy(tmp_path, case):
    """Headers and every JSON file of a folder: linear time, below a second at the largest size that is read."""
    path = write_file(tmp_path / "x.safetensors", LONG_TEXTS[case](LARGEST_HEADER_BYTES), b"")
    texts = {size: tmp_path / f"{size}.json" for size in (LARGEST_CONFIG_BYTES, LARGEST_VOCABULARY_BYTES)}
    for size, text in texts.items():
        text.write_bytes(LONG_TEXTS[case](size))
    readers = [lambda: read_header(path)] + [functools.partial(read_json, text, size) for size, text in texts.items()]
    for read in readers:
        begun = time.process_time()
        with contextlib.suppress(UnsafeFileError):
            read()
        assert time.process_time() - begun < MOST_SECONDS


@pytest.mark.parametrize("line", [b"\n", b"a b\n", b" ", b"a"])
def test_no_list_of_merge_rules_keeps_the_gate_busy(tmp_path, line):
    (tmp_path / "vocab.json").write_text('{"a": 1}')
    (tmp_path / "merges.txt").write_bytes(line * (LARGEST_VOCABULARY_BYTES // len(line)))
    begun = time.process_time()
    with contextlib.suppress(UnsafeFileError):
        read_folder(tmp_path)
    assert time.process_time() - begun < MOST_SECONDS


@pytest.mark.parametrize("megabytes", [1, 9, 30])
def test_long_training_notes_are_no_danger(tmp_path, megabytes):
    notes = {"ss_tag_frequency": '"' * (megabytes * 2**19), "ss_network_dim": "8"}
    found = read_header(write_file(tmp_path / "x.safetensors", {"__metadata__": notes, "a": F32}))
    assert found.metadata["ss_network_dim"] == "8"
    assert set(found.tensors) == {"a"}


STAND_INS = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "a web page": b"<!DOCTYPE html><html><body>Not found</body></html>" * 9,
    "a web page without a type": b"\n <HTML><head></head></html>",
    "an answer of a store": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
}


@pytest.mark.parametrize("case", STAND_INS)
def test_what_was_saved_in_place_of_a_model_is_named(tmp_path, case):
    path = tmp_path / "x.safetensors"
    path.write_bytes(STAND_INS[case])
    with pytest.raises(UnsafeFileError, match=r"Git LFS pointer|web page"):
        read_header(path)


def test_the_short_suffix_of_safetensors_is_opened(tmp_path):
    path = write_file(tmp_path / "x.sft", {"a": F32})
    assert set(check_weights_file(path).tensors) == {"a"}
    with pytest.raises(UnsafeFileError) as caught:
        check_weights_file(path.rename(tmp_path / "x.model"))
    assert "rename" in caught.value.do


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".pkl", ".CKPT"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeFileError) as caught:
        check_checkpoint(path)
    assert f"sfumato models convert {path}" in caught.value.do
    assert caught.value.exit_code == 4


def test_a_pickle_under_another_name_is_refused(tmp_path):
    """picklescan CVE-2025-1889 and its family: the content decides, not the extension."""
    torch.save({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"\x80\x02c__builtin__\neval\n.")
    for name in ("x.safetensors", "y.safetensors"):
        with pytest.raises(UnsafeFileError):
            check_checkpoint(tmp_path / name)


def test_archives_are_not_opened(tmp_path):
    """Zip and tar slip: CVE-2026-59974, CVE-2023-5245."""
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("../escaped.txt", "x")
    with tarfile.open(tmp_path / "m.tar", "w") as archive:
        entry = tarfile.TarInfo("../escaped.txt")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    for name in ("m.zip", "m.tar"):
        with pytest.raises(UnsafeFileError):
            check_checkpoint(tmp_path / name)
    assert not (tmp_path.parent / "escaped.txt").exists()


def make_folder(root, *, index=None, configs=None):
    """Write a folder that passes every check before the weights."""
    base = make_configs("sd15", tiny=True)
    for part, config in (base | {"index": base["index"] | (index or {})} | (configs or {})).items():
        names = {"index": "model_index.json", "scheduler": "scheduler/scheduler_config.json"}
        path = root / names.get(part, f"{part}/config.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config))
    for part, stem in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        write_file(root / part / f"{stem}.safetensors", {"a": F32})
    (root / "tokenizer").mkdir(exist_ok=True)
    return root


def test_a_plain_folder_passes(tmp_path):
    checked = check_checkpoint(make_folder(tmp_path))
    assert checked.components == ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


INDEXES = {
    "a custom class (CVE-2026-44513)": {"unet": ["my_unet_model", "MyUNetModel"]},
    "a known class from elsewhere (CVE-2026-44513)": {"unet": ["unet.my_model", "UNet2DConditionModel"]},
    "an unknown class of a known library": {"unet": ["diffusers", "FluxTransformer2DModel"]},
    "an unknown component": {"helper": ["diffusers", "UNet2DConditionModel"]},
    "a community pipeline (diffusers 13691)": {"_class_name": "somebody/pipeline"},
    "a custom pipeline in a list (CVE-2026-44513)": {"_class_name": ["pipeline", "MyPipeline"]},
    "a custom_pipeline key": {"custom_pipeline": "clip_guided_stable_diffusion"},
    "no list": {"vae": "AutoencoderKL"},
    "remote code": {"trust_remote_code": True},
    "a private key": {"_module": "os"},
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_that_names_code_is_refused(tmp_path, case):
    with pytest.raises(UnsafeFileError):
        check_checkpoint(make_folder(tmp_path, index=INDEXES[case]))


CONFIGS = {
    "a kernel from the network (CVE-2026-4372)": ("text_encoder", {"_attn_implementation_internal": "attacker/repo"}),
    "the same, nested": ("text_encoder", {"text_config": {"_attn_implementation_internal": "attacker/repo"}}),
    "remote code, nested (CVE-2026-5241)": ("text_encoder", {"vision_config": {"deep": [{"trust_remote_code": True}]}}),
    "auto_map": ("unet", {"auto_map": {"AutoModel": "attacker/repo--model.Model"}}),
    "a class": ("unet", {"_class_name": "MyUNet"}),
    "an architecture": ("text_encoder", {"architectures": ["MyText"]}),
    "a model type": ("text_encoder", {"model_type": "custom"}),
    "a block": ("unet", {"down_block_types": ["os.system"]}),
    "a billion layers": ("unet", {"layers_per_block": 10**9}),
    "a billion channels": ("vae", {"block_out_channels": [10**9]}),
    "a million layers of text": ("text_encoder", {"num_hidden_layers": 10**6}),
    "endless lists": ("unet", {"block_out_channels": [32] * 10**4}),
    "nested sizes": ("unet", {"transformer_layers_per_block": [[10**9]]}),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_configuration_that_names_code_or_absurd_sizes_is_refused(tmp_path, case):
    part, change = CONFIGS[case]
    config = make_configs("sd15", tiny=True)[part] | change
    with pytest.raises(UnsafeFileError):
        check_checkpoint(make_folder(tmp_path, configs={part: config}))


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', "[" * 100000, '{"a": NaN}', '{"a": 1' + "0" * 10**5 + "}", "nope", '"text"', '{"a": "' + "b" * 10**6 + '"}'],
    ids=["doubled", "deep", "nan", "long", "no json", "no object", "large"],
)  # fmt: skip
def test_a_configuration_that_is_no_plain_json_is_refused(tmp_path, text):
    make_folder(tmp_path)
    (tmp_path / "unet" / "config.json").write_text(text)
    with pytest.raises(UnsafeFileError):
        check_checkpoint(tmp_path)


FILES = (
    "unet/my_unet_model.py", "handler.py", "unet/__init__.PY", "pytorch_model.bin", "rng_state_0.pth",
    "optimizer.pt", "vae/x.ckpt", "x.pkl", "unet/diffusion_pytorch_model.bin", "evil.so", "model.onnx", "run.sh", "a.zip",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_folder_with_programs_or_pickles_is_refused(tmp_path, name):
    """CVE-2026-44513 (.py), CVE-2026-1839 (rng_state.pth), CVE-2025-14924 (converters)."""
    make_folder(tmp_path)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnsafeFileError) as caught:
        check_checkpoint(tmp_path)
    assert name.rpartition("/")[2] in str(caught.value)


@pytest.mark.parametrize("name", ["unet/config.json", "vae", "extra"])
def test_links_are_refused(tmp_path, name):
    root = make_folder(tmp_path / "model")
    outside = tmp_path / "outside"
    outside.mkdir()
    path = root / name
    if path.is_file():
        path.unlink()
    elif path.is_dir():
        path.rename(tmp_path / "moved")
    path.symlink_to(outside)
    with pytest.raises(UnsafeFileError, match="link"):
        check_checkpoint(root)


def test_a_link_to_a_file_and_a_pipe_are_refused_without_waiting(tmp_path):
    write_file(tmp_path / "real.safetensors", {"a": F32})
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "real.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name in ("link", "pipe"):
        with pytest.raises(UnsafeFileError):
            check_weights_file(tmp_path / f"{name}.safetensors")


SHARDS = (
    "../../outside.safetensors",
    "/etc/passwd",
    "sub/x.safetensors",
    "..\\x.safetensors",
    "x.bin",
    "missing.safetensors",
)


@pytest.mark.parametrize("name", SHARDS)
def test_a_shard_outside_the_folder_is_refused(tmp_path, name):
    """diffusers 14182: a weight_map may not leave the folder."""
    root = make_folder(tmp_path / "model")
    write_file(tmp_path / "outside.safetensors", {"a": F32})
    (root / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"a": name}}
    (root / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UnsafeFileError):
        check_checkpoint(root)


def test_shards_that_disagree_with_their_index_are_refused(tmp_path):
    root = make_folder(tmp_path)
    (root / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    write_file(root / "unet" / "one.safetensors", {"a": F32})
    write_file(root / "unet" / "two.safetensors", {"a": F32})
    index = root / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    with pytest.raises(UnsafeFileError):
        check_checkpoint(root)
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    assert check_checkpoint(root).headers["unet"][0].path.name == "one.safetensors"


def test_a_folder_of_a_thousand_files_or_ten_levels_is_refused(tmp_path):
    root = make_folder(tmp_path / "many")
    for number in range(600):
        (root / f"{number}.txt").write_text("")
    with pytest.raises(UnsafeFileError, match="more than"):
        check_checkpoint(root)
    deep = make_folder(tmp_path / "deep")
    (deep / "a/b/c/d/e").mkdir(parents=True)
    with pytest.raises(UnsafeFileError, match="deeper"):
        check_checkpoint(deep)


@pytest.mark.parametrize("path", ["", "\0", "x" * 5000, "/dev/zero", "/dev/null"])
def test_absurd_paths_are_errors_with_words(path):
    with pytest.raises((ModelError, UnsafeFileError)):
        check_checkpoint(path)


def test_the_checks_of_configurations_are_for_any_caller():
    """The single-file loader passes derived configurations through the same bounds."""
    with pytest.raises(UnsafeFileError):
        check_component("derived", "unet", {"block_out_channels": [10**12]})
    with pytest.raises(UnsafeFileError):
        check_index("derived", {"_class_name": "X"})
