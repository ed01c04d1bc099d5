"""The catalogue of parts: well-formed rows, and a cache that is believed only with the right digest."""

import re

import pytest

from sfumato.core.errors import ModelError, RequestError
from sfumato.models.parts import catalogue
from sfumato.models.parts.catalogue import check_part, describe_state, find_part, pick_part, place_part
from sfumato.models.parts.fetch import can_convert, list_default_parts
from sfumato.models.parts.rows import PARTS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path))
    return tmp_path


def test_rows_are_pinned():
    assert len({part.name for part in PARTS}) == len(PARTS)
    for part in PARTS:
        assert re.fullmatch(r"[0-9a-f]{64}", part.package.sha256)
        assert part.members
        for member in part.members:
            assert member.path.endswith("/") if part.is_folder else re.fullmatch(r"[0-9a-f]{64}", member.sha256)
        assert part.sha256 == "" or re.fullmatch(r"[0-9a-f]{64}", part.sha256)


def test_the_default_set_finds_faces_and_hands_and_can_be_converted():
    names = {part.name for part in list_default_parts()}
    assert {"face-full-range", "face-mesh", "palm", "hand-landmarks"} <= names
    assert all(can_convert(part) for part in list_default_parts())


def test_an_absent_part_is_none_and_an_error_that_names_the_command():
    assert find_part("palm") is None
    with pytest.raises(ModelError) as caught:
        check_part("palm")
    assert caught.value.do.endswith("sfumato parts get palm")


def test_a_file_with_another_digest_is_no_part():
    place_part(pick_part("palm")).write_bytes(b"something else")
    assert find_part("palm") is None
    assert describe_state(pick_part("palm")) == "damaged"


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(RequestError) as caught:
        find_part("palms")
    assert "palm" in caught.value.do


def test_a_folder_has_the_digest_of_its_paths_and_contents(folder):
    for name, text in (("a/b.txt", "1"), ("c.txt", "2")):
        (folder / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "one" / name).write_text(text)
    before = catalogue.digest_folder(folder / "one")
    (folder / "one" / "c.txt").rename(folder / "one" / "d.txt")
    assert catalogue.digest_folder(folder / "one") != before
