"""Concept names are found as whole words, the longest first."""

from __future__ import annotations

import pytest

from sfumato.models.text.concepts import ConceptTable


@pytest.fixture
def table() -> ConceptTable:
    """Make a table of four names."""
    table = ConceptTable()
    table.replace({"cat": (1,), "cat-toy": (2, 3), "<my cat>": (4,), "v2.1": (5,)})
    return table


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a dog", ["a dog"]),
        ("a cat.", ["a ", (1,), "."]),
        ("cats, concat", ["cats, concat"]),
        ("CAT-Toy", [(2, 3)]),
        ("x<MY   cat>y", ["x", (4,), "y"]),
        ("v2.1, v231", [(5,), ", v231"]),
        ("embedding:cat", [(1,)]),
        ("", []),
    ],
)
def test_split(table: ConceptTable, text: str, parts: list[object]) -> None:
    assert table.split(text) == parts


def test_an_empty_table_finds_nothing(table: ConceptTable) -> None:
    table.replace({})
    assert table.split("a cat") == ["a cat"]
