"""A probe calls what a render calls, at the sizes that matter, and weighs without inventing."""

from dataclasses import replace

import pytest
import torch

from autoencoders import make_kl
from fakes import CONTRACT, GaussianModel
from sfumato.core.memory import measure_peak_memory, read_memory, restart_peak_memory
from sfumato.models.autoencoder.kl_tiles import WORK_BYTES
from sfumato.models.time_calls import measure_trials, start_weighing, weigh_peak
from sfumato.nn.tiled.attention import query_block

MIB = 2**20
CPU = torch.device("cpu")


def test_windows_of_two_batches_and_two_sizes_and_tiles_of_two():
    trials = measure_trials(GaussianModel(), (1, 4), weigh=False)
    denoised = [(trial.cells, trial.batch) for trial in trials if trial.part == "denoise"]
    # Native is 8 cells a side here, and half of that is too small for a network.
    assert denoised == [(64, 2), (64, 2), (64, 8)]
    for part in ("decode", "encode"):
        assert [trial.cells for trial in trials if trial.part == part] == [16**2, 64**2]
    assert all(trial.seconds > 0 for trial in trials)
    assert all(trial.peak_bytes is None for trial in trials)


def test_a_kl_autoencoder_gets_smaller_tiles_and_its_attention_a_trial_of_its_own():
    kl = GaussianModel(contract=replace(CONTRACT, autoencoder="kl"))
    kl.vae = make_kl()
    trials = measure_trials(kl, (1, 2), weigh=False)
    assert {trial.cells for trial in trials if trial.part == "decode"} == {256, 1024}
    (attended,) = (trial for trial in trials if trial.part == "attend")
    assert attended.cells == 4096
    # As many ask as in a tile of a render.
    assert attended.batch == query_block(kl.vae.config.block_out_channels[-1], WORK_BYTES)
    assert attended.seconds > 0


def test_calls_are_measured_in_turns():
    model = GaussianModel()
    measure_trials(model, (1, 4), weigh=False)
    sizes = [(batch, height) for batch, height, _, _ in model.calls]
    assert sizes[:3] == sizes[3:6] == [(1, 8), (1, 8), (4, 8)]


class Settling(GaussianModel):
    """Its first call with a number of windows leaves 24 MiB behind, and every call takes 8 MiB for a moment."""

    def denoise_guided(self, x, *rest, **named):
        self.left = getattr(self, "left", {})
        if len(x) not in self.left:
            self.left[len(x)] = torch.ones(6 * MIB)
        moment = torch.ones(2 * MIB)
        assert moment.sum() > 0
        return super().denoise_guided(x, *rest, **named)


@pytest.mark.skipif(not restart_peak_memory(), reason="the system does not restart the count of the peak")
def test_what_first_calls_leave_behind_is_held_and_no_part_of_a_call():
    before, model = start_weighing(CPU), Settling()
    trials = measure_trials(model, (1, 4))
    # With two and three windows too, which are left at the end of rows.
    assert sorted(model.left) == [1, 2, 3, 4]
    assert start_weighing(CPU) - before > 90 * MIB
    for trial in trials:
        if trial.part == "denoise":
            assert 7 * MIB < trial.peak_bytes < 12 * MIB


@pytest.mark.skipif(not restart_peak_memory(), reason="the system does not restart the count of the peak")
def test_the_peak_of_a_call_is_told_from_what_was_held_before():
    large = torch.ones(64 * MIB)
    del large
    before = start_weighing(CPU)
    assert weigh_peak(CPU) - before < 8 * MIB
    kept = torch.ones(8 * MIB)
    assert 30 * MIB < weigh_peak(CPU) - before < 48 * MIB
    assert measure_peak_memory() >= read_memory("VmRSS") - MIB
    assert kept.sum() > 0
