"""Fetch a checkpoint from a model hub, by the owner's and the model's name, and pass it through the gate.

Knows the hub's client and the folder of models. It is the only place that goes online, and only when a user asks;
rendering never does. Start reading at `download_checkpoint`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Never
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import constants, errors, get_session
from huggingface_hub.file_download import get_hf_file_metadata, http_get
from huggingface_hub.utils import build_hf_headers

from sfumato.canvas.formats.images import file_sha256
from sfumato.core.errors import ModelError, RequestError, StorageError
from sfumato.models.files.gate import check_checkpoint
from sfumato.models.files.gate_configs import COMPONENTS, NEVER_LOADED
from sfumato.models.files.library import INDEX, is_hub_name

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

HUB = "https://huggingface.co"
# Unfinished downloads wait here, below the folder of models, so that a second try goes on where the first stopped.
UNFINISHED = ".unfinished"
WAIT_S = 20
_WEIGHTS = re.compile(r"(?:diffusion_pytorch_model|model)(?P<variant>\.fp16)?(?:-\d+-of-\d+)?\.safetensors")
_INDEX = re.compile(r"(?:diffusion_pytorch_model|model)\.safetensors\.index(?P<variant>\.fp16)?\.json")
_TEXTS = re.compile(
    r"config\.json|scheduler_config\.json|tokenizer(?:_config)?\.json|special_tokens_map\.json|vocab\.json|merges\.txt"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
PART = ".part"
MOST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Download:
    """Say what was fetched: where it is now, which files, and the commit of the repository."""

    path: Path
    files: tuple[str, ...]
    commit: str


def download_checkpoint(name: str, folder: Path, *, file: str = "", revision: str = "") -> Download:
    """Fetch the safetensors and configurations of OWNER/NAME into a folder of models; progress goes to stderr.

    A diffusers repository becomes a folder, one with single files gives the one called `file`. What was fetched
    gets its place only after the gate has passed it. A download that was stopped goes on where it was.

    Raises:
        RequestError: the name is not OWNER/NAME, the target exists, or the repository holds several files.
        ModelError: the hub cannot be reached, has no such repository or file, or asks for a login.
        UnsafeFileError: the gate refuses what was fetched.
        StorageError: it cannot be written.
    """
    if not is_hub_name(name):
        raise RequestError("a model on a hub is named OWNER/NAME", got=name)
    with _online():
        return _download(name, folder, file, revision or None)


def _download(name: str, folder: Path, file: str, revision: str | None) -> Download:
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    with _plain_errors(name):
        said = huggingface_hub.HfApi(endpoint=endpoint).model_info(name, revision=revision, timeout=WAIT_S)
    names = [sibling.rfilename for sibling in said.siblings or ()]
    wanted = choose_files(names, file)
    whole = INDEX in wanted
    target = _find_place(folder) / (name.replace("/", "--") if whole else Path(wanted[0]).name)
    if target.exists():
        raise RequestError("the model is there already", got=str(target), do="Use it, or remove it first.")
    # Apart by commit: the second half of another version would not belong to the first.
    draft = folder / UNFINISHED / name.replace("/", "--") / (said.sha or "head")
    try:
        with _plain_errors(name):
            for one in wanted:
                _fetch_file(huggingface_hub.hf_hub_url(name, one, revision=said.sha, endpoint=endpoint), draft / one)
        made = draft if whole else draft / wanted[0]
        check_checkpoint(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)
        shutil.rmtree(draft.parent, ignore_errors=True)
    except OSError as error:
        raise StorageError("the model cannot be written", got=str(error), do="Check space and permissions.") from error
    return Download(target, tuple(wanted), said.sha or "")


def _fetch_file(url: str, target: Path) -> None:
    """Fetch one file, or the rest of it, and compare it with the digest that the hub names for weights."""
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    said = get_hf_file_metadata(url, timeout=WAIT_S)
    headers = build_hf_headers()
    if urlsplit(said.location).netloc != urlsplit(url).netloc:
        # Weights come from another host, which the user's token does not concern.
        headers.pop("authorization", None)
    part = target.with_name(target.name + PART)
    with part.open("ab") as file:
        http_get(
            said.location,
            file,
            resume_size=file.tell(),
            headers=headers,
            expected_size=said.size,
            displayed_filename=target.name,
        )
    if _SHA256.fullmatch(said.etag or "") and file_sha256(part) != said.etag:
        part.unlink()
        raise ModelError("a file arrived damaged", got=target.name, do="Try again; the file is fetched anew.")
    part.replace(target)


def choose_files(names: Sequence[str], file: str = "") -> list[str]:
    """Choose what to fetch of a repository: the parts of a diffusers folder, or one single file.

    Weights come in full size where there are such, else as fp16. Pickles, programs and parts that are never loaded
    stay away.

    Raises:
        ModelError: there is nothing that can be opened.
        RequestError: several single files, none of them chosen.
    """
    single = sorted(name for name in names if "/" not in name and name.endswith(".safetensors"))
    if file:
        if file not in names or not file.endswith(".safetensors"):
            raise RequestError("the repository has no such safetensors file", got=file, do=_list(single))
        return [file]
    if INDEX in names:
        parts = [part for part in COMPONENTS if part not in NEVER_LOADED]
        found = [name for part in parts for name in _choose_part([n for n in names if n.startswith(part + "/")])]
        if any(name.endswith(".safetensors") for name in found):
            return [INDEX, *found]
    if len(single) == 1:
        return single
    if single:
        raise RequestError("the repository holds several checkpoints", got=f"{len(single)} files", do=_list(single))
    do = "Look for another repository of this model; only safetensors files are fetched."
    raise ModelError("the repository holds no safetensors checkpoint", got=f"{len(names)} files", do=do)


def _choose_part(names: list[str]) -> list[str]:
    leaves = {name: name.partition("/")[2] for name in names}
    texts = [name for name, leaf in leaves.items() if _TEXTS.fullmatch(leaf)]
    weights = {
        name: match for name, leaf in leaves.items() if (match := _WEIGHTS.fullmatch(leaf) or _INDEX.fullmatch(leaf))
    }
    variant = None if any(match["variant"] is None for match in weights.values()) else ".fp16"
    return sorted((*texts, *(name for name, match in weights.items() if match["variant"] == variant)))


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"Choose one of: {', '.join(names[:MOST_SHOWN]) or 'none'}{more}."


def _find_place(folder: Path) -> Path:
    """Return the folder of checkpoints below a folder of models; A1111's name where it has none."""
    known = (folder / "Stable-diffusion", folder / "models" / "Stable-diffusion", folder / "checkpoints")
    return next((place for place in known if place.is_dir()), known[0])


@contextmanager
def _online() -> Generator[None]:
    """Let the hub's client go online for a while; everywhere else it must not."""
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def _plain_errors(name: str) -> Generator[None]:
    # The client names its transport differently from version to version.
    transport = sys.modules[type(get_session()).__module__.partition(".")[0]]

    def fail(what: str, error: Exception, do: str) -> Never:
        raise ModelError(what, got=name, do=do) from error

    try:
        yield
    except errors.GatedRepoError as error:
        fail("the hub gives this model only to those who accepted its licence", error, "Accept it, and set HF_TOKEN.")
    except errors.RepositoryNotFoundError as error:
        fail("the hub has no such model, or it is private", error, "Check the name; set HF_TOKEN for a private one.")
    except errors.HfHubHTTPError as error:
        fail(
            f"the hub answered {error.response.status_code}", error, "Try again; the download goes on where it stopped."
        )
    except (transport.HTTPError, errors.LocalEntryNotFoundError, ConnectionError) as error:
        fail("the hub cannot be reached", error, "Try again; the download goes on where it stopped.")
