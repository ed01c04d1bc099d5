"""A canvas that goes through memory in bands costs by its width; what it keeps on disk is counted to the byte."""

from dataclasses import replace

from fakes import CONTRACT
from sfumato.canvas.latent_file import LatentLayout
from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.render.plan.budget import GIB, GUESSES, Budget
from sfumato.render.plan.canvas_cost import count_level_notes, hold_bands, hold_whole, measure_files
from sfumato.render.plan.list_stages import draft_plan

WINDOW = LatentSize(16, 16)
REQUEST = RenderRequest(prompt="a house", size=PixelSize(2048, 1024), steps=10, method=CohesiveMethod())
BUDGET = Budget(memory_bytes=2**44, cost=GUESSES["mini"])


def test_a_canvas_in_bands_takes_memory_by_its_width_alone():
    wide, high = (hold_bands(CONTRACT, PixelSize(*size), WINDOW) for size in ((4096, 4096), (4096, 65536)))
    assert wide == high
    assert 0 < hold_bands(CONTRACT, PixelSize(8192, 4096), WINDOW).total - wide.total < wide.total
    assert wide.total < hold_whole(CONTRACT, PixelSize(4096, 65536)).total / 10


def test_a_small_canvas_takes_no_whole_band():
    assert hold_bands(CONTRACT, PixelSize(128, 128), WINDOW).total < 8 * 2**20


def test_what_a_level_keeps_on_disk_is_what_its_files_are_long():
    size, history = PixelSize(1024, 1024), 1
    cells, channels = size.to_latent(8), CONTRACT.latent_channels

    def count_files(*canvases):
        return sum(LatentLayout(cells, channels * count).file_bytes for count in canvases)

    pixels = size.area * 3
    plain, asking = (measure_files(CONTRACT, size, history=history, trials=trials) for trials in (0, 12))
    # Begun: the anchor and the first state. Finished: the pixels too, and meanwhile twice. Drawn, with twelve trials: two
    # states, the anchor, the predictions, the trials.
    assert plain.begun == count_files(1, 1 + history)
    assert (plain.left, plain.most) == (plain.begun + pixels, plain.begun + 2 * pixels)
    assert asking.most == count_files(1 + history, 1 + history, 1, 1, 12) > plain.most


def test_the_level_below_stays_where_the_detail_of_a_given_picture_is_kept():
    given = PixelSize(512, 256)
    source = PictureSource(path="a.png", sha256="0" * 64, size=given)
    kept, dropped = (
        draft_plan(replace(REQUEST, source=source, method=CohesiveMethod(keep=keep)), CONTRACT, BUDGET).stages[1:]
        for keep in (0.5, 0.0)
    )
    assert len(kept) > 1
    for below, level, plain in zip((given, *(stage.canvas for stage in kept)), kept, dropped, strict=False):
        assert level.work_bytes == plain.work_bytes + below.area * 3
        assert level.left_bytes == plain.left_bytes + below.area * 3
    # Where it is not, it is there until the next level is begun from it.
    files = measure_files(CONTRACT, dropped[0].canvas, history=dropped[0].history)
    notes = count_level_notes(CONTRACT, dropped[0].canvas, dropped[0].canvas, dropped[0].windows[0].size, 1)
    assert files.most <= dropped[0].work_bytes <= files.most + notes


def test_the_memory_of_a_grown_plan_follows_its_width():
    low, high = (
        draft_plan(replace(REQUEST, size=size), CONTRACT, BUDGET)
        for size in (PixelSize(2048, 8192), PixelSize(2048, 65536))
    )
    assert high.stages[-1].memory_bytes == low.stages[-1].memory_bytes
    assert high.work_bytes > 7 * low.work_bytes


def test_a_sampler_that_remembers_or_asks_twice_keeps_more_on_disk():
    # With many channels the latents are more than the pixels.
    deep = replace(CONTRACT, latent_channels=16)
    euler, multistep, heun = (
        draft_plan(replace(REQUEST, sampler=name), deep, BUDGET).work_bytes for name in ("Euler", "DPM++ 2M", "Heun")
    )
    assert euler < multistep
    assert euler < heun


def test_work_in_progress_needs_room_beside_the_picture():
    drawn = draft_plan(REQUEST, CONTRACT, BUDGET)
    assert drawn.work_bytes == max(stage.work_bytes for stage in drawn.stages) > 0
    assert drawn.to_json()["work_bytes"] == drawn.work_bytes < GIB
