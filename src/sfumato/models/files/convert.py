"""Turn a pickle checkpoint (.ckpt, .pt, .pth, .bin) into safetensors, in a child that can do no harm.

Knows processes and files; the pickle itself is only ever opened by `convert_child`, which has no
network and no way to write but to the descriptor it is given. Start reading at `convert_pickle`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.core.errors import ModelError, RequestError, StorageError, UnsafeFileError
from sfumato.models.files.gate import PICKLES
from sfumato.models.files.header import open_plain_file, read_header, refuse

CHILD = Path(__file__).with_name("convert_child.py")
LONGEST_SECONDS = 1800
LONGEST_ANSWER_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Converted:
    """Say what a conversion made: the file, its tensors, what was left out, what held the child back.

    `unguarded` names what this computer could not keep the child from, in words.
    """

    path: Path
    tensors: int
    skipped: tuple[str, ...]
    held: tuple[str, ...]
    unguarded: tuple[str, ...] = ()


def convert_pickle(source: Path | str, target: Path | str | None = None, *, replace: bool = False) -> Converted:
    """Convert `source` to `target` (default: the same name with .safetensors; of a `pytorch_model`, `model`).

    The result passes the gate's header check before it gets its name; an existing file is only
    replaced when asked.

    Raises:
        RequestError: the suffix is no pickle's, or the target exists.
        ModelError: there is no such file, or the child failed.
        UnsafeFileError: the file is not plain weights; nothing of it was executed.
        StorageError: the target cannot be written.
    """
    source = Path(source)
    target = Path(target) if target is not None else name_target(source)
    _check_request(source, target, replace=replace)
    os.close(open_plain_file(source))
    try:
        # Closed before it is renamed; removed if anything fails.
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=".converting-", suffix=".safetensors", delete=False
        ) as file:
            draft = Path(file.name)
            answer = _run_child_and_clean(source, file.fileno(), draft)
            os.fsync(file.fileno())
        return _publish(draft, target, answer)
    except OSError as error:
        raise StorageError(
            "the converted file cannot be written", got=str(error), do="Check space and permissions."
        ) from error


def name_target(source: Path) -> Path:
    """Return where the weights of a pickle belong: beside it, under the name that loaders look for."""
    target = source.with_suffix(".safetensors")
    # transformers gives its pickles another name than its safetensors.
    old, new = "pytorch_model", "model"
    return target.with_name(new + target.name.removeprefix(old)) if target.name.startswith(old) else target


def _check_request(source: Path, target: Path, *, replace: bool) -> None:
    if source.suffix.lower() not in PICKLES:
        raise RequestError(
            "only pickle checkpoints are converted", got=source.name, do=f"One of {', '.join(sorted(PICKLES))}."
        )
    if target.suffix != ".safetensors":
        raise RequestError("the result is a .safetensors file", got=target.name)
    if target.exists() and not replace:
        raise RequestError("the target exists", got=str(target), do="Give another --out, or remove it.")


def _run_child_and_clean(source: Path, descriptor: int, draft: Path) -> dict[str, Any]:
    try:
        return _run_child(source, descriptor)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _run_child(source: Path, descriptor: int) -> dict[str, Any]:
    # -I: no environment, no user packages, no current folder; -B: nothing is written beside modules.
    command = [sys.executable, "-I", "-B", "-W", "ignore", str(CHILD), str(source.absolute()), str(descriptor)]
    try:
        # A list of our own program and a path that was checked; no shell.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env={"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            pass_fds=(descriptor,),
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError("the conversion took too long", got=f"{LONGEST_SECONDS} s") from error
    answer = _read_answer(done.stdout)
    if answer is None:
        raise ModelError("the conversion failed", got=_name_failure(done), do="Is the file complete?")
    if "refused" in answer:
        refuse(source, "it is not plain weights", got=answer["refused"], do="Get a .safetensors file of this model.")
    return answer


def _name_failure(done: subprocess.CompletedProcess[bytes]) -> str:
    last = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
    # Torch's own words may advise to read the file unsafely.
    return f"exit {done.returncode}" + ("" if "weights_only" in last else f": {last[:200]}")


def _read_answer(raw: bytes) -> dict[str, Any] | None:
    if len(raw) > LONGEST_ANSWER_BYTES:
        return None
    try:
        answer = json.loads(raw.decode("utf-8").strip().rpartition("\n")[2])
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _publish(draft: Path, target: Path, answer: dict[str, Any]) -> Converted:
    try:
        # The child read hostile input: its output is checked like any stranger's file.
        header = read_header(draft)
        draft.chmod(0o644)
        draft.replace(target)
        _sync_folder(target.parent)
    except (UnsafeFileError, OSError):
        draft.unlink(missing_ok=True)
        raise
    skipped, held, unguarded = (tuple(str(word) for word in answer.get(key, ())) for key in ("skipped", "held", "open"))
    return Converted(target, len(header.tensors), skipped, held, unguarded)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
