"""Every module opens by saying what it is, and ours also where to start reading."""

import ast

from guards.source import find_modules, make_module, report

# Below this a file is read faster than a pointer into it.
SHORTEST_WITH_POINTER_LINES = 60
FEWEST_CHARACTERS = 20


def missing_words(module) -> list[str]:
    words = ast.get_docstring(module.tree) or ""
    if len(words) < FEWEST_CHARACTERS:
        return [f"{module.path}:1: the module does not say what it is"]
    if not words.split("\n")[0].rstrip().endswith((".", "?", ":", ";", ",")) and "\n" not in words:
        return [f"{module.path}:1: the first line is no sentence"]
    return []


def missing_pointers(module) -> list[str]:
    words = ast.get_docstring(module.tree) or ""
    if module.text.count("\n") >= SHORTEST_WITH_POINTER_LINES and "tart reading" not in " ".join(words.split()):
        return [f"{module.path}:1: the module does not say where to start reading"]
    return []


def test_every_module_says_what_it_is():
    modules = find_modules("src") + find_modules("tests") + find_modules("tools")
    report([line for module in modules for line in missing_words(module)])


def test_every_longer_module_says_where_to_start_reading():
    report([line for module in find_modules("src") for line in missing_pointers(module)])


def test_each_check_bites():
    assert missing_words(make_module("m", "x = 1\n"))
    assert missing_words(make_module("m", '"""Just some words without an end"""\n'))
    assert missing_pointers(make_module("m", '"""Sizes and boxes."""\n' + "\n" * 100))
    assert not missing_pointers(make_module("m", '"""Sizes.\n\nStart\nreading at `A`."""\n' + "\n" * 100))
