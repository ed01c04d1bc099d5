"""A render as commands of a shell and as a list of settings: what a reader of a report copies.

Knows requests and the names of options; runs nothing. Start reading at `write_repeat_command` and `write_command`.
"""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from dataclasses import replace
from pathlib import Path

from sfumato.core.defaults import DEFAULTS
from sfumato.core.focus import AFTER, BOTH, WHILE, FocusSettings
from sfumato.core.request import (
    FLAG,
    AnatomySettings,
    CohesiveMethod,
    GobigMethod,
    ImageSource,
    InpaintSource,
    MultidiffusionMethod,
    PictureMethod,
    PictureSource,
    RenderRequest,
    TextSource,
)

# Formats whose bytes repeat only in the same format; a name without a suffix becomes a PNG.
_DEFAULT_SUFFIX = ".png"
# The values of all other settings are numbers.
_TEXT_SETTINGS = frozenset({"negative", "sampler", "schedule", "method", "upscaler", "seamless"})
_DECIMALS = re.compile(r"(?<=\d)\.0\b")


def write_repeat_command(picture: Path) -> str:
    """Return the command that draws a picture again from any folder."""
    out = [] if picture.suffix.lower() == _DEFAULT_SUFFIX else ["--out", f"again{picture.suffix}"]
    return join_command(["sfumato", "render", "--from", str(picture.resolve()), *out])


def write_command(request: RenderRequest) -> str | None:
    """Return the command that draws a request with all its settings, None where options cannot say it.

    Settings that follow from the model or the size stand in it even where they are the default.
    """
    method, source = request.method, request.source
    if request.crop is not None or (isinstance(method, CohesiveMethod) and not _has_all_parts(method)):
        return None
    focus = None if request.focus is None else _list_focus(request.focus)
    if request.focus is not None and focus is None:
        return None
    anatomy = None if request.anatomy is None else _list_anatomy(request.anatomy)
    if request.anatomy is not None and anatomy is None:
        return None
    mode = ["--anatomy", request.anatomy.mode] if request.anatomy and not isinstance(method, PictureMethod) else []
    options = [*_list_options(request), *_list_source(request), *(focus or ()), *mode, *(anatomy or ())]
    prompt = ["--prompt", request.prompt] if request.prompt else []
    if isinstance(method, PictureMethod) and isinstance(source, PictureSource):
        # The size of the picture itself is no option.
        command = "focus" if request.focus else "repair"
        return _order_command(command, source.path, [*options[2:], *prompt])
    options += ["--method", method.kind, *_list_method(request)]
    if isinstance(source, PictureSource):
        return _order_command("upscale", source.path, [*options, *prompt])
    if not request.prompt and not isinstance(source, ImageSource | InpaintSource):
        return None
    return _order_command("render", request.prompt, options)


def _has_all_parts(method: CohesiveMethod) -> bool:
    """Tell whether no part of the method is off: none of them has an option."""
    return all((method.phrases, method.predict, method.shift, method.hold, method.guard, method.crisp))


def write_python(request: RenderRequest) -> str | None:
    """Return the Python that draws a request with all its settings, None where a picture or a setting cannot be said.

    It draws one picture: the first of a batch.
    """
    method = request.method
    if not isinstance(request.source, TextSource) or not request.prompt or request.anatomy is not None:
        return None
    if isinstance(method, CohesiveMethod) and not _has_all_parts(method):
        return None
    words = [*_list_options(replace(request, batch=1)), "--method", method.kind, *_list_method(request)]
    said: dict[str, list[str]] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        said.setdefault(option.removeprefix("--").replace("-", "_"), []).append(value)
    opened = {name: said.pop(name)[0] for name in ("model", "vae", "prediction") if name in said}
    model = ", ".join([repr(opened.pop("model")), *(f"{name}={value!r}" for name, value in opened.items())])
    lines = "".join(f"    {_write_setting(name, values)},\n" for name, values in said.items())
    return (
        f"import sfumato\n\nmodel = sfumato.load({model})\npicture = model.render(\n    {request.prompt!r},\n{lines})\n"
        'picture.save("picture.png")\n'
    )


def _write_setting(name: str, values: list[str]) -> str:
    lists = {"lora": "loras", "embedding": "embeddings", "region": "regions", "control": "controls"}
    if name in lists:
        return f"{lists[name]}={values!r}"
    if name in ("size", "window"):
        width, height = values[0].split("x")
        return f"{name}=({width}, {height})"
    return f"{name}={values[0]!r}" if name in _TEXT_SETTINGS else f"{name}={values[0]}"


def _order_command(name: str, word: str, options: list[str]) -> str:
    """Return a command of one plain word and options; a word that looks like an option comes last."""
    if word.startswith("-"):
        return join_command(["sfumato", name, *options, "--", word])
    return join_command(["sfumato", name, *([word] if word else []), *options])


def _list_options(request: RenderRequest) -> list[str]:
    options = ["--size", str(request.size), "--seed", str(request.seed), "--guidance", _write_number(request.guidance)]
    options += ["--model", request.model]
    changed = (
        ("--negative", request.negative, ""),
        ("--steps", str(request.steps), str(DEFAULTS.steps)),
        ("--guidance-rescale", _write_number(request.guidance_rescale), _write_number(DEFAULTS.guidance_rescale)),
        ("--clip-skip", str(request.clip_skip), str(DEFAULTS.clip_skip)),
        ("--batch", str(request.batch), str(DEFAULTS.batch)),
        ("--vae", request.vae or "", ""),
        ("--prediction", request.prediction or "", ""),
    )
    for option, value, default in changed:
        options += [option, value] if value != default else []
    if (request.sampler, request.schedule) != (DEFAULTS.sampler, DEFAULTS.schedule):
        options += ["--sampler", request.sampler, "--schedule", request.schedule]
    if request.variation_seed is not None:
        options += ["--variation-seed", str(request.variation_seed)]
        options += ["--variation-strength", _write_number(request.variation_strength)]
    options += [] if request.seamless == "off" else ["--seamless", request.seamless]
    for one in request.regions:
        options += ["--region", f"{one.region}:{one.words}"]
    for one in request.controls:
        options += ["--control", str(one)]
    for lora in request.loras:
        options += ["--lora", f"{lora.path}:{_write_number(lora.weight)}"]
    for concept in request.concepts:
        options += ["--concept", f"{concept.path}:{_write_number(concept.weight)}"]
    for path in request.embeddings:
        options += ["--embedding", path]
    return options


def _list_focus(focus: FocusSettings) -> list[str] | None:
    """Return the options of focus, None where options cannot say it."""
    if focus != FocusSettings(words=focus.words, boxes=focus.boxes, when=focus.when):
        return None
    options = ["--focus", ",".join(focus.words)] if focus.words else []
    for one in focus.boxes:
        words = f":{one.prompt}" if one.prompt else ""
        options += ["--focus-box", f"{one.left},{one.top},{one.width},{one.height}{words}"]
    return options if focus.when == AFTER else [*options, "--focus-when", focus.when]


def _list_anatomy(anatomy: AnatomySettings) -> list[str] | None:
    """Return the options of `render` and `repair` for hands, None where options cannot say it."""
    known = AnatomySettings(mode=anatomy.mode, boxes=anatomy.boxes, unrepaired=anatomy.unrepaired)
    if anatomy != known:
        return None
    boxes = [
        f"{one.left},{one.top},{one.width},{one.height}{f':{one.cause}' * bool(one.cause)}" for one in anatomy.boxes
    ]
    kept = [] if anatomy.unrepaired == FLAG else ["--unrepaired", anatomy.unrepaired]
    return [*(word for box in boxes for word in ("--box", box)), *kept]


def _list_source(request: RenderRequest) -> list[str]:
    source = request.source
    if not isinstance(source, ImageSource | InpaintSource):
        return []
    mask = ["--mask", source.mask] if isinstance(source, InpaintSource) else []
    return ["--init", source.path, "--strength", _write_number(source.strength), *mask]


def _list_method(request: RenderRequest) -> list[str]:
    """Return the options of a method that differ from its own defaults."""
    method = request.method
    if isinstance(method, GobigMethod):
        # The default strength depends on the model.
        options = ["--slice-strength", _write_number(method.strength)]
        options += [] if method.steps is None else ["--slice-steps", str(method.steps)]
        names = {"upscaler": "--upscaler", "upscale": "--upscale", "overlap": "--overlap"}
        usual = GobigMethod()
    elif isinstance(method, MultidiffusionMethod):
        options = [] if method.window is None else ["--window", str(method.window)]
        names, usual = {"overlap": "--overlap"}, MultidiffusionMethod()
    elif isinstance(method, CohesiveMethod):
        options = list[str]()
        names = {"upscaler": "--upscaler", "strength": "--level-strength", "overlap": "--overlap", "lock": "--lock"}
        names |= {"detail": "--detail", "keep": "--keep"}
        usual = CohesiveMethod()
    else:
        return []
    for name, option in names.items():
        value = getattr(method, name)
        if value != getattr(usual, name):
            options += [option, value if isinstance(value, str) else _write_number(value)]
    return options


def _write_number(value: float) -> str:
    """Write a number so that it is read back as the same number."""
    return _DECIMALS.sub("", repr(float(value)))


def join_command(words: list[str]) -> str:
    """Return words as one command that a POSIX-like shell splits into the same words.

    No control character and no mark of direction stands in it as such: a terminal would obey the first, and the
    second would show another command than the one that runs. Bash, zsh and ksh read the escapes.
    """
    return " ".join(_quote_word(word) for word in words)


def _quote_word(word: str) -> str:
    if not any(_is_hidden(one) for one in word):
        return shlex.quote(word)
    return "$'" + "".join(_escape_character(one) for one in word) + "'"


def _is_hidden(character: str) -> bool:
    # Control, format (marks of direction, zero width), line and paragraph separators, parts of a name without text.
    return unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Cs"}


def _escape_character(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if not _is_hidden(character):
        return character
    # Octal digits end after three; hexadecimal ones would run on into what follows.
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def list_settings(request: RenderRequest) -> list[tuple[str, str]]:
    """List the settings of a request that a reader of a page wants to see, as (name, value)."""
    rows = [
        ("model", request.model),
        ("VAE", request.vae or ""),
        ("sampler", f"{request.sampler}, {request.schedule}, {request.steps} steps"),
        ("guidance", f"{request.guidance:g}" + _also(" rescaled by ", request.guidance_rescale)),
        ("clip skip", str(request.clip_skip) if request.clip_skip > 1 else ""),
        ("LoRA", ", ".join(f"{lora.path} : {lora.weight:g}" for lora in request.loras)),
        ("Concepts", ", ".join(f"{one.path} : {one.weight:g}, {one.sha256[:12]}" for one in request.concepts)),
        ("embeddings", ", ".join(request.embeddings)),
        ("control", ", ".join(map(str, request.controls))),
        ("source", _source(request)),
        ("method", _method(request)),
        ("focus", _focus(request)),
        ("anatomy", "" if request.anatomy is None else str(request.anatomy)),
        ("request", request.request_hash()),
    ]
    return [(name, value) for name, value in rows if value]


def _source(request: RenderRequest) -> str:
    source = request.source
    if isinstance(source, ImageSource):
        return f"{source.path} at strength {source.strength:g}"
    if isinstance(source, InpaintSource):
        return f"{source.path} inside {source.mask} at strength {source.strength:g}"
    if isinstance(source, PictureSource):
        return f"{source.path}, {source.size} px, {'enlarged ' if source.size != request.size else ''}as it is"
    return ""


def _focus(request: RenderRequest) -> str:
    focus = request.focus
    if focus is None:
        return ""
    times = {AFTER: "after the render", WHILE: "while it is sampled", BOTH: "while it is sampled and after it"}
    return (
        f"{focus}, {times[focus.when]}; up to {focus.tries} tries from strength {focus.strength:g}, lock {focus.lock:g}"
    )


def _method(request: RenderRequest) -> str:
    method = request.method
    if isinstance(method, GobigMethod):
        return (
            f"gobig: enlarges by {method.upscaler}, up to {method.upscale:g} times a round; tiles overlap by "
            f"{method.overlap:.0%} and are redrawn at strength {method.strength:g}"
        )
    if isinstance(method, MultidiffusionMethod):
        return f"multidiffusion: tiles of {method.window or 'native size'} overlap by {method.overlap:.0%}"
    if isinstance(method, CohesiveMethod):
        return (
            f"cohesive: enlarges by {method.upscaler}; tiles overlap by {method.overlap:.0%} and are redrawn at strength "
            f"{method.strength:g}; lock {method.lock:g}, detail {method.detail:g}"
        )
    return "the picture as it is" if isinstance(method, PictureMethod) else "native: the whole picture at once"


def _also(words: str, value: float) -> str:
    return f"{words}{value:g}" if value else ""
