"""The project's own files as the guards see them: parsed modules and tracked paths.

Knows no rule. Start reading at `find_modules`.
"""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A Python file with its dotted name and its tree."""

    name: str
    path: str
    text: str
    tree: ast.Module
    is_package: bool

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """List every node of the tree, which many guards look through."""
        return tuple(ast.walk(self.tree))

    def place(self, node: ast.AST) -> str:
        """Return file:line, which editors and terminals can open."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


def make_module(name: str, text: str, path: str = "sample.py", *, is_package: bool = False) -> Module:
    """Parse a module; tests of the guards make bad ones with it."""
    return Module(name, path, text, ast.parse(text), is_package)


@functools.cache
def find_modules(folder: str = "src") -> tuple[Module, ...]:
    """Parse every Python file under a folder of the repository; none is an empty answer."""
    return tuple(_load(path) for path in sorted((ROOT / folder).rglob("*.py")))


def _load(path: Path) -> Module:
    parts = list(path.relative_to(SRC if path.is_relative_to(SRC) else ROOT).with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    return make_module(name, path.read_text(), str(path.relative_to(ROOT)), is_package=is_package)


@functools.cache
def find_tracked() -> tuple[Path, ...]:
    """Return every tracked file that still exists; outside a checkout every file that could be one."""
    if not (ROOT / ".git").exists():
        return tuple(path for path in sorted(ROOT.rglob("*")) if path.is_file() and not _is_local(path))
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def _is_local(path: Path) -> bool:
    return any(part.startswith(".venv") or part in ("__pycache__", "out", "runs") for part in path.parts)


def walk_functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Yield every function with its dotted name inside the module."""
    yield from _walk(module.tree, "")


def _walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            name = f"{prefix}{child.name}"
            if isinstance(child, Function):
                yield name, child
            yield from _walk(child, f"{name}.")
        else:
            yield from _walk(child, prefix)


def report(violations: list[str]) -> None:
    """Fail with one line per violation."""
    assert not violations, "\n" + "\n".join(sorted(violations))
