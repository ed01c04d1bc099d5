"""The program's own source: no unsafe loader, no second try, nothing that fetches."""

from __future__ import annotations

import ast
import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from guards.source import find_modules
from sfumato.models.offline import OFFLINE

ROOT = Path(__file__).parents[2]
# Open folders that the trainer or the package itself wrote, never one that a caller names.
READS_ITS_OWN = {"mini.py", "mini_speed.py", "native_speed.py"}
# Compares with diffusers' own loader, so a folder goes through the gate first and has to be of plain tensors.
READS_CHECKED = {"full_size.py"}


def list_sources():
    """List the path and the tree of every module."""
    return [(ROOT / module.path, module.tree) for module in find_modules()]


def find_calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def test_pickles_are_read_in_one_place_and_only_as_weights():
    """The fallback pattern (stanza advisory): except -> weights_only=False must not exist."""
    found = []
    for path, tree in list_sources():
        for node, name in find_calls(tree):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert keywords.get("weights_only", "True") == "True", path
            if name in ("torch.load", "torch.serialization.load"):
                assert keywords.get("weights_only") == "True", path
                found.append(path.name)
            assert not re.search(r"(^|\.)(pickle|dill|joblib|cloudpickle)\.", name), path
    assert set(found) <= {"convert_child.py", *allowed_loaders()}


def allowed_loaders() -> set[str]:
    # The trainer reads back its own checkpoints, as weights only.
    return {path.name for path, _ in list_sources() if path.parent.name == "train"}


def test_no_module_imports_pickle():
    for path, tree in list_sources():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "dill", "joblib", "cloudpickle"} & {name.split(".")[0] for name in names}, path


def test_nothing_passes_a_name_to_a_loader_that_could_fetch():
    """diffusers 13691: custom_pipeline runs foreign code although trust_remote_code is False."""
    for path, tree in list_sources():
        for node, name in find_calls(tree):
            keywords = {keyword.arg for keyword in node.keywords}
            assert not keywords & {"custom_pipeline", "trust_remote_code", "custom_revision"}, path
            loads = name.endswith((".from_pretrained", ".from_single_file", "hf_hub_download"))
            if "models" in path.parts and path.name not in READS_ITS_OWN | READS_CHECKED:
                assert not loads, path
            if path.name in READS_CHECKED and loads:
                assert {"local_files_only", "use_safetensors"} <= keywords, path


def test_what_diffusers_opens_itself_has_been_through_the_gate():
    for path, tree in list_sources():
        if path.name not in READS_CHECKED:
            continue
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            names = [name for _, name in find_calls(function)]
            loads = [place for place, name in enumerate(names) if name.endswith(".from_pretrained")]
            assert not loads or "check_checkpoint" in names, function.name


def test_the_model_libraries_are_offline():
    assert all(os.environ[name] == value for name, value in OFFLINE.items())


@pytest.mark.parametrize(
    ("package", "least"),
    [
        ("torch", (2, 10)),
        ("diffusers", (0, 40)),
        ("transformers", (5, 3)),
        ("pillow", (12, 3)),
        ("safetensors", (0, 6)),
    ],
)
def test_versions_with_known_holes_are_not_installed(package, least):
    """CVE-2025-32434, CVE-2026-24747 (torch); CVE-2026-44513 (diffusers); CVE-2026-4372 (transformers)."""
    found = tuple(int(part) for part in re.findall(r"\d+", version(package))[:2])
    assert found >= least
