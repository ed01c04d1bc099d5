"""What a KL autoencoder costs in a plan: whole where that fits, in tiles where not, disk included."""

from dataclasses import replace

import pytest

from fakes import CONTRACT
from sfumato.core.errors import BudgetError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import MultidiffusionMethod, RenderRequest
from sfumato.models.kl_tiles import LEAST_BYTES
from sfumato.render.budget import (
    GIB,
    GUESSES,
    MIB,
    Budget,
    autoencoder_bytes,
    autoencoder_room,
    spill_bytes,
    standing_bytes,
)
from sfumato.render.plan import plan_render

KL = replace(CONTRACT, autoencoder="kl")
LARGE = PixelSize(1024, 1024)
WIDE = RenderRequest(prompt="a house", size=LARGE, steps=4, sampler="Euler", method=MultidiffusionMethod())


def budget(room_bytes, **more):
    """Leave so many bytes beside what stands."""
    plain = Budget(memory_bytes=0, cost=GUESSES["mini"], **more)
    return replace(plain, memory_bytes=standing_bytes(KL, plain, LARGE) + room_bytes)


def test_the_room_is_what_is_left_and_a_share_of_what_is_free():
    assert autoencoder_room(KL, budget(GIB), LARGE) == GIB
    free = standing_bytes(KL, budget(0), LARGE) + GIB
    assert autoencoder_room(KL, budget(4 * GIB, free_bytes=free, decode_share=0.5), LARGE) == GIB // 2


def test_whole_where_it_fits_and_tiles_that_take_no_more_than_there_is():
    whole = autoencoder_bytes(KL, LARGE, 2**40)
    assert autoencoder_bytes(KL, LARGE, whole) == whole
    tiled = autoencoder_bytes(KL, LARGE, whole - 1)
    assert tiled < whole
    assert autoencoder_bytes(KL, LARGE, 512 * MIB) == 512 * MIB
    assert autoencoder_bytes(KL, LARGE, -5) == LEAST_BYTES


def test_disk_is_counted_only_where_memory_does_not_hold_the_maps():
    assert spill_bytes(KL, LARGE, 2**40) == 0
    assert spill_bytes(KL, LARGE, 3 * GIB) == 0
    # 64 channels of the level below and twice 128 at full size, four bytes each.
    assert spill_bytes(KL, LARGE, 512 * MIB) == LARGE.area * 4 * (256 // 4 + 2 * 128)
    assert spill_bytes(CONTRACT, LARGE, LEAST_BYTES) == 0


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
