"""Every path that a tool's configuration names exists, and CI calls what people call."""

import os
import re
import tomllib

import pytest

from guards.source import ROOT, report

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL = PYPROJECT["tool"]
MAKEFILE = (ROOT / "Makefile").read_text()


def named_paths():
    yield from TOOL["pytest"]["ini_options"]["testpaths"]
    yield from TOOL["pytest"]["ini_options"]["pythonpath"]
    yield from TOOL["ruff"]["src"]
    yield from TOOL["basedpyright"]["include"]
    yield TOOL["basedpyright"]["stubPath"]
    yield from TOOL["hatch"]["build"]["targets"]["wheel"]["packages"]
    yield from TOOL["hatch"]["build"]["targets"]["sdist"]["include"]
    yield from PYPROJECT["project"]["license-files"]
    yield PYPROJECT["project"]["readme"]
    yield from re.findall(r"(?<![\w./-])(?:tools|src|docs|tests|\.ci)/[\w./-]*\w", MAKEFILE)


def test_paths_in_tool_configuration_exist():
    report([path for path in named_paths() if not (ROOT / path).exists()])


def test_patterns_for_single_files_match_something():
    patterns = TOOL["ruff"]["lint"]["per-file-ignores"]
    report([pattern for pattern in patterns if not any(ROOT.glob(pattern))])


def test_console_script_leads_to_code():
    for target in PYPROJECT["project"]["scripts"].values():
        module, name = target.split(":")
        folder = ROOT / "src" / module.replace(".", "/")
        source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        if not source.exists():
            pytest.skip(f"{module} has no code yet")
        assert re.search(rf"\b{name}\b", source.read_text()), target


@pytest.mark.parametrize("target", ["setup", "demo", "test", "check", "bench", "docs"])
def test_make_has_the_targets_and_each_sets_itself_up(target):
    assert re.search(rf"^{target}: \$\(STAMP\)", MAKEFILE, re.MULTILINE)


def test_ci_runs_the_same_targets_with_the_summary_last():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    calls = re.findall(r"^make .*?([\w-]+)$", script.read_text(), re.MULTILINE)
    assert calls == ["check", "test", "test-lab"]


def test_scripts_are_executable():
    scripts = [path for path in (ROOT / "tools").iterdir() if path.is_file() and path.read_bytes().startswith(b"#!")]
    assert scripts
    report([str(path.relative_to(ROOT)) for path in scripts if not os.access(path, os.X_OK)])
