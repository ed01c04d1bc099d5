"""Measure the engine on the true shapes of SD 1.5 and SDXL, random weights, against diffusers' own call at full size.

Memory, time and resuming; the pictures mean nothing. Joins the rows of each checkpoint into a table and one line of JSON.
Start reading at `run_bench_shapes`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import find_cache_folder
from sfumato.core.geometry import PixelSize
from sfumato.core.validate import check_float, check_int
from sfumato.lab.true_shapes.process import GIB, Limits
from sfumato.lab.true_shapes.random_checkpoint import SHAPES, count_random_bytes, write_random_folder
from sfumato.lab.true_shapes.rows import DECODE, NOT_DONE, ROWS, WAYS, Found, Rows, Trying
from sfumato.lab.true_shapes.table import list_lines
from sfumato.models.autoencoder.estimate import find_offload_folder
from sfumato.models.describe import load_contract
from sfumato.models.hardware.policy import choose_policy, measure_free_bytes

# What is left of the free memory for the rest of the machine.
_FREE_SHARE = 0.9
_LARGEST_PX = 16384
# A week, and more memory than a machine has: what is beyond them is a slip of the finger.
_MOST_MINUTES, _MOST_GB = 7 * 24 * 60, 1 << 20
OnRow = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True)
class ShapesAsked:
    """Say what to measure: random checkpoints by shape (none named: all), or folders in their place; what size, how much.

    `most_gb` bounds every process (None: nine tenths of what is free), `budget_gb` is the budget of our render, `minutes`
    bounds each process, `work` keeps checkpoints and what was measured (None: nothing is kept).
    """

    shapes: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    size_px: int = 2048
    steps: int = 4
    dtype: str = "auto"
    device: str = "auto"
    rows: tuple[str, ...] = ROWS
    minutes: float = 60.0
    most_gb: float | None = None
    budget_gb: float | None = None
    work: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ShapesBench:
    """What `sfumato bench shapes` found, by checkpoint and row."""

    found: dict[str, dict[str, Any]]
    machine: str
    command: str

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        kept = {"bench": "shapes", "command": self.command, "machine": self.machine, "found": self.found}
        return json.dumps(kept, allow_nan=False)

    def to_text(self) -> str:
        """Write the tables for people."""
        return "\n".join(line for name, rows in self.found.items() for line in [*list_lines(name, rows), ""]).rstrip()


def run_bench_shapes(asked: ShapesAsked, *, on_row: OnRow | None = None) -> ShapesBench:
    """Measure every row of every checkpoint, each in a process of its own; what does not fit is a row that says so.

    Raises:
        RequestError: a shape, row, size or number of steps is wrong, a link in the place of a checkpoint leads nowhere,
            or the system does not tell a process's peak.
        StorageError: there is no room for a checkpoint.
        ModelError: a folder is no checkpoint.
    """
    _check(asked)
    policy = choose_policy(asked.device, asked.dtype)
    dtype = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[policy.unet_dtype]
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as opened:
        folder = asked.work or Path(opened.enter_context(_make_folder()))
        folder.mkdir(parents=True, exist_ok=True)
        for name, checkpoint in _list_checkpoints(asked, folder):
            trying = Trying(
                name=name,
                folder=checkpoint(),
                size_px=asked.size_px,
                steps=asked.steps,
                dtype=dtype,
                device=str(policy.device),
                budget_bytes=_choose_budget(asked, policy.device),
            )
            found[name] = _run_rows(trying, asked, folder, policy.device, on_row)
    machine = f"torch {torch.__version__}, {policy.device}, {torch.get_num_threads()} threads, {dtype}"
    return ShapesBench(found=found, machine=machine, command=_write_command(asked))


def _make_folder() -> tempfile.TemporaryDirectory[str]:
    # On the disk where the autoencoder spills too: /tmp is memory on some systems.
    return tempfile.TemporaryDirectory(prefix="sfumato-shapes-", dir=find_offload_folder())


def _run_rows(
    trying: Trying, asked: ShapesAsked, folder: Path, device: torch.device, on_row: OnRow | None
) -> dict[str, Any]:
    contract = load_contract(trying.folder)
    size = PixelSize(trying.size_px, trying.size_px)
    size.to_latent(contract.factor)
    done: dict[str, Any] = {"size": str(size), "native": str(contract.native), "steps": trying.steps}
    cache = _make_cache(folder / f"{trying.name}-cache")

    def run(row: str) -> Found:
        if on_row:
            on_row(trying.name, row)
        return _open_rows(trying, asked, folder, device, cache).run(row)

    for row in asked.rows:
        if row != DECODE:
            done[row] = run(row)
            continue
        done[row] = {way: run(f"{DECODE} {way} {trying.size_px}") for way in WAYS}
        rows = _open_rows(trying, asked, folder, device, cache)
        # Free memory may have changed since: what was decoded whole is what counts.
        whole = NOT_DONE not in done[row]["whole"]
        side = trying.size_px if whole else rows.find_largest(contract)
        done["difference"] = {"side_px": side}
        if side and all(NOT_DONE not in run(f"{DECODE} {way} {side}") for way in WAYS):
            done["difference"] |= rows.compare(side)
    return done


def _open_rows(trying: Trying, asked: ShapesAsked, folder: Path, device: torch.device, cache: Path) -> Rows:
    """Look at what is free now, before every row."""
    host = _limit(asked.most_gb, torch.device("cpu"))
    there = host if device.type == "cpu" else int(measure_free_bytes(device) * _FREE_SHARE)
    limits = Limits(most_bytes=host, device_bytes=there, most_s=60 * asked.minutes, cache=cache)
    return Rows(trying, folder, limits)


def _limit(most_gb: float | None, device: torch.device) -> int:
    free = int(measure_free_bytes(device) * _FREE_SHARE)
    return free if most_gb is None else min(free, int(most_gb * GIB))


def _choose_budget(asked: ShapesAsked, device: torch.device) -> int | None:
    """Return the budget of our render; on a CPU a little less than any process may take, where nobody gave one."""
    if asked.budget_gb is None and (asked.most_gb is None or device.type != "cpu"):
        return None
    most = asked.budget_gb if asked.budget_gb is not None else _FREE_SHARE * (asked.most_gb or 0.0)
    return int(most * GIB)


def _make_cache(cache: Path) -> Path:
    """Make a place for what the trials learn of this machine, beginning with the rates of its processor."""
    (cache / "sfumato").mkdir(parents=True, exist_ok=True)
    for known in find_cache_folder().glob("rates-*.json"):
        shutil.copy(known, cache / "sfumato")
    return cache


def _list_checkpoints(asked: ShapesAsked, work: Path) -> list[tuple[str, Callable[[], Path]]]:
    """List (name, what returns its folder): given ones, else random ones that are written when their turn comes.

    A link is followed here, since whoever opens a checkpoint opens none.
    """
    if asked.folders:
        return [(folder.name, folder.resolve) for folder in asked.folders]
    shapes = asked.shapes or SHAPES
    return [(shape, lambda shape=shape: _write_shape(work / shape, shape)) for shape in shapes]


def _write_shape(link: Path, shape: str) -> Path:
    folder = link.resolve()
    if link.is_symlink() and not folder.is_dir():
        do = "Let it lead to a checkpoint, or remove it."
        raise RequestError(f"the link in the place of {shape} leads nowhere", got=f"{link} to {folder}", do=do)
    if not (folder / "model_index.json").is_file():
        needed, free = count_random_bytes(shape), shutil.disk_usage(folder.parent).free
        if needed > free:
            got = f"{needed / GIB:.1f} GiB needed, {free / GIB:.1f} free in {folder.parent}"
            raise StorageError(f"there is no room for a checkpoint of {shape}", got=got, do="Give another --work.")
    return write_random_folder(folder, shape)


def _check(asked: ShapesAsked) -> None:
    _check_names(asked)
    for row in asked.rows:
        if row not in ROWS:
            raise RequestError(f"a row is one of {', '.join(ROWS)}", got=row)
    check_int("the side", asked.size_px, low=64, high=_LARGEST_PX)
    check_int("the number of steps", asked.steps, low=2, high=1000)
    for option, value, most in (
        ("--minutes", asked.minutes, _MOST_MINUTES),
        ("--most-gb", asked.most_gb, _MOST_GB),
        ("--budget-gb", asked.budget_gb, _MOST_GB),
    ):
        if value is not None:
            check_float(option, value, low=0.001, high=most)
    if not Path("/proc/self/status").exists():
        raise RequestError("only Linux tells the peak memory of a process", got=sys.platform)


def _check_names(asked: ShapesAsked) -> None:
    for shape in asked.shapes:
        if shape not in SHAPES:
            raise RequestError(f"a shape is one of {', '.join(SHAPES)}", got=shape)
    if asked.shapes and asked.folders:
        got = f"--shapes {','.join(asked.shapes)} beside --model"
        raise RequestError("folders take the place of shapes", got=got, do="Leave one of them out.")
    names = [folder.name for folder in asked.folders]
    # What is measured and kept goes by the name.
    if len(set(names)) < len(names):
        got = ", ".join(str(folder) for folder in asked.folders)
        raise RequestError("two folders have the same name", got=got, do="Rename one, or measure them one by one.")


def _write_command(asked: ShapesAsked) -> str:
    words = ["sfumato bench shapes"]
    words += [f"--model {folder}" for folder in asked.folders] or [f"--shapes {','.join(asked.shapes or SHAPES)}"]
    words += [f"--size {asked.size_px} --steps {asked.steps} --rows {','.join(asked.rows)}"]
    words += [f"--dtype {asked.dtype} --device {asked.device}"]
    words += [f"--most-gb {asked.most_gb:g}"] if asked.most_gb is not None else []
    words += [f"--budget-gb {asked.budget_gb:g}"] if asked.budget_gb is not None else []
    return " ".join(words)
