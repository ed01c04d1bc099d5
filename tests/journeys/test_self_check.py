"""A render beyond the native size says how it held up against its base; one of native size has nothing to say."""

from dataclasses import replace

from sfumato.canvas.formats.images import load_picture
from sfumato.canvas.overlay import PatchedPixels
from sfumato.canvas.workspace.disk_workspace import DiskSpace
from sfumato.core.errors import StorageError
from sfumato.critic.picture.added_objects import Blob
from sfumato.workflows.self_check import redraw_faults
from sfumato.workflows.self_check.judge import judge_result


def test_json_holds_the_checks_of_a_large_picture(render, room):
    done = render("a cat", "--size", "128x96", "--method", "gobig", "--out", "cat.png", "--json")
    assert done.code == 0
    checks = done.json["checks"]
    assert {"lattice", "base consistency", "added object mass"} <= set(checks["measures"])
    assert all(set(verdict) == {"value", "unit", "limit", "bad", "fine"} for verdict in checks["measures"].values())
    page = (room / "cat.html").read_text()
    assert "Self-check" in page
    assert "self-check</td>" in page


def test_a_native_render_has_nothing_to_check(render, room):
    done = render("a cat", "--out", "cat.png", "--json")
    assert done.json["checks"] is None
    assert "Self-check" not in (room / "cat.html").read_text()


LARGE = ("--size", "192x128", "--no-report")


def judge_badly(result, *more):
    """Find somebody who is not in the base, and less of them once a place was drawn again."""
    mass = 100.0 if isinstance(result.shown, PatchedPixels) else 300.0
    return replace(judge_result(result, *more), added_objects=(Blob((40, 40, 80, 80), 9, mass),))


def test_a_picture_is_saved_without_a_redraw_that_the_disk_has_no_room_for(render, room, monkeypatch):
    monkeypatch.setattr(redraw_faults, "judge_result", judge_badly)
    whole = render("a cat", *LARGE, "--out", "whole.png", "--json")
    assert [rerun["kept"] for rerun in whole.json["reruns"]] == [True, False]
    open_pixels = DiskSpace.open_pixels

    def refuse(space, name, size):
        if name.startswith("redraw"):
            raise StorageError("the disk is full", got=name)
        return open_pixels(space, name, size)

    with monkeypatch.context() as patched:
        patched.setattr(DiskSpace, "open_pixels", refuse)
        done = render("a cat", *LARGE, "--out", "a.png", "--json")
    assert done.code == 0
    assert ["the disk is full" in rerun["left_out"] for rerun in done.json["reruns"]] == [True]
    assert "the disk is full" in done.err
    assert load_picture(room / "a.png").size == (192, 128)
    assert not (room / "a.png.work").exists()
