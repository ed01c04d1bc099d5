"""The stages of the cohesive method: a base or a given picture, then levels at most twice as large each.

Pure; also counts what the files of a level take of disk. Draws nothing. Start reading at `list_cohesive_stages`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from sfumato.canvas.latent_file import LatentLayout
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.prompt.phrases import split_phrases
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.core.settings import Settings
from sfumato.nn.bands import REACH_CELLS
from sfumato.nn.samplers import make_sampler
from sfumato.nn.samplers.replay import plot_course
from sfumato.nn.schedules import first_step
from sfumato.render.focus_windows.place import MOST_WINDOWS
from sfumato.render.layout import Round, choose_base_size, cut_down, list_rounds, show_whole
from sfumato.render.plan.sizes import check_enlarging

if TYPE_CHECKING:
    from sfumato.core.geometry import LatentSize, PixelSize
    from sfumato.core.prompt.grammar import ParsedPrompt, PromptPart
    from sfumato.models.contract import ModelContract
    from sfumato.render.plan.list_stages import StageList, StageUse

# Cheap seeds that say what is sure in a base, and the steps of each: enough to see what they agree on, and little
# beside one native picture.
SEEDS, STEPS = 3, 4
# Half the noise: above it the layout itself changes, below it nothing does.
STRENGTH = 0.5
# How noisy a given picture is when it is read for the words of a prompt: the middle, where layout is decided.
LOOK_STRENGTHS = (0.3, 0.5, 0.7)
# A level is at most so much larger than the one below.
LEVEL_ENLARGEMENT = 2.0
# Of a small given picture no level is drawn below this share of native area: what is that small looks like nothing.
LEAST_LEVEL_SHARE = 0.8
# Bytes a pixel of a given picture takes while its file is decoded: Pillow's four, twice, and a copy in RGB.
READ_BYTES = 12
# Files of which only a few rows are decoded at once.
_TILED_SUFFIXES = (".tif", ".tiff")
_LARGEST_WHOLE_PX = Settings().max_picture_pixels
# Rows worked on at once, in cells; of a wide canvas fewer, so that they hold about so many cells.
BAND_CELLS, LEAST_BAND_CELLS, BAND_AREA_CELLS = 64, 8, 1 << 14
# How far the lock looks beyond them.
MARGIN_CELLS = REACH_CELLS
_FLOAT_BYTES, _PIXEL_BYTES = 4, 3
# Latents of a base alive at once in a note: state, prediction, two of history, noise, fused sum, and room.
_BASE_COPIES = 8
# Latents of a focus window on disk: what it begins from, and in four parts state, prediction, history, answers and patch.
_WINDOW_COPIES = 32
# Maps of the size of the base in cells that are kept of it: where each phrase is (prompts have fewer), and what may change.
_BASE_MAPS = 16
# Entries of the journal at once: of a level the old one and the new one, of a base also the last durable one.
_ENTRIES, _BASE_ENTRIES = 2, 3
# Whose the folder is, how its work began, and headers of archives.
_SMALL_BYTES = 32 * 1024


def settings_of(request: RenderRequest) -> CohesiveMethod:
    """Return the settings of a request for the cohesive method."""
    assert isinstance(request.method, CohesiveMethod), "levels belong to the cohesive method"
    return request.method


def check_cohesive(request: RenderRequest, contract: ModelContract) -> None:
    """Check that there is something to enlarge.

    Raises: as `check_enlarging`.
    """
    check_enlarging(request, contract, strength=settings_of(request).strength, option="`level_strength`")


def find_phrased(request: RenderRequest) -> PromptPart | None:
    """Return the prompt if each window gets only the phrases that lie in it: it has some, and they stay the same."""
    if not settings_of(request).phrases:
        return None
    text = _find_constant(parse_prompt(request.prompt), parse_prompt(request.negative))
    return text if text is not None and split_phrases(text.segments[0]) else None


def _find_constant(prompt: ParsedPrompt, negative: ParsedPrompt) -> PromptPart | None:
    parts = prompt.at_step(0, 1) if prompt.is_constant and negative.is_constant else ()
    return parts[0] if len(parts) == 1 and len(parts[0].segments) == 1 else None


def list_cohesive_stages(stages: StageList) -> tuple[StageUse, ...]:
    """List the base, or the look at a given picture, and the levels above it."""
    request, contract, method = stages.request, stages.contract, settings_of(stages.request)
    source, base = request.source, choose_base_size(request.size, contract)
    if isinstance(source, PictureSource):
        below, first = show_whole(source.size), _read_picture(stages, source, base)
        levels = list_levels_above(source.size, request.size, contract)
    else:
        below, first = show_whole(base), stages.make("base", base, stages.cover(base))
        levels = list_rounds(base, request.size, LEVEL_ENLARGEMENT, contract.factor)
    first = first.more(SEEDS * STEPS if method.predict else 0, stages.halves)
    found = [replace(first, work_bytes=first.work_bytes + _count_base_notes(contract, base))]
    is_given = isinstance(source, PictureSource)
    # What there is on disk of what the next level grows from.
    before = below.size.area * _PIXEL_BYTES if is_given else 0
    for index, level in enumerate(levels, start=1):
        # The overlap is a share of what a window really is, or a thin strip would have hundreds.
        window = cut_down(contract.native.to_latent(contract.factor), level.size.to_latent(contract.factor))
        cover = stages.cover(level.size, window.to_pixels(contract.factor), method.overlap)
        begin = first_step(request.steps, method.strength)
        use = stages.make_level(f"level {index} of {len(levels)}", cover, begin, noise_stage=index, moving=method.shift)
        # A given picture is compared with the part that the target shows, so there `shown` is all of it.
        shown = None if is_given else level.shown
        stage = replace(use.stage, taken=level.find_taken(below), shown=shown)
        # Where the detail of a given picture is kept, every level needs the pixels that it grew from to the end.
        stays = below.size.area * _PIXEL_BYTES if is_given and method.keep > 0.0 else 0
        notes = _count_level_notes(contract, base, level.size, window)
        if request.focus is not None and request.focus.is_while:
            notes += _count_window_notes(contract)
        sigmas = stages.make_sigmas(request.steps)[begin:]
        sampler = make_sampler(request.sampler)
        course = plot_course(sampler, sigmas)
        trials = sampler.stages if max(len(asked) for asked in course.asked) > 1 else 0
        files = measure_files(contract, level.size, history=course.deepest, trials=trials)
        found.append(
            replace(
                use,
                stage=stage,
                history=course.deepest,
                below=below.size,
                work_bytes=max(files.begun + before, files.most + stays) + notes,
                left_bytes=files.left + notes,
            )
        )
        before, below = files.left, level
    return tuple(found)


def list_levels_above(picture: PixelSize, target: PixelSize, contract: ModelContract) -> tuple[Round, ...]:
    """Return the canvases that a given picture grows through: at most twice as large each time, none far below native."""
    levels = list_rounds(picture, target, LEVEL_ENLARGEMENT, contract.factor, spare=False)
    least = LEAST_LEVEL_SHARE * choose_base_size(target, contract).area
    return tuple(level for level in levels if level.size.area >= least or level.size == target)


def count_read_bytes(source: PictureSource) -> int:
    """Estimate what reading a given picture takes of memory: next to nothing where only rows of it are decoded."""
    in_rows = PurePath(source.path).suffix.lower() in _TILED_SUFFIXES or source.size.area > _LARGEST_WHOLE_PX
    return 0 if in_rows else READ_BYTES * source.size.area


def _read_picture(stages: StageList, source: PictureSource, shown: PixelSize) -> StageUse:
    """Return the stage that lays a given picture out and reads it, shrunk to the size `shown`."""
    use = stages.make("picture", shown, stages.cover(shown), first_step=0, steps=1)
    looks = len(LOOK_STRENGTHS) if find_phrased(stages.request) else 0
    empty = replace(use.stage, evaluations=0, unit="look")
    return replace(
        use,
        stage=empty,
        calls=0,
        encodes=1,
        decodes=0,
        read_bytes=count_read_bytes(source),
        work_bytes=source.size.area * _PIXEL_BYTES,
    ).more(looks, stages.halves)


def choose_band_cells(width_cells: int) -> int:
    """Return how many rows of a canvas of this width are worked on at once."""
    return max(LEAST_BAND_CELLS, min(BAND_CELLS, BAND_AREA_CELLS // width_cells))


@dataclass(frozen=True, kw_only=True)
class LevelFiles:
    """State what the files of a level take of disk while they are there, in bytes.

    `state` holds x and the sampler's history, `latents` one canvas (the anchor, the predictions), `trials` the points
    of a sampler that asks more than once a step, `pixels` the level as bytes.
    """

    state: int
    latents: int
    trials: int
    pixels: int

    @property
    def begun(self) -> int:
        """Return the bytes while a level is made from the picture below: the anchor and the first state."""
        return self.state + self.latents

    @property
    def most(self) -> int:
        """Return the most there is: while it is drawn, or while its pixels are finished beside the decoded ones."""
        drawn = 2 * self.state + 2 * self.latents + self.trials
        return max(drawn, self.begun + 2 * self.pixels)

    @property
    def left(self) -> int:
        """Return the bytes of a finished level: the last state, the anchor and the pixels."""
        return self.begun + self.pixels


def measure_files(contract: ModelContract, canvas: PixelSize, *, history: int = 2, trials: int = 0) -> LevelFiles:
    """Measure the files of a level with so many canvases of history, and of `trials`."""
    cells, channels = canvas.to_latent(contract.factor), contract.latent_channels
    state, latents = (LatentLayout(cells, channels * count).file_bytes for count in (1 + history, 1))
    asked = LatentLayout(cells, channels * trials).file_bytes if trials else 0
    return LevelFiles(state=state, latents=latents, trials=asked, pixels=canvas.area * _PIXEL_BYTES)


def _count_base_notes(contract: ModelContract, base: PixelSize) -> int:
    """Bound the notes while a base is drawn: its state, where each word is, and the trials, in every entry."""
    cells = base.to_latent(contract.factor).area
    entry = cells * _FLOAT_BYTES * (contract.tokens + contract.latent_channels * _BASE_COPIES)
    return _BASE_ENTRIES * entry + _SMALL_BYTES


def _count_window_notes(contract: ModelContract) -> int:
    """Bound the notes of all focus windows of a level: what they begin from, and the parts of two steps."""
    cells = contract.native.to_latent(contract.factor).area
    return MOST_WINDOWS * _WINDOW_COPIES * cells * contract.latent_channels * _FLOAT_BYTES


def _count_level_notes(contract: ModelContract, base: PixelSize, canvas: PixelSize, window: LatentSize) -> int:
    """Bound the notes beside the canvases of a level: the base, and the sums under a row of windows."""
    cells = base.to_latent(contract.factor).area
    kept = base.area * _PIXEL_BYTES + cells * _BASE_MAPS * _FLOAT_BYTES
    sums = canvas.to_latent(contract.factor).width * window.height * (contract.latent_channels + 1) * _FLOAT_BYTES
    return kept + _ENTRIES * sums + _SMALL_BYTES
