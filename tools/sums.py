"""Write the digests of everything shipped inside the package to `src/sfumato/data/SHA256SUMS`.

The format is that of `sha256sum`, so `cd src/sfumato/data && sha256sum -c SHA256SUMS` checks it too.
Of a folder with a list of its own (a bundle that training packed) it lists that list alone.
Knows only git's list of files. Start reading at `main`.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

DATA = Path(__file__).parent.parent / "src" / "sfumato" / "data"
LIST = DATA / "SHA256SUMS"


def main() -> None:
    """List every file that is tracked or about to be, in a stable order."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "."]
    names = subprocess.run(command, cwd=DATA, check=True, capture_output=True, text=True).stdout.split("\0")
    bundles = [path.parent for path in DATA.rglob("SHA256SUMS.txt")]
    files = sorted(name for name in names if name and name != LIST.name and (DATA / name).is_file())
    # Of a bundle only its list: whoever knows the list's digest knows all of it.
    files = [
        name
        for name in files
        if (DATA / name).name == "SHA256SUMS.txt" or not any((DATA / name).is_relative_to(one) for one in bundles)
    ]
    LIST.write_text("".join(f"{hashlib.sha256((DATA / name).read_bytes()).hexdigest()}  {name}\n" for name in files))


if __name__ == "__main__":
    main()
