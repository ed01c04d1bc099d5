"""Memory follows the width of a canvas in bands, disk its files to the byte, seconds the calls; an autoencoder fits or is told."""

from dataclasses import replace

import pytest

from fakes import CONTRACT
from sfumato.canvas.latent_file import LatentLayout
from sfumato.core.errors import BudgetError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, MultidiffusionMethod, NativeMethod, PictureSource, RenderRequest
from sfumato.models.autoencoder.estimate import LEAST_BYTES, STRIP_CELLS
from sfumato.render.cohesive.stages import measure_files
from sfumato.render.plan.budget import GIB, GUESSES, MIB, CostModel, RenderBudget
from sfumato.render.plan.make_plan import draft_plan, plan_render

KL = replace(CONTRACT, autoencoder="kl")
GROWN = RenderRequest(prompt="a house", size=PixelSize(1024, 1024), steps=4, sampler="Euler", method=CohesiveMethod())
WIDE = replace(GROWN, method=MultidiffusionMethod())
ROOMY = RenderBudget(memory_bytes=2**44, cost=GUESSES["mini"])


def draft(request, contract=CONTRACT, budget=ROOMY):
    return draft_plan(request, contract, budget).plan


def leave(request, room_bytes, **more):
    """Return a budget that leaves the autoencoder so many bytes beside what stands, in the stage that stands highest."""
    roomy = replace(ROOMY, **more)
    standing = roomy.memory_bytes - draft(request, KL, roomy).autoencoder_bytes
    return replace(roomy, memory_bytes=standing + room_bytes)


def test_the_memory_of_a_grown_plan_follows_its_width():
    low, high, wide = (
        draft(replace(GROWN, size=size))
        for size in (PixelSize(2048, 8192), PixelSize(2048, 65536), PixelSize(8192, 8192))
    )
    assert high.stages[-1].memory_bytes == low.stages[-1].memory_bytes < wide.stages[-1].memory_bytes
    assert high.work_bytes > 7 * low.work_bytes
    assert wide.stages[-1].memory_bytes < draft(replace(WIDE, size=wide.size)).memory_bytes / 10


def test_shorter_numbers_and_smaller_batches_take_less():
    long, short, alone = (
        draft(WIDE, budget=replace(ROOMY, **more)).memory_bytes
        for more in ({}, {"number_bytes": 2}, {"window_batch": 1})
    )
    assert alone < short < long


def test_every_level_keeps_on_disk_what_its_files_are_long():
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
    picture = PixelSize(512, 256)
    request = replace(GROWN, size=PixelSize(2048, 1024), source=PictureSource(path="a", sha256="0" * 64, size=picture))
    kept, dropped = (draft(replace(request, method=CohesiveMethod(keep=keep))).stages[1:] for keep in (0.5, 0.0))
    assert len(kept) > 1
    for below, level, plain in zip((picture, *(stage.canvas for stage in kept)), kept, dropped, strict=False):
        assert level.work_bytes == plain.work_bytes + below.area * 3


def test_a_sampler_that_remembers_or_asks_twice_keeps_more_on_disk():
    # With many channels the latents are more than the pixels.
    deep = replace(CONTRACT, latent_channels=16)
    euler, multistep, heun = (
        draft(replace(GROWN, steps=10, sampler=name), deep).work_bytes for name in ("Euler", "DPM++ 2M", "Heun")
    )
    assert euler < multistep
    assert euler < heun


def test_a_kl_autoencoder_runs_whole_where_that_fits_and_in_tiles_where_not():
    small = replace(WIDE, size=PixelSize(512, 512))
    assert plan_render(small, KL, leave(small, GIB)).spill_bytes == 0
    little = plan_render(WIDE, KL, leave(WIDE, 512 * MIB))
    # 64 channels of the level below and twice 128 at full size, four bytes each.
    assert little.spill_bytes == WIDE.size.area * 4 * (256 // 4 + 2 * 128)
    assert little.autoencoder_bytes == 512 * MIB
    assert little.memory_bytes <= leave(WIDE, 512 * MIB).memory_bytes
    assert plan_render(WIDE, KL, leave(WIDE, 3 * GIB)).spill_bytes == 0
    assert plan_render(WIDE, CONTRACT, ROOMY).spill_bytes == 0


@pytest.mark.parametrize(
    ("room", "more", "words"), [(512 * MIB, {"spill_bytes": GIB}, "TMPDIR"), (LEAST_BYTES - 1, {}, "GiB of")]
)
def test_less_than_tiles_need_is_refused_before_anything_runs(room, more, words):
    with pytest.raises(BudgetError, match=words):
        plan_render(WIDE, KL, leave(WIDE, room, **more))


def test_the_maps_of_a_grown_picture_go_where_there_is_room():
    needs = plan_render(GROWN, KL, leave(GROWN, LEAST_BYTES))
    maps, work = needs.spill_bytes, needs.work_bytes
    for spill, disk in ((maps, 64 * MIB), (0, maps)):
        assert plan_render(GROWN, KL, leave(GROWN, LEAST_BYTES, spill_bytes=spill, disk_bytes=work + disk))
    with pytest.raises(BudgetError, match="beside the picture or in TMPDIR"):
        plan_render(GROWN, KL, leave(GROWN, LEAST_BYTES, spill_bytes=maps - 1, disk_bytes=work + maps // 2))
    # One disk is not promised twice.
    one = {"spill_shared": True, "disk_bytes": work + maps, "spill_bytes": work + maps}
    assert plan_render(GROWN, KL, leave(GROWN, LEAST_BYTES, **one))
    with pytest.raises(BudgetError, match="of disk"):
        plan_render(
            GROWN,
            KL,
            leave(GROWN, LEAST_BYTES, **one | {"disk_bytes": work + maps // 2, "spill_bytes": work + maps // 2}),
        )


def test_seconds_are_calls_and_pixels_and_pairs_of_cells():
    def count(contract, request, **parts):
        none = {"call_s": 0.0, "cell_s": 0.0, "decode_s": 0.0, "encode_s": 0.0}
        return draft(request, contract, replace(ROOMY, cost=CostModel(**none | parts))).seconds

    strip = STRIP_CELLS * 8
    one, two = (
        replace(GROWN, method=NativeMethod(), size=PixelSize(*size)) for size in ((strip, strip), (strip, 2 * strip))
    )
    assert count(CONTRACT, one, call_s=1.0) == 4
    assert count(CONTRACT, one, cell_s=1.0) == 2 * 4 * STRIP_CELLS**2
    assert count(CONTRACT, one, decode_s=1.0) == strip**2
    # Two strips, one below the other: each computes some rows of the other.
    assert 2 * strip**2 < count(CONTRACT, two, decode_s=1.0) < 2.5 * strip**2
    assert count(KL, two, decode_s=1.0) == 2 * strip**2
    assert count(CONTRACT, two, attend_s=1.0) == 0
    assert count(KL, two, attend_s=1.0) == 4 * count(KL, one, attend_s=1.0) == 4 * STRIP_CELLS**4
