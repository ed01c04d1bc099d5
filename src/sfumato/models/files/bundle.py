"""Tell whether the files of `mini` are those that the package shipped.

Knows lists of digests, no network. Start reading at `check_bundle`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from sfumato.core.errors import SfumatoError
from sfumato.core.files import file_sha256

# "changed": whole, but packed by somebody else's training. "damaged": not as its own list says.
Bundle = Literal["whole", "absent", "changed", "damaged"]
# The bundle's own list, and the package's list, which holds the digest of the first.
BUNDLE_LIST, PACKAGE_LIST = "SHA256SUMS.txt", "SHA256SUMS"


def check_bundle(folder: Path | None = None) -> Bundle:
    """Compare the files of `mini` with their digests, and their list with the package's.

    Cost: reads 55 MB, about 50 ms.
    """
    folder = folder or Path(str(resources.files("sfumato"))) / "data" / "mini"
    if not folder.is_dir():
        return "absent"
    listed = _read_list(folder / BUNDLE_LIST)
    if not listed or any(_digest(folder / name) != digest for name, digest in listed.items()):
        return "damaged"
    shipped = _read_list(folder.parent / PACKAGE_LIST)
    own = f"{folder.name}/{BUNDLE_LIST}"
    return "whole" if shipped.get(own) == _digest(folder / BUNDLE_LIST) else "changed"


def describe_bundle(found: Bundle) -> str:
    """Say in a sentence what is wrong with the files of `mini`; nothing where they are as shipped."""
    if found == "changed":
        return "mini is not the model that was shipped: its files were packed by another training."
    if found == "damaged":
        return "mini's files differ from their digests. Install the package again."
    return ""


def _read_list(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    rows = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {row[1]: row[0] for row in rows if len(row) == 2}


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except (OSError, SfumatoError):
        return ""
