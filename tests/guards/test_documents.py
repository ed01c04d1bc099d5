"""What the documents show works: blocks run, links lead somewhere, unmarked Python at least parses."""

import ast
import os
import re

import pytest

from guards import documents
from guards.source import ROOT, find_modules, report

LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)(?:#[^)]*)?\)")
RUN = [(page, [block for block in documents.find_blocks(page) if block.runs]) for page in documents.find_pages()]


@pytest.mark.parametrize(
    ("page", "blocks"), [pair for pair in RUN if pair[1]], ids=[pair[0].name for pair in RUN if pair[1]]
)
def test_blocks_run(page, blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__page__"}
    for block in blocks:
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), names)
            continue
        assert block.language == "console", f"{block.place}: {block.language} cannot be run"
        for command, expected in documents.split_console(block.text):
            printed = documents.run_command(command, tmp_path)
            assert documents.matches(expected, printed), f"{block.place}: {command} printed\n{printed}"


def test_python_that_does_not_run_parses():
    broken = []
    for page in documents.find_pages():
        for block in documents.find_blocks(page):
            try:
                ast.parse(block.text if block.language == "python" else "")
            except SyntaxError as error:
                broken.append(f"{block.place}: {error}")
    report(broken)


def test_links_inside_the_project_lead_somewhere():
    report(
        [
            f"{page.relative_to(ROOT)}: {target}"
            for page in documents.find_pages()
            for target in LINK.findall(page.read_text())
            if not (page.parent / target).exists()
        ]
    )


def test_pages_named_in_the_code_exist():
    report(
        [
            f"{module.path}: {page}"
            for module in find_modules("src") + find_modules("tests")
            for page in re.findall(r"docs/[\w/-]+\.md", module.text)
            if not (ROOT / page).exists()
        ]
    )


def test_blocks_are_found_and_split(tmp_path):
    text = "x\n```python run\na = 1\n```\n```console run\n$ echo hi\nhi\n$ echo a b\na …\n```\n```\nplain\n```\n"
    first, second, third = documents.find_blocks_in(text, "p.md")
    assert (first.place, first.runs, third.runs) == ("p.md:2", True, False)
    for command, expected in documents.split_console(second.text):
        assert documents.matches(expected, documents.run_command(command, tmp_path))
    assert not documents.matches("hi", "ho")
    with pytest.raises(AssertionError, match="exit 3"):
        documents.run_command("exit 3", tmp_path)
    assert os.access(tmp_path / ".bin" / "sfumato", os.X_OK)
