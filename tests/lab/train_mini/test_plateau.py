"""The stages of the autoencoder train without an end, land, and leave a plain diffusers folder."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from diffusers import AutoencoderTiny

from sfumato.core.errors import ModelError, RequestError
from sfumato.lab.train_mini import pictures, stages
from sfumato.lab.train_mini.run import run_train_mini
from sfumato.lab.train_mini.stages import MiniTraining, train_autoencoder, train_teacher


def test_the_autoencoder_trains_without_an_end_and_lands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "HELD_OUT_PICTURES", 32)
    wanted = MiniTraining(state=tmp_path, pictures=8)
    with pytest.raises(ModelError, match="teacher is not trained"):
        train_autoencoder(replace(wanted, open_ended=True))
    train_teacher(replace(wanted, steps=1))

    # Measured, and so reported, after the first step.
    monkeypatch.setattr(stages, "PLATEAU_VALIDATE_S", 0.0)

    def stop(row: dict[str, float | str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    plateau = train_autoencoder(replace(wanted, open_ended=True, report=stop))
    assert plateau.stopped
    landed = train_autoencoder(replace(wanted, land_minutes=0.01))
    assert not landed.stopped
    assert landed.step > plateau.step
    assert "suspicion" in landed.losses
    assert len(list((tmp_path / "autoencoder").glob("landing_*"))) == 1
    vae = AutoencoderTiny.from_pretrained(tmp_path / "vae")
    assert 2e6 < sum(p.numel() for p in vae.decoder.parameters()) < 4e6


def test_an_end_is_wanted_once_and_a_plateau_belongs_to_one_stage(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="one end"):
        MiniTraining(state=tmp_path).make_budget()
    with pytest.raises(RequestError, match="one end"):
        MiniTraining(state=tmp_path, minutes=1, open_ended=True).make_budget()
    with pytest.raises(RequestError, match="Only one stage"):
        run_train_mini(MiniTraining(state=tmp_path, open_ended=True))
