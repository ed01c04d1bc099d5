"""What a request names of weights and words for parts of a picture: LoRA files, concepts, and regions with own prompts.

Start reading at `LoraRef`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.core.prompt.region import AUTO, CELLS, check_region
from sfumato.core.validate import check_float, check_text

LONGEST_PROMPT_CHARACTERS = 20_000
LONGEST_PATH_CHARACTERS = 4096
# Each region is one more pass through the attention layers.
MOST_REGIONS = 16

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraRef:
    """A LoRA file and the weight it is attached with."""

    path: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_text("a LoRA path", self.path, most=LONGEST_PATH_CHARACTERS, empty=False)
        check_float("a LoRA weight", self.weight, low=-10.0, high=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptRef:
    """A concept's folder and the digest of what the model learned of it; `weight` is the strength of its LoRA.

    `region` is the part of the picture where it acts (see `core.prompt.region`), "" the whole of it; `words` are the
    prompt of that part, "" the picture's own.
    """

    path: str
    sha256: str
    weight: float = 1.0
    region: str = ""
    words: str = ""

    def __post_init__(self) -> None:
        check_region(self.region)
        check_text("the words of a region", self.words, most=LONGEST_PROMPT_CHARACTERS)
        if self.words and self.region in ("", AUTO):
            raise RequestError("words for a region need a region", got=self.region, do="Name a side or a box.")
        check_file("the concept", self.path, self.sha256)
        check_float("the weight of a concept", self.weight, low=-10.0, high=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRegion:
    """A part of the picture and what is drawn there: `region` is a side, a box in shares, or cells of a mask."""

    region: str
    words: str

    def __post_init__(self) -> None:
        check_text("the words of a region", self.words, most=LONGEST_PROMPT_CHARACTERS, empty=False)
        if self.region in ("", AUTO):
            raise RequestError("a region of a prompt is a side or a box", got=self.region, do="Say left, or 0,0,0.5,1.")
        check_region(self.region)

    @classmethod
    def parse(cls, text: str) -> PromptRegion:
        """Read `REGION:WORDS`.

        Raises:
            RequestError: it has no words, or the region is none.
        """
        # The cells of a mask have a colon of their own.
        cells = CELLS if text.startswith(CELLS) else ""
        region, _, words = text.removeprefix(cells).partition(":")
        return cls(region=cells + region.strip(), words=words.strip())


def check_file(what: str, path: str, sha256: str) -> None:
    """Check how a request names a file.

    Raises:
        RequestError: no path, or no digest.
    """
    check_text(f"the path of {what}", path, most=LONGEST_PATH_CHARACTERS, empty=False)
    # The digest, not the path, is what makes a request mean the same pixels on another day.
    if not _SHA256.fullmatch(sha256):
        raise RequestError(f"the sha256 of {what} is 64 lower-case hex digits", got=sha256)
