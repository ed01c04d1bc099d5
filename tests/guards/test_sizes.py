"""Files, functions, folders and parameter lists stay small; every exception has a reason and is still needed."""

import ast
from collections import Counter

from guards.imports import find_edges
from guards.source import Function, Module, find_modules, make_module, report, walk_functions

MOST_FILE_LINES = 500
MOST_FUNCTION_LINES = 80
MOST_POSITIONAL = 8
MOST_MODULES_IN_FOLDER = 16
# A file shorter than this with a single importer belongs to that importer.
LEAST_FILE_LINES = 60
# Place -> reason. An entry that is no longer needed fails, so the table cannot rot.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
# Short files with one importer that stay apart, and why.
SMALL_FILES: dict[str, str] = {
    "src/sfumato/core/found.py": "the value that finders give and passes take",
    "src/sfumato/cli/laboratory/training.py": "a command of its own",
    "src/sfumato/lab/hands3d/part.py": "where a part becomes the mesh that the world takes",
    "src/sfumato/cli/serving.py": "a command of its own",
    "src/sfumato/render/methods/multidiffusion.py": "a method is one file",
    "src/sfumato/nn/tiled/attention.py": "attention in tiles, beside its sister layers",
    "src/sfumato/models/parts/converters.py": "the table that a new kind of file is added to",
    "src/sfumato/models/parts/load.py": "what every network of a part is loaded by",
    "src/sfumato/workflows/init_likeness.py": "what is said of a starting picture, and the limit that was measured",
    "src/sfumato/models/offline.py": "runs before anything else of the package is imported",
}
MANY_PARAMETERS: dict[str, str] = {}


def function_lines(function: Function) -> int:
    """Count the lines of a function without its docstring: telling more is no growth."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def positional(function: Function) -> int:
    """Count what a caller may pass by position; a command's options are typed by people, by name."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    if any(argument.annotation is not None and "typer." in ast.unparse(argument.annotation) for argument in arguments):
        return 0
    return len([argument for argument in arguments if argument.arg not in ("self", "cls")])


def long_files(modules):
    return {module.path: lines for module in modules if (lines := module.text.count("\n")) > MOST_FILE_LINES}


def long_functions(modules):
    return {
        f"{module.path}:{name}": lines
        for module in modules
        for name, function in walk_functions(module)
        if (lines := function_lines(function)) > MOST_FUNCTION_LINES
    }


def many_parameters(modules):
    return {
        f"{module.path}:{name}": count
        for module in modules
        for name, function in walk_functions(module)
        if (count := positional(function)) > MOST_POSITIONAL
    }


def full_folders(modules):
    counts = Counter(module.path.rpartition("/")[0] for module in modules if not module.is_package)
    return {folder: count for folder, count in counts.items() if count > MOST_MODULES_IN_FOLDER}


def small_files(modules):
    known = frozenset(module.name for module in modules)
    edges = [edge for module in modules for edge in find_edges(module, known)]
    importers: dict[str, set[str]] = {}
    for edge in edges:
        importers.setdefault(edge.target, set()).add(edge.source)
    return {
        module.path: lines
        for module in modules
        if not module.is_package
        and (lines := module.text.count("\n")) < LEAST_FILE_LINES
        and len(importers.get(module.name, set()) - {module.name}) == 1
    }


def compare(found: dict[str, int], allowed: dict[str, str], most: int) -> None:
    extra = [f"{place}: {count}, at most {most}" for place, count in found.items() if place not in allowed]
    stale = [f"{place}: the exception is no longer needed" for place in allowed if place not in found]
    report(extra + stale)


def everything() -> tuple[Module, ...]:
    return find_modules("src") + find_modules("tests") + find_modules("tools")


def test_files_are_short():
    compare(long_files(everything()), LONG_FILES, MOST_FILE_LINES)


def test_functions_are_short():
    compare(long_functions(everything()), LONG_FUNCTIONS, MOST_FUNCTION_LINES)


def test_parameter_lists_are_short():
    compare(many_parameters(find_modules("src")), MANY_PARAMETERS, MOST_POSITIONAL)


def test_folders_are_no_corridors():
    compare(full_folders(find_modules("src")), {}, MOST_MODULES_IN_FOLDER)


def test_small_files_with_one_importer_are_folded():
    extra = {path: lines for path, lines in small_files(find_modules("src")).items() if path not in SMALL_FILES}
    report([f"{path}: {lines} lines and one importer; fold it into that" for path, lines in extra.items()])


def test_each_check_bites():
    body = "".join(f"    x{line} = 1\n" for line in range(80))
    module = make_module("m", f'class A:\n  def f(self, a, b, c, d, e, g, *, h=1):\n    """Do."""\n{body}', "m.py")
    assert long_functions([module]) == {"m.py:A.f": 81}
    assert many_parameters([make_module("m", "def f(a, b, c, d, e, g, h, i, j): ...\n", "m.py")]) == {"m.py:f": 9}
    assert long_files([make_module("m", "\n" * 501, "m.py")]) == {"m.py": 501}
    many = [make_module(f"p.m{number}", "", f"p/m{number}.py") for number in range(17)]
    assert full_folders(many) == {"p": 17}
    pair = [make_module("sfumato.a", "", "a.py"), make_module("sfumato.b", "import sfumato.a\n" * 60, "b.py")]
    assert small_files(pair) == {"a.py": 0}
