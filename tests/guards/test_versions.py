"""Floors are met, the lock is complete and clean, and what is imported is declared."""

import re
import sys
import tomllib
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

from guards.imports import find_edges
from guards.source import ROOT, find_modules, report

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EVERYTHING = RUNTIME + [Requirement(line) for extra in PROJECT["optional-dependencies"].values() for line in extra]
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = {
    name.lower(): Version(version) for name, version in re.findall(r"^([\w.-]+)==([\w.+!-]+)", LOCK, re.MULTILINE)
}
# Where the name that is imported differs from the name that is installed.
IMPORT_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "skia-python": "skia",
    "k-diffusion": "k_diffusion",
    "prometheus-client": "prometheus_client",
    "c2pa-python": "c2pa",
    "comfy-api-simplified": "comfy_api_simplified",
}
# Declared, but never imported by name: used through another package.
SILENT = {"websockets": "uvicorn speaks WebSocket through it"}
# Imported by a part of `src` that an extra brings and that says so where it is missing.
EXTRAS = {"numba": "3-D hands"}
# The design sets these; a floor may rise above them, never fall.
DESIGN_FLOORS = {"torch": "2.10", "diffusers": "0.42", "transformers": "5.3", "pillow": "12.3"}


def find_installed(requirement: Requirement) -> str | None:
    try:
        return metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        # Where the lock was not installed, the oracles of the tests may be missing; what renders may not.
        return "0" if requirement in RUNTIME else None


def test_installed_and_locked_versions_meet_their_floors():
    found = {f"{item.name} installed": (item, find_installed(item)) for item in EVERYTHING}
    found |= {f"{item.name} locked": (item, LOCKED[item.name.lower()]) for item in EVERYTHING}
    report(
        [
            f"{name}: {version}, wanted {item.specifier}"
            for name, (item, version) in found.items()
            if version is not None and not item.specifier.contains(version, prereleases=True)
        ]
    )


def test_design_floors_hold():
    floors = {item.name.lower(): min(Version(part.version) for part in item.specifier) for item in RUNTIME}
    report([f"{name} >= {floor}" for name, floor in DESIGN_FLOORS.items() if floors[name] < Version(floor)])


def test_python_floor_is_one_everywhere():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert settings["ruff"]["target-version"] == "py311"
    assert settings["basedpyright"]["pythonVersion"] == "3.11"
    assert sys.version_info >= (3, 11)


def test_lock_has_digests_and_no_addresses():
    entries = re.split(r"^(?=\S)", LOCK, flags=re.MULTILINE)
    report([entry.split(" ")[0] for entry in entries if "==" in entry and "--hash=sha256:" not in entry])
    assert "://" not in LOCK
    assert not re.search(r"^-", LOCK, re.MULTILINE), "an option line would name an index"


def imported(folder: str) -> set[str]:
    edges = [edge for module in find_modules(folder) for edge in find_edges(module, frozenset())]
    tops = {edge.target.split(".")[0] for edge in edges if not edge.typing_only}
    own = {path.stem for path in (ROOT / "tests").iterdir()}
    return tops - own - {"sfumato", "__future__", *sys.stdlib_module_names}


def declared(requirements: list[Requirement]) -> set[str]:
    return {IMPORT_NAMES.get(item.name.lower(), item.name) for item in requirements}


def test_what_is_imported_is_declared():
    report([f"{name} is imported but not declared" for name in imported("src") - declared(RUNTIME) - set(EXTRAS)])
    report([f"{name} is imported by a test but not declared" for name in imported("tests") - declared(EVERYTHING)])


def test_what_is_declared_is_imported():
    report([f"{name} is declared but not imported" for name in declared(RUNTIME) - imported("src") - set(SILENT)])
