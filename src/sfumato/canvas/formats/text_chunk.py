"""The texts of a picture (name -> text) as one line of plain ASCII, for formats that have one place for words.

Knows JSON. Start reading at `write_texts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast


def write_texts(texts: Mapping[str, str]) -> str:
    """Write the texts as one JSON object, ASCII only: TIFF allows no more, and XML no control characters."""
    return json.dumps(dict(texts), ensure_ascii=True)


def parse_texts(line: str) -> dict[str, str]:
    """Read texts back; what somebody else wrote there is no text of ours and gives an empty answer."""
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    pairs = cast("dict[object, object]", found).items()
    return {str(name): text for name, text in pairs if isinstance(text, str)}
