"""The one table of settings: what may differ between machines without changing what a request means.

Each field of `Settings` is a row: name, type, default, range, help; its environment variable is
`SFUMATO_` and the name in capitals. Nothing here changes pixels (that is the request's business).
Start reading at `Settings`; `load_settings` fills it from the environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sfumato.core.errors import RequestError
from sfumato.core.validate import check_float, check_int, check_text

PREFIX = "SFUMATO_"
# 16384 x 16384 decodes to 1 GB of RGBA: the most that one picture may cost unless the owner of the machine says otherwise.
_LARGEST_PICTURE_PIXELS = 2**28
# 8192 x 8192: an hour of work for a GPU, and what nobody asks of a shared server by mistake.
_LARGEST_RENDER_PIXELS = 2**26
_LONGEST_TEXT_CHARACTERS = 4096
LARGEST_BUDGET_GB = 1e6
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the table says about one setting besides its name, type and default."""

    words: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def _row(default: Any, words: str, **more: Any) -> Any:
    return dataclasses.field(default=default, metadata={"row": Row(words=words, **more)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force; every field carries its row of the table."""

    device: str = _row("auto", "Where models run: auto, cpu, cuda, cuda:N or mps.")
    dtype: str = _row(
        "auto",
        "Number format of the denoiser; auto picks what this machine computes fastest.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    budget_gb: float = _row(
        0.0, "Memory (GB) that a render may use; 0 takes what is free when it starts.", low=0.0, high=LARGEST_BUDGET_GB
    )
    threads: int = _row(0, "CPU threads that models use; 0 takes the cores this process may run on.", low=0, high=1024)
    models: str = _row(
        "",
        "Folder of models in the layout of A1111 or ComfyUI, or flat: checkpoints, autoencoders, LoRAs, embeddings and "
        "upscalers in it are found by short name.",
    )
    lora_folder: str = _row("", "Another folder in which LoRAs are found by name, as `<lora:name:weight>` in a prompt.")
    wildcards: str = _row("", "Folder of `.txt` files with a choice a line, for `__name__` in a prompt.")
    styles: str = _row("", "File of named styles, `styles.csv` of A1111; empty looks for it in the folder of models.")
    concepts: str = _row(
        "",
        "Folder of concepts, found by name; left out: `concepts` beside the folder of models, else "
        "`~/.local/share/sfumato/concepts`.",
    )
    parts: str = _row(
        "", "Folder of fetched parts (pretrained weights of others); empty means `sfumato/parts` in the user's cache."
    )
    max_picture_pixels: int = _row(
        _LARGEST_PICTURE_PIXELS, "Pixels that a picture from outside may have.", low=1, high=2**40
    )
    safety: str = _row(
        "off",
        "What becomes of pictures that the safety filter finds sexual: off looks at none, flag says so, withhold delivers a "
        "labelled placeholder.",
        choices=("off", "flag", "withhold"),
    )
    state: str = _row(
        "", "Folder in which the server keeps its queue and pictures; empty takes ~/.local/state/sfumato."
    )
    token: str = _row("", "Password of the server; a public address needs one. Empty asks for none.")
    max_render_pixels: int = _row(
        _LARGEST_RENDER_PIXELS,
        "Pixels that one picture may have that a client of the server asks for.",
        low=1,
        high=2**40,
    )
    max_body_mb: int = _row(64, "Size (MB) that one message to the server may have.", low=1, high=4096)
    max_models: int = _row(2, "Models that the server's worker keeps loaded where memory allows.", low=1, high=64)
    job_log: bool = _row(False, "Write a line of JSON for every event of a job to stderr, without prompts.")
    database: str = _row(
        "",
        "Address of a PostgreSQL database for the queue, postgresql+psycopg://…; empty takes SQLite in the state folder.",
    )
    max_queued: int = _row(1000, "Jobs that may wait in the server's queue.", low=1, high=1_000_000)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_value(field.name, getattr(self, field.name), type(field.default), find_row(field.name))


def find_row(name: str) -> Row:
    """Return the row of a setting."""
    return next(cast("Row", field.metadata["row"]) for field in dataclasses.fields(Settings) if field.name == name)


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables (the process's own by default).

    Raises:
        RequestError: a variable that starts with SFUMATO_ names no setting, or its value does not fit.
    """
    variables = os.environ if environment is None else environment
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Settings)}
    found: dict[str, Any] = {}
    for variable, text in variables.items():
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            if name not in kinds:
                raise RequestError("no setting has this name", got=variable, do=_suggest(name, list(kinds)))
            found[name] = _parse(variable, text.strip(), kinds[name])
    return Settings(**found)


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {PREFIX}{near[0].upper()}?" if near else f"Settings: {', '.join(known)}."


def _parse(variable: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise RequestError(f"{variable} is on or off", got=text)
        return text.lower() in _TRUE
    try:
        return kind(text)
    except ValueError as error:
        raise RequestError(f"{variable} is a number", got=text) from error


def _check_value(name: str, value: object, kind: type, row: Row) -> None:
    what = f"the setting {name}"
    if row.choices and value not in row.choices:
        raise RequestError(f"{what} is one of {', '.join(row.choices)}", got=value)
    if kind is str:
        check_text(what, value, most=_LONGEST_TEXT_CHARACTERS)
    elif row.low is not None and row.high is not None:
        check = check_int if kind is int else check_float
        check(what, value, low=cast("int", row.low), high=cast("int", row.high))
