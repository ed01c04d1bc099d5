"""Resolve `requirements.lock` from pyproject.toml: hashes of the files that our platforms use, no download addresses.

Knows only uv's command line. Start reading at `main`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADER = "# Made by `make lock` from pyproject.toml (extra: test). Do not edit.\n"
COMMAND = (
    "pip compile pyproject.toml --extra test --universal --python-version 3.11 --quiet "
    "--no-emit-index-url --no-emit-find-links --no-annotate --no-header"
)
# Wheels of these are not locked: two thirds of all hashes. There pip says that no hash fits.
OTHERS = re.compile(
    r"-(?:pp|graalpy)|-cp3(?:[0-9]|10)-cp|-cp3\d+t-|t-(?:linux|many|mac|win)|musllinux|i686|armv|ppc64|s390x|riscv|loongarch|"
    r"win32|win_arm64|ios_|android|emscripten|pyodide|wasm"
)
_HASH = re.compile(r" \\\n    --hash=sha256:([0-9a-f]{64})")


def main() -> None:
    """Write the lock, or leave it alone when it cannot be resolved."""
    uv = shutil.which("uv") or str(ROOT / ".venv-tools/bin/uv")
    with tempfile.TemporaryDirectory() as room:
        lock, names = Path(room) / "requirements.txt", Path(room) / "pylock.toml"
        _run(uv, f"{COMMAND} --generate-hashes --upgrade -o {lock}")
        _run(uv, f"{COMMAND} --format pylock.toml -c {lock} -o {names}")
        text = drop_hashes(lock.read_text(), tomllib.loads(names.read_text()))
    if "://" in text:
        sys.exit("the resolved lock names a download address; nothing was written")
    (ROOT / "requirements.lock").write_text(HEADER + text)


def drop_hashes(text: str, names: dict) -> str:
    """Leave out the hashes of wheels for `OTHERS`; `names` is the same resolution as a pylock, which names the files."""
    wheels = [wheel for package in names["packages"] for wheel in package.get("wheels", ())]
    dropped = {wheel["hashes"]["sha256"] for wheel in wheels if OTHERS.search(wheel["url"].rsplit("/", 1)[-1])}
    return _HASH.sub(lambda found: "" if found[1] in dropped else found[0], text)


def _run(uv: str, command: str) -> None:
    subprocess.run([uv, *command.split()], cwd=ROOT, check=True, capture_output=True)


if __name__ == "__main__":
    main()
