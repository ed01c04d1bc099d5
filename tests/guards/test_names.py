"""Names say what a thing is: no word that could name anything."""

import ast
import re

from guards.source import Function, find_modules, make_module, report

EMPTY_WORDS = {
    "utils", "util", "helpers", "helper", "misc", "common", "manager", "handler", "info", "stuff", "foo", "impl"
}  # fmt: skip
# `data` names the folder of shipped weights, nothing that has code.
EMPTY_MODULE_WORDS = EMPTY_WORDS | {"data", "tools", "lib"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words_of(name: str) -> set[str]:
    return {word.lower() for word in WORD.findall(name)}


def empty_names(module) -> list[str]:
    last = module.name.rsplit(".", 1)[-1]
    found = [f"{module.path}:1: module {last}"] if words_of(last) & EMPTY_MODULE_WORDS else []
    named = [node for node in module.nodes if isinstance(node, Function | ast.ClassDef)]
    # A test's name is a sentence, and sentences need all words.
    named = [node for node in named if not node.name.startswith("test_")]
    return found + [f"{module.place(node)}: {node.name}" for node in named if words_of(node.name) & EMPTY_WORDS]


def soft_checks(module) -> list[str]:
    """A check_ raises or returns what it checked; one that answers yes or no would be forgotten by a caller."""
    return [
        f"{module.place(node)}: {node.name} returns {ast.unparse(node.returns)}, but a check_ raises"
        for node in module.nodes
        if isinstance(node, Function) and node.name.startswith("check_") and node.returns is not None
        if "bool" in ast.unparse(node.returns) or "| None" in ast.unparse(node.returns)
    ]


def test_names_say_what_a_thing_is():
    modules = find_modules("src") + find_modules("tests")
    report([line for module in modules for line in empty_names(module)])


def test_checks_raise():
    report([line for module in find_modules("src") for line in soft_checks(module)])


def test_each_check_bites():
    text = "class JobManager: ...\ndef get_info(): ...\ndef informed(): ...\ndef check_x() -> bool: ...\n"
    module = make_module("sfumato.core.image_utils", text, "m.py")
    assert empty_names(module) == ["m.py:1: module image_utils", "m.py:1: JobManager", "m.py:2: get_info"]
    assert soft_checks(module) == ["m.py:4: check_x returns bool, but a check_ raises"]
