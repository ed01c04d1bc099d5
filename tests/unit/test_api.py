"""Sfumato from Python: pictures in memory, replayable, stoppable, safe between threads, with the command line's defaults."""

import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sfumato
from bundles import tiny_mini
from processes import fork
from sfumato.canvas.formats.images import load_picture, read_request

SMALL = {"steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def model():
    return sfumato.load(tiny_mini(), dtype="fp32")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pixels(picture):
    return np.asarray(picture.image.convert("RGB"))


def test_the_public_names_are_there_and_no_others():
    assert set(sfumato.__all__) <= set(dir(sfumato))
    for name in dir(sfumato):
        assert getattr(sfumato, name) is not None
    with pytest.raises(AttributeError):
        _ = sfumato.nothing_of_this_name


@pytest.mark.parametrize("first", ["import sfumato.render.engine", "import sfumato.api", "sfumato.render", "pass"])
def test_render_is_callable_whatever_was_imported_before(first, tmp_path):
    script = f"import sfumato\n{first}\nassert callable(sfumato.render)\nassert callable(sfumato.render)\n"
    script += "import sfumato.render.engine\nassert sfumato.render.engine.run_plan\n"
    script += "try:\n    sfumato.render('')\nexcept sfumato.RequestError as error:\n    assert 'nothing to draw' in str(error)\n"

    def import_anew():
        for name in [name for name in sys.modules if name.partition(".")[0] == "sfumato"]:
            del sys.modules[name]
        exec(script, {})

    with fork(tmp_path, import_anew) as run:
        assert run.wait() == 0, run.err.decode()


def test_a_picture_stays_in_memory_and_its_request_repeats_it(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = model.render("a house", size=(160, 128), **SMALL)
    assert picture.image.size == (160, 128)
    assert (picture.request.method.kind, picture.path) == ("cohesive", None)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []
    again = model.render(request=picture.request)
    assert np.array_equal(pixels(again), pixels(picture))


def test_a_saved_picture_carries_its_request(model, tmp_path):
    picture = model.render("a house", **SMALL)
    path = picture.save(tmp_path / "house.png")
    assert read_request(path) == picture.request
    assert np.array_equal(np.asarray(load_picture(path).convert("RGB")), pixels(picture))
    with pytest.raises(sfumato.RequestError, match="suffix"):
        picture.save(tmp_path / "house")


def test_a_file_has_the_pixels_of_the_picture_in_memory(model, tmp_path):
    written = model.render("a house", size="160x128", out=tmp_path / "a.png", report=True, **SMALL)
    assert (written.path, written.report_path) == (tmp_path / "a.png", tmp_path / "a.html")
    assert np.array_equal(pixels(written), pixels(model.render("a house", size="160x128", **SMALL)))


def test_a_folder_gets_a_free_name_and_another_format_is_refused_before_anything_is_drawn(model, tmp_path):
    first, second = (model.render("a house", out=tmp_path / "pictures", **SMALL) for _ in range(2))
    assert [first.path.name, second.path.name] == ["a-house-3.png", "a-house-3-2.png"]
    heard = []
    with pytest.raises(sfumato.RequestError, match="no picture format"):
        model.render("a house", out=tmp_path / "a.gif", on_event=heard.append)
    assert heard == []


def test_two_seeds_that_are_not_said_differ(model):
    assert model.render("a house", steps=1).seed != model.render("a house", steps=1).seed


def test_pictures_in_memory_are_changed_where_the_mask_is_white(model):
    start = Image.new("RGB", (64, 64), (10, 200, 30))
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    changed = pixels(model.render("a house", init=start, mask=mask, strength=0.9, **SMALL))
    assert np.array_equal(changed[:, 32:], np.asarray(start)[:, 32:])
    assert not np.array_equal(changed[:, :32], np.asarray(start)[:, :32])


def test_events_come_in_order_and_the_time_left_never_rises(model):
    events = []
    model.render("a house", size=(192, 128), steps=6, seed=1, on_event=events.append)
    assert [events[0].kind, events[-1].kind] == ["plan", "picture"]
    progress = [event for event in events if event.kind == "progress"]
    assert progress[-1].done_frac == pytest.approx(1.0)
    left = [event.left_s for event in progress if event.left_s is not None]
    assert left == sorted(left, reverse=True)
    assert all(str(event) and event.to_json()["event"] == event.kind for event in events)
    assert progress[0].preview().size


def test_a_caller_can_stop(model, tmp_path):
    heard = []
    with pytest.raises(sfumato.InterruptedRender) as caught:
        model.render(
            "a house", steps=50, on_event=heard.append, should_stop=lambda: len(heard) > 4, out=tmp_path / "a.png"
        )
    assert len(heard) <= 6
    assert "`seed`" in caught.value.do
    assert not (tmp_path / "a.png").exists()


def test_a_callback_that_raises_leaves_the_model_as_it_was(model):
    before = pixels(model.render("a house", **SMALL))

    def fail(event):
        if event.kind == "progress":
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        model.render("a house", steps=5, on_event=fail)
    assert np.array_equal(pixels(model.render("a house", **SMALL)), before)


def test_threads_take_turns_on_one_model(model):
    alone = [pixels(model.render("a house", seed=seed, steps=2)) for seed in range(3)]
    found = {}
    threads = [
        threading.Thread(
            target=lambda seed=seed: found.update({seed: pixels(model.render("a house", seed=seed, steps=2))})
        )
        for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert all(np.array_equal(found[seed], alone[seed]) for seed in range(3))


def test_nothing_is_left_on_a_shared_model(model):
    before = model._latent_model.autoencoder_bytes
    model.render("a house", size=(160, 128), **SMALL)
    assert model._latent_model.autoencoder_bytes == before


def test_plan_says_what_render_does(model):
    plan = model.plan("a house", size=(192, 128), steps=2)
    picture = model.render("a house", size=(192, 128), **SMALL)
    assert (plan.method, plan.evaluations) == (picture.plan.method, picture.plan.evaluations)
    assert sfumato.plan("a house", size=(192, 128), model=tiny_mini(), steps=2).evaluations == plan.evaluations
    with pytest.raises(sfumato.BudgetError):
        sfumato.plan("a house", size=(4096, 4096), model=tiny_mini(), budget_gb=0.001)


def test_errors_name_the_setting_and_not_an_option(model, tmp_path):
    for wrong in ({"strength": 0.5}, {"window": (64, 64)}, {"mask": Path("m.png")}, {"size": (63, 64)}, {"steps": 0}):
        with pytest.raises(sfumato.RequestError) as caught:
            model.render("a house", **wrong)
        assert "--" not in str(caught.value)
    with pytest.raises(sfumato.RequestError, match="no such setting"):
        model.render("a house", stepps=3)


def test_upscale_draws_nothing_anew_without_a_model(tmp_path):
    image = Image.effect_noise((40, 30), 90).convert("RGB")
    large = sfumato.upscale(image, scale=2)
    wanted = np.asarray(image.resize((80, 60), Image.Resampling.LANCZOS), dtype=int)
    assert np.abs(np.asarray(large.image, dtype=int) - wanted).max() <= 1
    assert load_picture(large.save(tmp_path / "a.png")).size == (80, 60)
    with pytest.raises(sfumato.RequestError, match="need a model"):
        sfumato.upscale(image, steps=3)


def test_upscale_with_a_model_draws_detail(model):
    image = Image.effect_noise((72, 64), 90).convert("RGB")
    large = model.upscale(image, scale=2, steps=2, seed=1)
    assert large.image.size == (144, 128)
    assert large.request.method.kind == "cohesive"


def test_compare_makes_a_sheet(tmp_path):
    done = sfumato.compare("a house", methods=["gobig", "cohesive"], size=(160, 128), steps=2, model=str(tiny_mini()))
    assert set(done.pictures) == {"gobig", "cohesive"}
    assert len({one.seed for one in done.pictures.values()}) == 1
    assert done.sheet.width > 2 * 160


def test_two_models_are_compared_on_one_prompt(tmp_path):
    shutil.copytree(tiny_mini(), tmp_path / "other")
    done = sfumato.compare(
        "a house", models=[str(tiny_mini()), str(tmp_path / "other")], steps=1, out=tmp_path / "both"
    )
    assert len(done.pictures) == 2
    assert (tmp_path / "both" / "sheet.png").exists()
