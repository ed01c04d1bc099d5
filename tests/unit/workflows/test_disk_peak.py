"""The most disk that a plan names is what a render takes: a folder is weighed whenever something happens in it."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundles import tiny_mini
from sfumato.canvas.formats.images import save_picture
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, NativeMethod, PictureSource, RenderRequest
from sfumato.lab.true_shapes.meter import weigh_tree
from sfumato.lab.true_shapes.random_checkpoint import write_random_folder
from sfumato.models.autoencoder import coder as autoencoder
from sfumato.render.plan import cost
from sfumato.workflows import run as rendering
from sfumato.workflows.prepare import prepare
from sfumato.workflows.run_options import RunOptions
from sfumato.workflows.self_check.redraw_faults import CheckedRender

# Much more than was seen would send people away for nothing.
MOST_OVER = 1.3
NARROW = {
    "unet": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64, "sample_size": 8},
    "vae": {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "sample_size": 64},
    "text_encoder": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "projection_dim": 64,
    },
}


# Folders in memory count only the pages that were written, so what a disk takes is weighed on a disk.
DISK = "/var/tmp" if Path("/var/tmp").is_dir() else None


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Return a function that renders a request into an empty folder: the plan, and the most bytes there at once."""
    with tempfile.TemporaryDirectory(dir=DISK) as room:
        yield _watch(Path(room) / "out", tmp_path, monkeypatch)
        # Removing the room must not be watched.
        monkeypatch.undo()


def _watch(out, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen = []
    # What is drawn again comes on top, and the plan says so.
    monkeypatch.setattr(rendering, "look_again", lambda result, **_: CheckedRender(result, None))

    def look(*_):
        seen.append(weigh_tree(out))

    def watched(act):
        def acting(*args, **named):
            look()
            return act(*args, **named)

        return acting

    # A folder is largest right before something in it is removed or replaced.
    for owner, name in ((Path, "unlink"), (Path, "replace"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))

    def render(request, suffix=".png"):
        options = RunOptions(out=out / f"a{suffix}", device="cpu", dtype="fp32")
        done = rendering.run_all(prepare(request, options), on_event=look)
        look()
        return done[0].plan, max(seen)

    return render


def ask(**more):
    wanted = {"prompt": "a cat", "size": PixelSize(512, 448), "steps": 2, "model": str(tiny_mini()), "seed": 3}
    return RenderRequest(**{"method": CohesiveMethod(predict=False), **wanted, **more})


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_most_disk_that_is_planned_is_what_is_seen(watch, suffix):
    plan, seen = watch(ask(), suffix)
    assert seen <= plan.peak_disk_bytes <= MOST_OVER * seen


@pytest.mark.parametrize("more", [{}, {"method": NativeMethod()}])
def test_pictures_that_are_finished_lie_there_while_the_last_is_made(watch, more):
    plan, seen = watch(ask(batch=2, size=PixelSize(256, 192), **more))
    # How small a file of pixels becomes is not known before: three bytes a pixel are the most.
    assert plan.work_bytes + plan.disk_bytes <= seen + 2 * plan.disk_bytes
    assert seen <= plan.peak_disk_bytes <= plan.work_bytes + 2 * plan.disk_bytes


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_a_given_picture_lies_there_too(watch, tmp_path, keep):
    across = np.linspace(40, 200, 300, dtype=np.int64)[:, None]
    grained = across + np.random.default_rng(0).integers(0, 24, (200, 300, 3))
    save_picture(tmp_path / "given.png", Image.fromarray(grained.astype(np.uint8)), {})
    digest = hashlib.sha256((tmp_path / "given.png").read_bytes()).hexdigest()
    source = PictureSource(path=str(tmp_path / "given.png"), sha256=digest, size=PixelSize(300, 200))
    request = ask(size=PixelSize(600, 400), source=source, method=CohesiveMethod(keep=keep, predict=False))
    plan, seen = watch(request)
    assert seen <= plan.peak_disk_bytes <= MOST_OVER * seen


def test_the_maps_of_an_autoencoder_and_its_marks_lie_there_too(watch, tmp_path, monkeypatch):
    for module in (autoencoder, cost):
        monkeypatch.setattr(module, "estimate_kl_bytes", lambda *_, **__: 2**50)
    folder = write_random_folder(tmp_path / "sd15", "sd15", NARROW)
    plan, seen = watch(ask(size=PixelSize(128, 128), model=str(folder)))
    assert seen <= plan.peak_disk_bytes <= MOST_OVER * seen
