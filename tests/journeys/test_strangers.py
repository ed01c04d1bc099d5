"""Three strangers: one with ten lines of Python, one with an own checkpoint, and one with wrong words."""

import numpy as np

from checkpoints import write_single_file
from processes import fork
from sfumato.canvas.formats.images import load_picture, read_request

TEN_LINES = """
import sfumato

model = sfumato.load("mini")
picture = model.render("a red house in a green meadow", size=(144, 112), seed=1, steps=2, on_event=print)
picture.save("house.png")
print(picture.image.size, picture.request.seed)
"""


def test_a_picture_from_python_in_ten_lines(room):
    with fork(room, lambda: exec(TEN_LINES, {})) as run:
        assert run.wait() == 0, run.err.decode()
        assert run.out.decode().splitlines()[-1] == "(144, 112) 1"
    assert load_picture(room / "house.png").size == (144, 112)


def test_an_own_checkpoint_in_one_file(sfumato, room):
    write_single_file(room / "dreamshaper.safetensors", "sd15")
    words = ("a castle by the sea", "--model", "dreamshaper.safetensors", "--steps", 2, "--size", "256x256")
    done = sfumato("render", *words, "--out", "castle.png", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["warnings"] == []
    request = read_request(room / "castle.png")
    assert (request.model, request.guidance, request.seed) == ("dreamshaper.safetensors", 7.0, found["seed"])
    again = sfumato("render", "--from", "castle.png", "--out", "again.png", "--no-report")
    assert again.code == 0, again.err
    assert (room / "again.png").read_bytes() == (room / "castle.png").read_bytes()


def test_words_that_mini_never_saw_are_named_with_a_prompt_that_works(sfumato, room):
    done = sfumato("render", "a dragon in a (green:1.2) meadow", "--steps", 1, "--out", "pictures", "--json")
    assert done.code == 0, done.err
    (warning,) = done.json["warnings"]
    assert "dragon" in warning
    assert "green" not in warning.split(".")[0]
    shown = np.asarray(load_picture(room / done.json["path"]))
    assert shown.shape == (128, 128, 3)
    # The prompt that it proposes holds no word that it does not know.
    proposed = warning.split('"')[1]
    assert sfumato("plan", proposed, "--json").code == 0


def test_a_render_that_was_stopped_is_resumed_without_saying_its_seed(render, room, monkeypatch):
    from sfumato.models.latent_model import LatentModel

    denoise, calls = LatentModel.denoise_guided, []

    def stop_late(model, *rest, **more):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return denoise(model, *rest, **more)

    words = ("a cat", "--size", "160x128", "--seed", "random")
    with monkeypatch.context() as patched:
        patched.setattr(LatentModel, "denoise_guided", stop_late)
        stopped = render(*words, "--out", "a.png")
    assert stopped.code == 130
    assert "--resume and --seed" in stopped.err
    seed = int(stopped.err.rsplit("--seed ", 1)[1].split(".")[0])
    words = tuple(word for word in words if word not in ("--seed", "random"))
    done = render(*words, "--out", "a.png", "--resume", "--json", seed=False)
    assert done.code == 0, done.err
    assert done.json["seed"] == seed
