"""Results survive a crash, and other settings have other keys."""

from PIL import Image

from sfumato.lab.hires.store import JUDGED, MADE, Store, digest_folder, make_key

PICTURE = Image.new("RGB", (8, 8), (1, 2, 3))


def test_a_result_is_found_by_another_store(tmp_path):
    Store(tmp_path).add("k", PICTURE, {"seconds": 1.5})
    again = Store(tmp_path)
    assert again.find("k") == {"key": "k", "seconds": 1.5}
    assert again.load("k").getpixel((0, 0)) == (1, 2, 3)
    assert again.find("other") is None


def test_a_line_without_its_picture_counts_as_absent(tmp_path):
    store = Store(tmp_path)
    store.add("k", PICTURE, {})
    store.place("k").unlink()
    assert store.find("k") is None


def test_a_torn_line_is_dropped_and_the_next_is_whole(tmp_path):
    Store(tmp_path).add("one", PICTURE, {"n": 1})
    with (tmp_path / MADE).open("a") as stream:
        stream.write('{"key": "two", "n"')
    store = Store(tmp_path)
    assert store.find("two") is None
    store.add("three", PICTURE, {"n": 3})
    assert {key for key in ("one", "two", "three") if Store(tmp_path).find(key)} == {"one", "three"}


def test_measures_are_kept_by_their_own_key(tmp_path):
    Store(tmp_path).add_judged("k", {"psnr_db": 30.0})
    assert Store(tmp_path).find_judged("k") == {"key": "k", "psnr_db": 30.0}
    assert (tmp_path / JUDGED).read_text().count("\n") == 1


def test_keys_follow_what_they_name():
    assert make_key({"a": 1, "b": 2}) == make_key({"b": 2, "a": 1})
    assert make_key({"a": 1}) != make_key({"a": 2})


def test_a_folder_is_named_by_its_bytes(tmp_path):
    assert digest_folder(tmp_path) == ""
    (tmp_path / "a.py").write_text("1")
    first = digest_folder(tmp_path, "*.py")
    (tmp_path / "a.py").write_text("2")
    assert first != digest_folder(tmp_path, "*.py")
