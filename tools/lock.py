"""Resolve `requirements.lock` from pyproject.toml: every platform, hashes, no download addresses.

Knows only uv's command line. Start reading at `main`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADER = "# Made by `make lock` from pyproject.toml (extra: test). Do not edit.\n"
COMMAND = (
    "pip compile pyproject.toml --extra test --universal --generate-hashes --python-version 3.11 --quiet --upgrade "
    "--no-emit-index-url --no-emit-find-links --no-annotate --no-header"
)


def main() -> None:
    """Write the lock, or leave it alone when it cannot be resolved."""
    uv = shutil.which("uv") or str(ROOT / ".venv-tools/bin/uv")
    found = subprocess.run([uv, *COMMAND.split()], cwd=ROOT, check=True, capture_output=True, text=True)
    if "://" in found.stdout:
        sys.exit("the resolved lock names a download address; nothing was written")
    (ROOT / "requirements.lock").write_text(HEADER + found.stdout)


if __name__ == "__main__":
    main()
