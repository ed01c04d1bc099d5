"""A class name means one thing, and a parameter holds one thing.

Each table of exceptions may only shrink: an entry that is no longer needed fails. Start reading at
`find_repeated_classes` and `find_mixed_tuples`.
"""

import ast
import re
from collections.abc import Iterator

from guards.source import Module, find_modules, make_module, report, walk_functions

# Class names that still mean two things; none may be added.
REPEATED_CLASSES: frozenset[str] = frozenset()
# file:function(parameter) of those that still hold unlike things; none may be added.
MIXED_TUPLES: frozenset[str] = frozenset()


def find_repeated_classes(modules) -> dict[str, list[str]]:
    """Return every class name that is defined more than once, with its places."""
    places: dict[str, list[str]] = {}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(module.place(node))
    return {name: found for name, found in places.items() if len(found) > 1}


def find_mixed_tuples(module: Module) -> Iterator[str]:
    """Yield file:function(parameter) of every parameter that is a tuple of unlike types."""
    for name, function in walk_functions(module):
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        for argument in arguments:
            if argument.annotation is not None and is_mixed(argument.annotation):
                yield f"{module.path}:{name}({argument.arg})"


def is_mixed(annotation: ast.AST) -> bool:
    """Tell whether an annotation is a tuple of unlike types, or may be one; rows of a sequence may be such tuples."""
    if isinstance(annotation, ast.BinOp):
        return is_mixed(annotation.left) or is_mixed(annotation.right)
    if not (isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple)):
        return False
    kinds = {ast.unparse(part) for part in annotation.slice.elts}
    return ast.unparse(annotation.value) == "tuple" and len(kinds - {"..."}) > 1


def shrink(found, table: frozenset[str], fault: str) -> None:
    """Fail for what is found and not in the table, and for what is in the table and no longer found."""
    report(
        [f"{name}: {fault}" for name in found if name not in table]
        + [f"{name}: the exception is no longer needed" for name in table if name not in found]
    )


def find_options(module: Module) -> Iterator[str]:
    """Yield the places of strings that name an option of the command line; whole commands may."""
    # The clients of packages have options of their own.
    if module.name.startswith(
        ("sfumato.cli", "sfumato.lab", "sfumato.workflows.report", "sfumato.models.parts.clients")
    ):
        return
    words = {id(node.value) for node in module.nodes if isinstance(node, ast.Expr)}
    for node in module.nodes:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or id(node) in words:
            continue
        named = re.search(r"(?<![\w-])--[a-z]{2,}", node.value)
        if named and "sfumato " not in node.value and node.value != "--model":
            yield f"{module.place(node)}: {node.value[:60]!r}"


def test_only_the_command_line_names_its_options():
    report([line for module in find_modules("src") for line in find_options(module)])
    assert list(find_options(make_module("sfumato.core.x", 'do = "Leave --size out."\n')))


def test_a_class_name_means_one_thing():
    found = find_repeated_classes(find_modules("src"))
    shrink(found, REPEATED_CLASSES, "two classes have this name")


def test_no_parameter_is_a_tuple_of_unlike_things():
    found = [place for module in find_modules("src") for place in find_mixed_tuples(module)]
    shrink(found, MIXED_TUPLES, "name each of its parts as a parameter")


def test_each_check_bites():
    text = (
        "class A: ...\nclass _A: ...\n"
        "def f(a: tuple[int, str], b: tuple[int, int], c: tuple[int, ...], *, d: list[tuple[int, X]],"
        " e: tuple[int, X] | None = None): ...\n"
    )
    module = make_module("m", text, "m.py")
    assert list(find_repeated_classes([module])) == ["A"]
    assert list(find_mixed_tuples(module)) == ["m.py:f(a)", "m.py:f(e)"]
