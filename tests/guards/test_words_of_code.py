"""A class name means one thing, and a parameter holds one thing.

Each table of exceptions may only shrink: an entry that is no longer needed fails. Start reading at
`find_repeated_classes` and `find_mixed_tuples`.
"""

import ast
from collections.abc import Iterator

from guards.source import Module, find_modules, make_module, report, walk_functions

# Class names that still mean two things; none may be added.
REPEATED_CLASSES = frozenset(
    {
        "Description",
        "Strip",
        "Level",
        "Layout",
        "Entry",
        "Part",
        "Span",
        "Piece",
        "Reader",
        "Settings",
        "Compared",
        "Place",
        "Map",
        "Program",
        "Stage",
        "Held",
        "Known",
        "Budget",
        "Scene",
        "Plan",
        "Run",
    }
)
# file:function(parameter) of those that still hold unlike things; none may be added.
MIXED_TUPLES = frozenset(
    {
        "src/sfumato/canvas/formats/tiff_directory.py:_read_value(shape)",
        "src/sfumato/cli/read_options.py:_make_size(given)",
        "src/sfumato/cli/read_options.py:_make_method(usual)",
        "src/sfumato/cli/read_options.py:_base_method(usual)",
        "src/sfumato/lab/bench/forecast.py:render_apart(what)",
        "src/sfumato/lab/true_shapes/render_process.py:_look_once(made)",
        "src/sfumato/render/cohesive/certainty.py:measure_predictability(base)",
        "src/sfumato/render/cohesive/finish.py:hold_colours(against)",
        "src/sfumato/render/cohesive/level.py:Level.run(given)",
        "src/sfumato/render/cohesive/level.py:Level.walk(given)",
        "src/sfumato/render/cohesive/reference.py:write_reference(given)",
        "src/sfumato/render/cohesive/run.py:run_cohesive(given)",
        "src/sfumato/render/cohesive/run.py:_run_base(given)",
        "src/sfumato/render/cohesive/windows.py:WindowRows.add_row(at)",
        "src/sfumato/render/engine.py:_run_stage(given)",
        "src/sfumato/render/layout.py:_lay_side(wanted)",
        "src/sfumato/render/redraw/run.py:_draw(drawn)",
        "src/sfumato/render/redraw/run.py:_draw(known)",
        "src/sfumato/workflows/files/resume.py:open_work(run)",
        "src/sfumato/workflows/forecast/plan_request.py:make_plan(on)",
        "src/sfumato/workflows/self_check/redraw_faults.py:look_again(made)",
        "src/sfumato/workflows/self_check/redraw_faults.py:_try(seen)",
        "src/sfumato/world/ink.py:Ink.tube(bone)",
        "src/sfumato/world/ink.py:_make_tube_shading(bone)",
        "src/sfumato/world/people/draw_face.py:_draw_nose(where)",
        "src/sfumato/world/people/draw_hand.py:_draw_digit(where)",
        "src/sfumato/world/stream.py:_draw_hand_view(what)",
    }
)


def find_repeated_classes(modules) -> dict[str, list[str]]:
    """Return every class name that is defined more than once, with its places."""
    places: dict[str, list[str]] = {}
    for module in modules:
        for node in ast.walk(module.tree):
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
