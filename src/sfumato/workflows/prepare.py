"""From a request to a job: everything is resolved and refused here, before a network is imported or loaded.

Start reading at `prepare`.
"""

from __future__ import annotations

import functools
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.canvas.formats.images import read_request
from sfumato.canvas.formats.save import PICTURE_SUFFIXES, PYRAMID_SUFFIXES
from sfumato.canvas.workspace.disk_workspace import find_resumable, name_work, read_identity
from sfumato.canvas.workspace.fingerprint import list_differences
from sfumato.core.errors import RequestError, SfumatoError, StorageError
from sfumato.core.files import check_path
from sfumato.core.request import RenderRequest
from sfumato.core.request_parts.arithmetic import Arithmetic
from sfumato.core.serialize import from_json
from sfumato.models.describe import MINI, load_contract
from sfumato.models.files.bundle import check_bundle, describe_bundle
from sfumato.models.hardware.policy import choose_policy
from sfumato.workflows.files.digests import digest_weights, list_adapters
from sfumato.workflows.files.inputs import read_inputs
from sfumato.workflows.files.name_output import find_free_path, is_folder
from sfumato.workflows.files.output_paths import check_places, check_report_place, is_finished, list_paths
from sfumato.workflows.files.resume import check_work
from sfumato.workflows.forecast.plan_request import check_pictures_fit, make_plan
from sfumato.workflows.job import Job
from sfumato.workflows.personalize.resolve import resolve_concepts
from sfumato.workflows.safety.words import check_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfumato.models.hardware.policy import Policy
    from sfumato.models.latent_model import LatentModel
    from sfumato.workflows.personalize.resolve import ResolvedConcept
    from sfumato.workflows.run_options import RunOptions

# Prompts that mini draws well, shown where a prompt holds words that it never saw.
MINI_EXAMPLES = (
    "a photograph of a red house in a green meadow",
    "a close-up of a woman with long red hair, photograph",
    "a cartoon of two people on a beach",
)
_WORD = re.compile(r"[^\W\d_]+")
_TAG = re.compile(r"<[^>]*>")
# The grammar's own words, not the picture's.
_GRAMMAR = ("and", "break")
# Every word of the captions; packing writes it, and a test compares it with the world that writes them.
WORDS = Path(__file__).parents[1] / "data" / "mini" / "words.txt"


def prepare(request: RenderRequest, options: RunOptions, *, model: LatentModel | None = None) -> Job:
    """Resolve a request: inputs, digests, output paths and the plan.

    `model` is one that is loaded already; its contract and policy are used.

    Raises:
        RequestError: a picture, size, prompt or setting is wrong, or something is in the way of an output file.
        BudgetError: it does not fit the memory or the disk; says the largest size that fits.
        StorageError: an output folder cannot be written.
        UnsafeFileError: a file of weights does not pass the gate.
    """
    if options.out is not None and is_folder(options.out):
        out = find_free_path(options.out, request.prompt, request, resume=options.resume)
        options = replace(options, out=out)
    paths = () if options.out is None else tuple(list_paths(options.out, request.batch))
    if options.out is not None:
        _check_outputs(request, options, paths)
    elif options.resume:
        raise RequestError("`resume` has no effect without `out`", do="Give `out`, the file of the stopped render.")
    check_prompt(request)
    check_pictures_fit(request, options)
    inputs = read_inputs(request)
    list_adapters(request)
    concepts = resolve_concepts(request)
    contract = model.contract if model else load_contract(request.model, vae=request.vae, prediction=request.prediction)
    said = request.arithmetic or (
        _find_arithmetic(paths) if options.resume and options.dtype in (None, "auto") else None
    )
    policy = model.policy if model else choose_policy(options.device, options.dtype, said)
    _check_arithmetic(said, policy)
    request = replace(request, arithmetic=policy.arithmetic)
    plan = make_plan(request, contract, policy, options, loaded=model is not None)
    digests = digest_weights(request)
    finished = tuple(
        options.resume and is_finished(path, request.choose_picture(index), digests) for index, path in enumerate(paths)
    )
    return Job(
        request=request,
        options=options,
        contract=contract,
        policy=policy,
        plan=plan,
        inputs=inputs,
        digests=digests,
        paths=paths,
        finished=finished,
        warnings=list_warnings(request, concepts),
    )


def list_warnings(request: RenderRequest, concepts: Sequence[ResolvedConcept] = ()) -> tuple[str, ...]:
    """Return sentences that a user should read before the picture is drawn."""
    boxes = () if request.focus is None else request.focus.boxes
    said = [
        f"the prompt does not say {concept.trigger}, so the concept {concept.name} changes nothing"
        for concept in concepts
        if not concept.is_named(request) and not any(concept.is_named_by(box.prompt, request) for box in boxes)
    ]
    if request.model == MINI and (words := describe_bundle(check_bundle())):
        said.append(words)
    known = {word for concept in concepts for word in concept.trigger.lower().split()}
    texts = ", ".join([request.prompt, *(box.prompt for box in boxes)])
    unknown = find_unknown_words(texts) if request.model == MINI else ()
    unknown = [word for word in unknown if word not in known]
    if unknown:
        said.append(f'mini has not learned: {", ".join(unknown)}. A prompt that works: "{MINI_EXAMPLES[0]}".')
    return tuple(said)


def find_unknown_words(prompt: str) -> tuple[str, ...]:
    """Return the words of a prompt that no caption of mini's training held, in their order, each once."""
    known = {*list_words(), *_GRAMMAR}
    words = _WORD.findall(_TAG.sub(" ", prompt).lower())
    return tuple(dict.fromkeys(word for word in words if word not in known))


@functools.cache
def list_words() -> tuple[str, ...]:
    """Return every word that the captions of mini's training held, in alphabetical order.

    Its tokens are no such list: "king" is one, a piece of "looking".
    """
    return tuple(WORDS.read_text(encoding="utf-8").split())


def take_stopped_seed(request: RenderRequest, out: Path) -> RenderRequest:
    """Return the request with the seed of the stopped render that it resumes; unchanged where there is none.

    `out` is the picture file, or the folder in which stopped work is looked for.
    """
    if out.suffix:
        folders = [(name_work(path), index) for index, path in enumerate(list_paths(out, request.batch))]
    else:
        folders = [(folder, 0) for folder in sorted(out.glob("*.work"))]
    for folder, index in folders:
        if not find_resumable(folder):
            continue
        try:
            found = read_identity(folder)
        except RequestError:
            continue
        seed = found.get("seed")
        if not isinstance(seed, int) or seed < index:
            continue
        wanted = replace(request, seed=seed, batch=1).to_json()
        if not list_differences({name: value for name, value in found.items() if name in wanted}, wanted):
            return replace(request, seed=seed - index)
    return request


def check_folder(folder: Path, *, setting: str = "out") -> None:
    """Check that pictures can be written to a folder; make it if it is not there.

    Raises:
        StorageError: it cannot be made or written.
    """
    check_path(folder, what="the folder")
    probe = folder / f".sfumato-{time.monotonic_ns()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise StorageError("the folder cannot be written", got=str(error), do=f"Give another `{setting}`.") from error


def _find_arithmetic(paths: Sequence[Path]) -> Arithmetic | None:
    """Return how the first of some pictures was computed, finished or stopped; None where none says it."""
    for path in paths:
        folder = name_work(path)
        try:
            found = read_identity(folder) if find_resumable(folder) else read_request(path).to_json()
        except SfumatoError:
            continue
        if isinstance(found.get("arithmetic"), dict):
            return from_json(Arithmetic, found["arithmetic"], where="the arithmetic")
    return None


def _check_arithmetic(said: Arithmetic | None, policy: Policy) -> None:
    """Check that a model computes as a stored request says.

    Raises:
        RequestError: it does not.
    """
    # A GPU has one attention and packs nothing.
    same = said is None or (
        said == policy.arithmetic if policy.device_kind == "cpu" else said.number_type == policy.unet
    )
    if not same:
        do = "Load the model with `arithmetic` of the request, or take the request with `arithmetic` None."
        raise RequestError(
            "the request was drawn with other numbers than this model computes with",
            got=f"{said}; the model has {policy.arithmetic}",
            do=do,
        )


def _check_outputs(request: RenderRequest, options: RunOptions, paths: tuple[Path, ...]) -> None:
    assert options.out is not None, "there are output files"
    if options.out.suffix.lower() not in PICTURE_SUFFIXES:
        do = f"Use {', '.join(PICTURE_SUFFIXES)}."
        raise RequestError("`out` names no picture format", got=str(options.out), do=do)
    if request.focus is not None and request.focus.detail > 1 and options.out.suffix.lower() not in PYRAMID_SUFFIXES:
        do = f"Write it to {', '.join(PYRAMID_SUFFIXES)}, or leave `focus_detail` out."
        raise RequestError("this format has no level for the detail of focus", got=options.out.name, do=do)
    check_folder(options.out.parent)
    if options.preview is not None:
        check_folder(options.preview.parent, setting="preview")
    check_places(request, options.out, options.preview)
    for path in paths:
        check_work(path, request, resume=options.resume)
        if options.report:
            check_report_place(path.with_suffix(".html"))
