"""What a KL autoencoder costs in a plan: whole where that fits, in tiles where not, disk included."""

from dataclasses import replace

import pytest

from fakes import CONTRACT
from sfumato.core.errors import BudgetError
from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.request import CohesiveMethod, MultidiffusionMethod, RenderRequest
from sfumato.models.autoencoder.coder import STEP_PX
from sfumato.models.autoencoder.kl_tiles import LEAST_BYTES, WHOLE_BYTES
from sfumato.render.plan.autoencoder_cost import Rooms, find_coding_cost
from sfumato.render.plan.budget import (
    GIB,
    GUESSES,
    KEPT_ROWS,
    MIB,
    RUNTIME_BYTES,
    STRIP_PX,
    Budget,
    CostModel,
    Footprint,
    autoencoder_room,
    coding_s,
    denoise_bytes,
    host_bytes,
    peak_bytes,
    standing_bytes,
)
from sfumato.render.plan.canvas_cost import hold_whole
from sfumato.render.plan.make_plan import plan_render

KL = replace(CONTRACT, autoencoder="kl")
LARGE = PixelSize(1024, 1024)
WIDE = RenderRequest(prompt="a house", size=LARGE, steps=4, sampler="Euler", method=MultidiffusionMethod())
HOLD = hold_whole(KL, LARGE)
ROOMY = Budget(memory_bytes=2**40, cost=GUESSES["mini"])


def budget(room_bytes, **more):
    """Leave so many bytes beside what stands."""
    plain = Budget(memory_bytes=0, cost=GUESSES["mini"], **more)
    return replace(plain, memory_bytes=standing_bytes(KL, plain, HOLD) + room_bytes)


def cost(contract, memory_bytes, *, coded=LARGE, beside_bytes=0):
    """Tell what the autoencoder takes in so much room."""
    return find_coding_cost(contract, ROOMY, coded, Rooms(memory_bytes=memory_bytes, beside_bytes=beside_bytes))


def test_the_room_is_what_is_left_and_a_share_of_what_is_free():
    assert autoencoder_room(KL, budget(GIB), HOLD) == GIB
    free = standing_bytes(KL, budget(0), HOLD) + GIB
    assert autoencoder_room(KL, budget(4 * GIB, free_bytes=free, decode_share=0.5), HOLD) == GIB // 2


def test_whole_where_it_fits_and_tiles_that_take_no_more_than_there_is():
    small = PixelSize(512, 512)
    whole = cost(KL, 2**40, coded=small).memory_bytes
    assert cost(KL, whole, coded=small).memory_bytes == whole <= WHOLE_BYTES
    assert cost(KL, whole - 1, coded=small).memory_bytes < whole
    assert cost(KL, 512 * MIB).memory_bytes == 512 * MIB
    assert cost(KL, -5).memory_bytes == LEAST_BYTES


def test_disk_is_counted_only_where_memory_does_not_hold_the_maps():
    assert cost(KL, 2**40).spill_bytes == 0
    assert cost(KL, 3 * GIB).spill_bytes == 0
    # 64 channels of the level below and twice 128 at full size, four bytes each.
    assert cost(KL, 512 * MIB).spill_bytes == LARGE.area * 4 * (256 // 4 + 2 * 128)
    assert cost(CONTRACT, LEAST_BYTES).spill_bytes == 0


def test_memory_holds_one_tile_where_the_maps_lie_beside_the_picture():
    maps = cost(KL, 512 * MIB).spill_bytes
    inside, beside, anywhere = (cost(KL, 3 * GIB, beside_bytes=disk) for disk in (maps - 1, maps, None))
    assert inside.map_bytes == 0
    assert beside == anywhere
    assert beside.map_bytes == maps
    assert beside.memory_bytes == LEAST_BYTES
    assert inside.memory_bytes == LEAST_BYTES + maps
    # Run whole, it has none.
    assert cost(KL, 2**40, coded=PixelSize(512, 512), beside_bytes=None).map_bytes == 0


def test_a_plan_in_little_memory_spills_and_says_so():
    made = plan_render(WIDE, KL, budget(512 * MIB))
    assert made.memory_bytes <= budget(512 * MIB).memory_bytes
    assert made.autoencoder_bytes == 512 * MIB
    assert made.to_json()["spill_bytes"] == made.spill_bytes > GIB
    assert plan_render(WIDE, KL, budget(8 * GIB)).spill_bytes == 0


@pytest.mark.parametrize(
    ("little", "words"),
    [(budget(512 * MIB, spill_bytes=GIB), "TMPDIR"), (budget(LEAST_BYTES - 1), "GiB of")],
)
def test_less_than_tiles_need_is_refused_before_anything_runs(little, words):
    with pytest.raises(BudgetError, match=words):
        plan_render(WIDE, KL, little)


GROWN = replace(WIDE, method=CohesiveMethod())


def beside(spill, disk):
    """Give the least memory, and so much disk in TMPDIR and beside the picture."""
    plain = budget(LEAST_BYTES, spill_bytes=spill, maps_beside=True)
    needs = plan_render(GROWN, KL, replace(plain, spill_bytes=None))
    assert needs.spill_bytes > 0
    return replace(plain, disk_bytes=needs.work_bytes + disk), needs


def test_the_maps_of_a_grown_picture_go_where_there_is_room():
    _, needs = beside(0, 0)
    for spill, disk in ((needs.spill_bytes, 32 * MIB), (0, needs.spill_bytes)):
        assert plan_render(GROWN, KL, beside(spill, disk)[0]).spill_bytes == needs.spill_bytes
    with pytest.raises(BudgetError, match="beside the picture or in TMPDIR"):
        plan_render(GROWN, KL, beside(needs.spill_bytes - 1, needs.spill_bytes - 1)[0])


def test_maps_that_are_kept_to_go_on_are_told_though_memory_holds_them():
    roomy = budget(3 * GIB, maps_beside=True)
    kept = plan_render(GROWN, KL, replace(roomy, spill_bytes=0, disk_bytes=4 * GIB))
    assert kept.spill_bytes == 0
    assert kept.to_json()["map_bytes"] == kept.map_bytes == cost(KL, 0).spill_bytes > GIB
    # Nothing is refused for them, however little disk there is; then memory holds them.
    inside = plan_render(GROWN, KL, replace(roomy, spill_bytes=0, disk_bytes=GIB))
    assert inside.map_bytes == plan_render(GROWN, KL, replace(roomy, maps_beside=False)).map_bytes == 0
    assert inside.stages[-1].memory_bytes == kept.stages[-1].memory_bytes + kept.map_bytes
    assert plan_render(GROWN, KL, ROOMY).map_bytes == 0  # nobody said that they may lie beside it


def test_what_is_cut_or_not_kept_for_want_of_room_is_told():
    roomy = budget(3 * GIB, maps_beside=True)
    kept = plan_render(GROWN, KL, replace(roomy, spill_bytes=0, disk_bytes=4 * GIB))
    assert (kept.unkept_bytes, kept.cut_for_memory) == (0, False)
    inside = plan_render(GROWN, KL, replace(roomy, spill_bytes=0, disk_bytes=GIB))
    assert inside.to_json()["unkept_bytes"] == inside.unkept_bytes == kept.map_bytes
    # Pictures of other methods are never gone on with, nor are maps kept on a device far from files.
    assert plan_render(WIDE, KL, replace(roomy, disk_bytes=GIB)).unkept_bytes == 0
    assert plan_render(GROWN, KL, replace(roomy, maps_beside=False)).unkept_bytes == 0
    # The base takes less than a gigabyte in one go, and less is left for it.
    assert plan_render(GROWN, KL, budget(LEAST_BYTES)).to_json()["cut_for_memory"] is True


def test_one_disk_is_not_promised_twice():
    plain, needs = beside(0, 0)
    free = needs.work_bytes + needs.spill_bytes
    one = replace(plain, spill_shared=True, disk_bytes=free, spill_bytes=free)
    assert plan_render(GROWN, KL, one).spill_bytes == needs.spill_bytes
    short = replace(one, disk_bytes=free - 1, spill_bytes=free - 1)
    with pytest.raises(BudgetError, match="of disk for the autoencoder's work"):
        plan_render(GROWN, KL, short)
    # Two disks with that much each are enough.
    assert plan_render(GROWN, KL, replace(short, spill_shared=False)).spill_bytes == needs.spill_bytes


WINDOW = LatentSize(16, 16)
HELD = hold_whole(CONTRACT, LARGE)


def test_what_a_probe_measured_takes_the_place_of_the_formula():
    probed = replace(
        ROOMY,
        loaded_bytes=(GIB, 2 * GIB),
        footprint=Footprint(cell=10, call=1000, decode_pixel=3, encode_pixel=2, tile=7),
    )
    assert standing_bytes(CONTRACT, probed, HELD) == GIB + HELD.total
    assert standing_bytes(CONTRACT, ROOMY, HELD) == RUNTIME_BYTES + CONTRACT.weights_bytes + HELD.total
    assert denoise_bytes(CONTRACT, probed, WINDOW, 3) == 1000 + 10 * 256 * 3
    none = Rooms(memory_bytes=0)
    assert find_coding_cost(CONTRACT, probed, PixelSize(64, 64), none).memory_bytes == 7 + 3 * 64 * 64
    # What is worked on at once, and what is kept of each row, whatever the height.
    rows = STEP_PX + KEPT_ROWS * LARGE.width
    assert find_coding_cost(CONTRACT, probed, LARGE, none).memory_bytes == 7 + 3 * rows
    dearer = replace(probed, footprint=replace(probed.footprint, encode_pixel=4))
    assert find_coding_cost(CONTRACT, dearer, LARGE, none).memory_bytes == 7 + 4 * rows
    assert find_coding_cost(CONTRACT, dearer, LARGE, none, encodes=False).memory_bytes == 7 + 3 * rows
    apart = replace(probed, separate=True)
    assert host_bytes(apart, HELD) == 2 * GIB + HELD.host
    assert standing_bytes(CONTRACT, apart, HELD) == GIB + HELD.device


def test_without_a_probe_shorter_numbers_take_less():
    long, short = (denoise_bytes(CONTRACT, replace(ROOMY, number_bytes=each), WINDOW, 3) for each in (4, 2))
    assert long == 2 * short > 0


def test_margins_of_strips_take_time_and_a_picture_of_one_strip_has_none():
    model = CostModel(call_s=0.0, cell_s=0.0, decode_s=1.0, encode_s=1.0)
    small = PixelSize(STRIP_PX, STRIP_PX)
    assert coding_s(CONTRACT, model, small, encodes=False) == small.area
    assert coding_s(CONTRACT, model, small, encodes=True) == 2 * small.area
    # Two strips, one below the other or side by side: each has 17 cells of the other to be encoded.
    tall, wide = PixelSize(1024, 2 * STRIP_PX), PixelSize(2 * STRIP_PX, 1024)
    for two in (tall, wide):
        assert coding_s(CONTRACT, model, two, encodes=True, decodes=False) == 1024 * (2 * STRIP_PX + 2 * 17 * 8)
    assert coding_s(KL, model, tall, encodes=True) == 2 * tall.area


def test_attention_grows_with_the_square_of_the_cells_each_way():
    model = CostModel(call_s=0.0, cell_s=0.0, decode_s=0.0, encode_s=0.0, attend_s=1.0)
    assert coding_s(KL, model, LARGE, encodes=False) == 128**4
    assert coding_s(KL, model, LARGE, encodes=True) == 2 * 128**4
    assert coding_s(KL, model, PixelSize(2048, 1024), encodes=False) == 4 * 128**4
    assert coding_s(CONTRACT, model, LARGE, encodes=True) == 0
    assert coding_s(KL, model.scaled(3.0), LARGE, encodes=False) == 3 * 128**4


def test_weights_count_as_they_are_once_loaded():
    loaded = replace(ROOMY, weights_bytes=5 * GIB)
    assert standing_bytes(CONTRACT, loaded, HELD) - standing_bytes(CONTRACT, ROOMY, HELD) == (
        5 * GIB - CONTRACT.weights_bytes
    )


def test_only_a_heap_keeps_what_the_denoiser_took():
    assert peak_bytes(CONTRACT, ROOMY, 3, 5) == 8
    assert peak_bytes(KL, ROOMY, 3, 5) == 5
    assert peak_bytes(CONTRACT, replace(ROOMY, separate=True), 3, 5) == 5
