"""The stage that trains the scorer: a small pair of towers for pictures and captions.

It knows the tables of the stages before it. Start reading at `train_scorer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sfumato.lab.train_mini.pictures import HELD_OUT, open_pictures
from sfumato.lab.train_mini.stages import MiniTraining, open_latents
from sfumato.models.mini import load_mini_tokenizer, make_mini_scorer, special_ids
from sfumato.train.scorer import ScorerTask
from sfumato.train.task import Recipe

if TYPE_CHECKING:
    from sfumato.train.loop import TrainingResult

SCORER = Recipe(batch=256, learning_rate=1e-3, warmup_steps=50, decay_from_frac=0.4, ema_decay=0.995, weight_decay=0.05)


def train_scorer(wanted: MiniTraining) -> TrainingResult:
    """Train the scorer on drawn pictures and their captions; save it as `scorer/`."""
    tokenizer = load_mini_tokenizer(wanted.state / "tokenizer")
    torch.manual_seed(0)
    clip = make_mini_scorer(len(tokenizer), **special_ids(tokenizer))
    _, tokens = open_latents(wanted.state)
    _, held_out_tokens = open_latents(wanted.state, HELD_OUT)
    task = ScorerTask(
        nn.ModuleDict({"clip": clip.train()}),
        open_pictures(wanted.state).open_rows(),
        tokens.open_rows(),
        open_pictures(wanted.state, HELD_OUT).open_rows(),
        held_out_tokens.open_rows(),
    )
    result = wanted.train(task, SCORER, wanted.state / "scorer_run")
    clip.cpu().save_pretrained(wanted.state / "scorer")
    return result
