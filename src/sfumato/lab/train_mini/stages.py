"""The stages of training `mini`: vocabulary, autoencoder, latents, denoiser, decoder.

Each reads what the stage before left in the state folder and can be run again. It knows no
packing and no command line. Start reading at `train_denoiser`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sfumato.core.errors import ModelError, RequestError
from sfumato.lab.train_mini.parts import CLASSES, draw_parts, open_parts
from sfumato.lab.train_mini.pictures import (
    HELD_OUT,
    SQUARES,
    TABLES,
    PictureTable,
    draw_tables,
    list_filled,
    open_pictures,
)
from sfumato.models.mini import (
    LATENT_CHANNELS,
    load_mini_autoencoder,
    load_mini_tokenizer,
    make_mini_autoencoder,
    make_mini_text_encoder,
    make_mini_unet,
    open_mini_part,
    special_ids,
)
from sfumato.train.autoencoder import AutoencoderLoss, AutoencoderTask, Patches
from sfumato.train.denoiser import DenoiserLoss, DenoiserTask, Examples
from sfumato.train.discriminator import Discriminator
from sfumato.train.grow import grow_layers, grow_rows
from sfumato.train.lanes import choose_lanes, count_lanes
from sfumato.train.loop import land_training, run_training
from sfumato.train.pictures import load_pixels
from sfumato.train.store import ExampleStore
from sfumato.train.task import Budget, Recipe
from sfumato.train.teacher import Teacher, TeacherTask, load_teacher, save_teacher
from sfumato.train.vocabulary import count_words, learn_merges, read_merges, save_vocabulary, split_new_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffusers import AutoencoderTiny
    from numpy.typing import NDArray
    from transformers import CLIPTextModel

    from sfumato.train.loop import TrainingResult
    from sfumato.train.task import Task

# Sixteen: on two cores a step of 32 pictures takes four seconds, and small steps learn more per picture.
AUTOENCODER = Recipe(batch=16, learning_rate=1e-3, warmup_steps=100, decay_from_frac=0.55, ema_decay=0.995)
# Whiteness counts in one step of three, with three times the weight.
AUTOENCODER_LOSS = AutoencoderLoss(white=0.15, peak=0.5, feature=0.15, adversary=0.02)
TEACHER = Recipe(batch=32, learning_rate=2e-3, warmup_steps=50, decay_from_frac=0.5, ema_decay=0.995)
DECODER = Recipe(batch=32, learning_rate=1e-3, warmup_steps=50, decay_from_frac=0.3, ema_decay=0.998)
DENOISER = Recipe(
    batch=64, learning_rate=1.2e-3, warmup_steps=100, decay_from_frac=0.55, ema_decay=0.998, weight_decay=0.02
)
# A GPU takes the same pictures in bigger bites; the rate stays, as Muon's step does not grow with the batch.
GPU_BATCH_FACTOR = 8
ENCODE_BATCH = 64
# A run without an end may be stopped at any second; a state takes a tenth of a second to write.
PLATEAU_SAVE_S = 120.0
# Measuring 128 pictures in float32 takes a core 20 s.
PLATEAU_VALIDATE_S = 600.0
# The falling rate averages by itself; a longer memory still holds the plateau after a landing of 50 steps.
LANDING_EMA_DECAY = 0.98
CELL_PX = 8

GRID_PROMPTS = (
    "a close-up of a woman with long red hair and glasses, smiling, photograph",
    "photo of a bald man with a beard in a white coat in a street",
    "a photograph of a man in a blue coat waving on a beach",
    "two people on the grass, photograph",
    "photo of an open hand, fingers spread, red sleeve",
    "cartoon of an open hand on a beach",
    "a photograph of a red house in a green meadow",
    "a cartoon of three people in a street",
    "a hand making a fist, photograph",
    "a cartoon of a young woman with black hair wearing a yellow dress, full body",
    "a black dog on a beach, photograph",
    "photo of an orange tree in a meadow",
    "a blue car in a street, cartoon style",
    "a woman in a green sweater with both arms up in a room, photograph",
    "a photograph of a man left of a yellow house",
    "a photo of clouds in a blue sky",
)


@dataclass(frozen=True, kw_only=True)
class MiniTraining:
    """Say where the state lives, how much to do, and who hears of it.

    `open_ended`: train on the plateau until SIGTERM. `land_minutes`: let the rate fall from the newest
    state of the plateau for so long. `pace`: pictures a second that a feed draws at most.
    """

    state: Path
    minutes: float | None = None
    steps: int | None = None
    resume: bool = True
    init: Path | None = None
    pictures: int = 50_000
    workers: int = 1
    pace: float = 10.0
    open_ended: bool = False
    land_minutes: float | None = None
    report: Callable[[dict[str, float | str]], None] | None = field(default=None, compare=False)

    def make_budget(self) -> Budget:
        """Return the loop's budget.

        Raises:
            RequestError: no end is given, or two of them.

        """
        ends = [self.minutes, self.steps, self.land_minutes, self.open_ended or None]
        if sum(end is not None for end in ends) != 1:
            raise RequestError("A training stage needs one end", do="Pass --minutes, --open-ended or --land-minutes.")
        minutes = self.minutes if self.land_minutes is None else self.land_minutes
        if not self.open_ended:
            return Budget(minutes=minutes, steps=self.steps)
        return Budget(save_every_s=PLATEAU_SAVE_S, validate_every_s=PLATEAU_VALIDATE_S, grid_every_s=PLATEAU_VALIDATE_S)

    def train(self, task: Task, recipe: Recipe, folder: Path) -> TrainingResult:
        """Run or land one stage's training in `folder`.

        Raises:
            RequestError: no end is given, or two of them.
            ModelError: the loss stays not finite.
            StorageError: a landing has no plateau, or a checkpoint cannot be written.

        """
        recipe, budget = fit_recipe(recipe), self.make_budget()
        if self.land_minutes is None:
            return run_training(task, recipe, budget, folder, resume=self.resume, report=self.report)
        recipe = replace(recipe, ema_decay=min(recipe.ema_decay, LANDING_EMA_DECAY))
        return land_training(task, recipe, budget, folder, resume=self.resume, report=self.report)


def train_vocabulary(wanted: MiniTraining) -> int:
    """Learn the byte-pair vocabulary from the drawn captions, behind that of `init`; return its size."""
    draw_tables(wanted.state, wanted.pictures, workers=wanted.workers)
    notes = (note for table in list_filled(wanted.state) for note in open_pictures(wanted.state, table).read_notes())
    words = count_words(caption for note in notes for caption in note["captions"])
    known = read_merges(wanted.init / "tokenizer") if wanted.init else ()
    return save_vocabulary(wanted.state / "tokenizer", learn_merges(words, known))


def train_teacher(wanted: MiniTraining) -> TrainingResult:
    """Train the network that names the part under every pixel; save it as `teacher/`, outside the bundle."""
    _draw_all(wanted)
    torch.manual_seed(0)
    networks = nn.ModuleDict({"teacher": Teacher(CLASSES)}).to(memory_format=torch.channels_last)
    task = TeacherTask(
        networks,
        [open_pictures(wanted.state, table).open_rows() for table in list_filled(wanted.state)],
        [open_parts(wanted.state, table).open_rows() for table in list_filled(wanted.state)],
        open_pictures(wanted.state, HELD_OUT).open_rows(),
        open_parts(wanted.state, HELD_OUT).open_rows(),
    )
    result = wanted.train(task, TEACHER, wanted.state / "teacher_run")
    teacher = networks["teacher"]
    assert isinstance(teacher, Teacher)
    save_teacher(teacher.cpu(), wanted.state / "teacher")
    return result


def train_autoencoder(wanted: MiniTraining, *, decoder_only: bool = False) -> TrainingResult:
    """Train the autoencoder, or only its decoder against the frozen encoder; save it as `vae/`."""
    _draw_all(wanted)
    torch.manual_seed(0)
    vae = load_mini_autoencoder(wanted.state / "vae") if decoder_only else _begin_autoencoder(wanted.init)
    networks = nn.ModuleDict({"encoder": vae.encoder, "decoder": vae.decoder}).to(memory_format=torch.channels_last)
    # Looking drawn is the last polish: on the plateau the discriminator would chase a moving decoder.
    if wanted.land_minutes is not None:
        networks["discriminator"] = Discriminator()
    teacher = _open_teacher(wanted.state)
    # The denoiser's errors are larger than the encoder's: a decoder trained for it forgives more.
    more = {"jitter": 0.06, "limit": DenoiserLoss().limit} if decoder_only else {}
    task = AutoencoderTask(
        networks,
        [open_pictures(wanted.state, table).open_rows() for table in list_filled(wanted.state)],
        open_pictures(wanted.state, HELD_OUT).open_rows(),
        replace(AUTOENCODER_LOSS, **more),
        freeze_encoder=decoder_only,
        patches=Patches(classes=[open_parts(wanted.state, table).open_rows() for table in list_filled(wanted.state)]),
        teacher=teacher,
    )
    name = "decoder" if decoder_only else "autoencoder"
    result = wanted.train(task, DECODER if decoder_only else AUTOENCODER, wanted.state / name)
    vae.cpu().save_pretrained(wanted.state / "vae")
    return result


def _open_teacher(state: Path) -> Teacher:
    if not (state / "teacher").is_dir():
        raise ModelError("The teacher is not trained yet", got=str(state / "teacher"), do="Run its stage first.")
    device, dtype, _ = choose_lanes(1)
    return load_teacher(state / "teacher").to(device, dtype)


def _draw_all(wanted: MiniTraining) -> None:
    draw_tables(wanted.state, wanted.pictures, workers=wanted.workers)
    for table in (HELD_OUT, *TABLES):
        draw_parts(wanted.state, table)


def _begin_autoencoder(init: Path | None) -> AutoencoderTiny:
    """Make the autoencoder, grown from the one in `init` if there is one: its latents stay near those of `init`."""
    vae = make_mini_autoencoder()
    if init is not None:
        known = load_mini_autoencoder(init / "vae")
        for to, of in ((vae.encoder, known.encoder), (vae.decoder, known.decoder)):
            grow_layers(of.layers.float(), to.layers)
    return vae


def encode_pictures(wanted: MiniTraining) -> int:
    """Fill the tables of latents and token ids for all drawn pictures; return the number of rows."""
    vae = load_mini_autoencoder(wanted.state / "vae")
    tokenizer = load_mini_tokenizer(wanted.state / "tokenizer")
    draw_tables(wanted.state, wanted.pictures, workers=wanted.workers)
    for table in (HELD_OUT, *list_filled(wanted.state)):
        pictures = open_pictures(wanted.state, table)
        latents, tokens = open_latents(wanted.state, table)
        _encode_rows(vae.encoder, pictures, latents)
        notes = pictures.read_notes()[len(tokens) :]
        if notes:
            captions = [_four(note["captions"]) for note in notes]
            tokens.append(
                spell(tokenizer, [c for four in captions for c in four]).reshape(-1, 4, 77), [None] * len(notes)
            )
    return sum(len(open_latents(wanted.state, table)[0]) for table in list_filled(wanted.state))


def open_latents(state: Path, table: PictureTable = SQUARES) -> tuple[ExampleStore, ExampleStore]:
    """Open a table's latents (float16) and token ids (uint16, four paraphrases)."""
    place = state / table.name.replace("pictures", "latents").replace("held_out", "latents_held_out")
    shape = (LATENT_CHANNELS, table.height // CELL_PX, table.width // CELL_PX)
    return ExampleStore(place, shape, "float16"), ExampleStore(place / "tokens", (4, 77), "uint16")


def train_denoiser(wanted: MiniTraining) -> TrainingResult:
    """Train the text encoder and the UNet on the cached latents; save them as `text_encoder/` and `unet/`."""
    tokenizer = load_mini_tokenizer(wanted.state / "tokenizer")
    torch.manual_seed(0)
    text = _begin_text_encoder(wanted.init, wanted.state / "tokenizer")
    unet: Any = open_mini_part(wanted.init, "unet") or make_mini_unet()
    decoder: Any = load_mini_autoencoder(wanted.state / "vae").decoder
    networks = nn.ModuleDict({"unet": unet.to(memory_format=torch.channels_last), "text": text}).train()
    task = DenoiserTask(
        networks,
        [_open_examples(wanted.state, table) for table in TABLES if len(open_latents(wanted.state, table)[0])],
        spell(tokenizer, [""])[0],
        _open_examples(wanted.state, HELD_OUT),
        DenoiserLoss(),
        lambda z: decoder.to(z.device)(z),
        spell(tokenizer, GRID_PROMPTS),
    )
    result = wanted.train(task, DENOISER, wanted.state / "denoiser")
    for name, part in (("unet", unet), ("text_encoder", text)):
        part.cpu().save_pretrained(wanted.state / name)
    return result


def _begin_text_encoder(init: Path | None, tokenizer: Path) -> CLIPTextModel:
    """Make the text encoder, with the weights of the one in `init` if there is one; new words begin as their pieces."""
    words = load_mini_tokenizer(tokenizer)
    text = make_mini_text_encoder(len(words), **special_ids(words))
    if init is not None:
        weights = open_mini_part(init, "text_encoder").state_dict()
        name = next(key for key in weights if key.endswith("token_embedding.weight"))
        fresh = split_new_tokens(read_merges(init / "tokenizer"), read_merges(tokenizer))
        text.load_state_dict(weights | {name: grow_rows(weights[name], fresh)})
    return text


def fit_recipe(recipe: Recipe) -> Recipe:
    """Enlarge the batch where there is a GPU."""
    if not torch.cuda.is_available():
        return recipe
    return replace(recipe, batch=recipe.batch * GPU_BATCH_FACTOR)


def spell(tokenizer: Any, captions: list[str] | tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the token ids of captions, padded to 77: uint16 [N, 77]."""
    found = tokenizer(list(captions), padding="max_length", truncation=True, max_length=77)
    return np.asarray(found.input_ids, dtype=np.uint16)


def _open_examples(state: Path, table: PictureTable) -> Examples:
    latents, tokens = open_latents(state, table)
    return Examples(latents.open_rows(), tokens.open_rows())


def _four(captions: list[str]) -> list[str]:
    return (captions * 4)[:4]


@torch.no_grad()
def _encode_rows(encoder: nn.Module, pictures: ExampleStore, latents: ExampleStore) -> None:
    """Encode the rows that have no latents yet, one batch per lane at a time."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = encoder.to(device, torch.bfloat16).to(memory_format=torch.channels_last).eval()
    latents.trim()
    rows = pictures.open_rows()
    starts = range(len(latents), len(rows), ENCODE_BATCH)

    def encode(start: int) -> NDArray[np.float16]:
        torch.set_num_threads(1)
        return encode_images(encoder, rows, range(start, min(start + ENCODE_BATCH, len(rows))))

    with ThreadPoolExecutor(count_lanes()) as pool:
        for code in pool.map(encode, starts):
            latents.append(code, [None] * len(code))


@torch.no_grad()
def encode_images(encoder: nn.Module, rows: NDArray[np.uint8], picks: range) -> NDArray[np.float16]:
    """Encode some of the pictures uint8 [N, H, W, 3] with an encoder in bfloat16; return latents [K, 4, H/8, W/8]."""
    device = next(encoder.parameters()).device
    pixels = load_pixels(rows, picks)
    return encoder(pixels.to(device, torch.bfloat16)).float().cpu().numpy().astype(np.float16)
