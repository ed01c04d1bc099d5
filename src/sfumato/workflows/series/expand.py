"""Choices in a prompt become words: `{red|blue}` takes one, `__animal__` a line of `animal.txt`, a style its two texts.

Which one is decided by the seed, so the same words and seed give the same prompt. Knows texts and files; no request.
Start reading at `expand_prompt`, then `apply_styles`.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.core.errors import RequestError
from sfumato.core.files import expand_path
from sfumato.core.request import LONGEST_PROMPT_CHARACTERS
from sfumato.core.settings import load_settings
from sfumato.models.files.library import models_folder

DEEPEST, MOST_CHOICES = 16, 1000
MOST_LINES, MOST_STYLES, LONGEST_FILE_BYTES = 100_000, 10_000, 2**24
_WILDCARD = re.compile(r"__([A-Za-z0-9][A-Za-z0-9_./-]{0,120}?)__")
_PLACE = "{prompt}"


@dataclass(frozen=True, kw_only=True)
class Style:
    """A named style: texts that join a prompt and a negative prompt; `{prompt}` says where the prompt stands in it."""

    name: str
    prompt: str = ""
    negative: str = ""


def expand_prompt(prompt: str, seed: int) -> str:
    """Return a prompt with every choice made by a seed; one without choices comes back as it is.

    Raises:
        RequestError: brackets lie too deep, a wildcard has no file, names itself, or the text grows too long.
    """
    if "{" not in prompt and "__" not in prompt:
        return prompt
    return _Expansion(seed=seed).expand(prompt, ())


def list_wildcards() -> tuple[str, ...]:
    """Return the names of the wildcards in the folder of the setting `wildcards`."""
    folder = _find_folder()
    if folder is None:
        return ()
    return tuple(sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.txt")))


def load_styles() -> tuple[Style, ...]:
    """Return the named styles of the setting `styles`, else of `styles.csv` in the folder of models.

    Raises:
        RequestError: the file is there and cannot be read.
    """
    path = _find_styles()
    if path is None:
        return ()
    try:
        if path.stat().st_size > LONGEST_FILE_BYTES:
            raise RequestError("the file of styles is too large", got=path.name, do="Keep it below 16 MB.")
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError("the file of styles cannot be read", got=f"{path.name}: {type(error).__name__}") from error
    found = [
        Style(name=name, prompt=row.get("prompt") or "", negative=row.get("negative_prompt") or "")
        for row in rows[:MOST_STYLES]
        if (name := (row.get("name") or "").strip())
    ]
    return tuple(found)


def apply_styles(prompt: str, negative: str, names: tuple[str, ...]) -> tuple[str, str]:
    """Return a prompt and a negative prompt with named styles joined to them, in their order.

    Raises:
        RequestError: there is no such style.
    """
    if not names:
        return prompt, negative
    known = {style.name.casefold(): style for style in load_styles()}
    for name in names:
        style = known.get(name.casefold())
        if style is None:
            do = f"Styles: {', '.join(sorted(known)) or 'none; set SFUMATO_STYLES to a styles.csv'}."
            raise RequestError("there is no such style", got=name, do=do)
        prompt, negative = _join(style.prompt, prompt), _join(style.negative, negative)
    return prompt, negative


def _join(style: str, text: str) -> str:
    if _PLACE in style:
        return style.replace(_PLACE, text)
    return ", ".join(part for part in (text.strip(), style.strip()) if part)


@dataclass(eq=False, kw_only=True)
class _Expansion:
    """One prompt on its way; counts choices, each of which takes another number of the seed. A leaf."""

    seed: int
    count: int = 0
    files: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def expand(self, text: str, inside: tuple[str, ...]) -> str:
        if len(inside) > DEEPEST:
            raise RequestError("choices lie too deep in each other", got=" > ".join(inside[:4]))
        text = self._choose_brackets(text)
        parts, at = list[str](), 0
        for match in _WILDCARD.finditer(text):
            name = match[1]
            if name in inside:
                raise RequestError("a wildcard names itself", got=" > ".join((*inside, name)), do="Mend its file.")
            parts += [text[at : match.start()], self.expand(self._pick(self._read(name)), (*inside, name))]
            at = match.end()
        found = "".join([*parts, text[at:]])
        if len(found) > LONGEST_PROMPT_CHARACTERS:
            raise RequestError("the prompt grows too long by its choices", got=len(found), do="Use shorter lines.")
        return found

    def _choose_brackets(self, text: str) -> str:
        """Return a text with every `{a|b}` decided, from the inside out; brackets without a bar stay."""
        stack: list[list[list[str]]] = [[[]]]
        for part in re.split(r"([{}|])", text):
            if part == "{":
                if len(stack) > DEEPEST:
                    raise RequestError("choices lie too deep in each other", got=text[:60])
                stack.append([[]])
            elif part == "|" and len(stack) > 1:
                stack[-1].append([])
            elif part == "}" and len(stack) > 1:
                options = ["".join(option) for option in stack.pop()]
                stack[-1][-1].append(self._pick(tuple(options)) if len(options) > 1 else f"{{{options[0]}}}")
            else:
                stack[-1][-1].append(part)
        while len(stack) > 1:
            # A bracket without an end is text, as everywhere in the prompt language.
            options = "|".join("".join(option) for option in stack.pop())
            stack[-1][-1].append(f"{{{options}")
        return "".join(stack[0][0])

    def _pick(self, options: tuple[str, ...]) -> str:
        self.count += 1
        if self.count > MOST_CHOICES:
            raise RequestError("the prompt holds too many choices", got=self.count, do=f"Use at most {MOST_CHOICES}.")
        digest = hashlib.sha256(f"{self.seed}:{self.count}".encode()).digest()
        return options[int.from_bytes(digest[:8], "big") % len(options)]

    def _read(self, name: str) -> tuple[str, ...]:
        if name not in self.files:
            self.files[name] = _read_wildcard(name)
        return self.files[name]


def _find_folder() -> Path | None:
    text = load_settings().wildcards
    if not text:
        return None
    folder = expand_path(text, what="the folder of wildcards")
    return folder if folder.is_dir() else None


def _find_styles() -> Path | None:
    text = load_settings().styles
    if text:
        return expand_path(text, what="the file of styles")
    root = models_folder()
    path = root / "styles.csv" if root else None
    return path if path is not None and path.is_file() else None


def _read_wildcard(name: str) -> tuple[str, ...]:
    folder = _find_folder()
    do = "Set SFUMATO_WILDCARDS to a folder of .txt files." if folder is None else "See the names in that folder."
    if folder is None or ".." in name.split("/"):
        raise RequestError("there is no such wildcard", got=name, do=do)
    path = (folder / f"{name}.txt").resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise RequestError("there is no such wildcard", got=name, do=do)
    try:
        if path.stat().st_size > LONGEST_FILE_BYTES:
            raise RequestError("the file of a wildcard is too large", got=name, do="Keep it below 16 MB.")
        lines = path.read_text(encoding="utf-8-sig").splitlines()[:MOST_LINES]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError("the file of a wildcard cannot be read", got=name) from error
    found = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not found:
        raise RequestError("a wildcard has no lines", got=name, do="Write one choice a line.")
    return found
