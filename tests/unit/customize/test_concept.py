"""A concept's folder is there whole or not at all, and says what is wrong with photos, words and files."""

import errno
import os
import tomllib

import pytest
from PIL import Image

from concept_folders import make_concept, write_photos
from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import file_sha256
from sfumato.customize import create
from sfumato.customize.concept import check_pictures, concepts_folder, find_concept, list_concepts


def test_the_folder_holds_the_pictures_as_they_are(concept, photos):
    assert [picture.file for picture in concept.pictures] == [f"{number}.png" for number in range(5)]
    for picture in concept.pictures:
        assert file_sha256(concept.find_picture(picture)) == file_sha256(photos / picture.file) == picture.sha256
        assert file_sha256(concept.find_mask(picture)) == picture.mask_sha256
        assert picture.caption == "bo, red"


def test_it_is_found_by_name_and_by_path_and_reads_back_equal(concept):
    assert find_concept("bo") == concept
    assert find_concept(concept.path) == concept
    assert find_concept("bo.concept") == concept
    assert list_concepts() == [concept]


def test_words_with_quotes_and_backslashes_survive_the_file(photos):
    made = make_concept(photos, description='a "tall" one \\ with\ttabs \x7f ü')
    assert find_concept("bo").description == made.description
    assert tomllib.loads((made.path / "concept.toml").read_text())["class"] == "cat"


def test_the_folder_lies_beside_the_models_where_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("SFUMATO_CONCEPTS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert concepts_folder() == tmp_path / "data" / "sfumato" / "concepts"
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("SFUMATO_MODELS", str(tmp_path / "models"))
    assert concepts_folder() == tmp_path / "concepts"


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda photos: [(photos / f"{n}.png").unlink() for n in range(3)], "learned from 3"),
        (lambda photos: (photos / "1.png").write_bytes((photos / "0.png").read_bytes()), "same file"),
        (lambda photos: (photos / "1.png").write_bytes(b"no picture"), "picture"),
        (lambda photos: Image.new("RGB", (20, 20)).save(photos / "1.png"), "64 px"),
        (lambda photos: Image.new("L", (9, 9), 255).save(photos / "1_mask.png"), "mask 1_mask.png does not fit"),
        (lambda photos: (photos / "1.txt").write_text("a cat"), "does not say the trigger"),
    ],
)
def test_photos_that_will_not_do_leave_nothing_behind(photos, concepts, break_it, said):
    break_it(photos)
    with pytest.raises(RequestError) as caught:
        make_concept(photos)
    assert said in caught.value.what
    assert caught.value.do
    assert not concepts.exists() or not list(concepts.iterdir())


def test_a_name_that_is_taken_is_refused(concept, photos):
    with pytest.raises(RequestError, match="there is a concept of this name"):
        make_concept(photos)
    assert find_concept("bo") == concept


@pytest.mark.parametrize("name", ["", "Bo", "../bo", "b o", "x" * 41, ".bo"])
def test_names_that_are_no_file_names_are_refused(photos, name):
    with pytest.raises(RequestError, match="cannot have this name"):
        make_concept(photos, name)


def test_a_full_disk_leaves_nothing_behind(photos, concepts, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(create.shutil, "copyfile", refuse)
    with pytest.raises(StorageError, match="disk is full"):
        make_concept(photos)
    assert not list(concepts.iterdir())


def test_a_changed_picture_is_noticed(concept):
    check_pictures(concept)
    path = concept.find_picture(concept.pictures[2])
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RequestError, match="was changed"):
        check_pictures(concept)


@pytest.mark.parametrize(
    "text", ["", "format = 2\n", "nonsense", 'format = 1\nname = "bo"\n', 'format = 1\npictures = [{file = "../x"}]\n']
)
def test_a_broken_file_is_refused_in_words(concept, text):
    (concept.path / "concept.toml").write_text(text)
    with pytest.raises(RequestError) as caught:
        find_concept("bo")
    assert caught.value.do
    assert list_concepts() == []


def test_a_picture_outside_the_folder_is_refused(concept):
    config = concept.path / "concept.toml"
    config.write_text(config.read_text().replace('file = "1.png"', 'file = "../../secret.png"'))
    with pytest.raises(RequestError, match="lies in its folder"):
        find_concept("bo")


def test_three_pictures_without_masks_and_captions_are_enough(tmp_path):
    photos = write_photos(tmp_path / "few", count=3, masks=False)
    for text in photos.glob("*.txt"):
        text.unlink()
    made = make_concept(photos)
    assert [(picture.caption, picture.mask) for picture in made.pictures] == [("", "")] * 3


def test_a_photo_without_a_mask_gets_the_one_that_is_found(photos):
    (photos / "1_mask.png").unlink()
    (photos / "2_mask.png").unlink()
    found = {"1.png": Image.new("L", (64, 64), 255)}
    made = create.create_concept(
        create.NewConcept(name="bo", photos=photos, noun="cat"), lambda photo: found.get(photo.name)
    )
    assert [bool(one.mask) for one in made.pictures] == [True, True, False, True, True]
    check_pictures(made)


def test_a_file_as_the_folder_of_concepts_is_refused(tmp_path, monkeypatch):
    (tmp_path / "afile").write_text("no folder")
    monkeypatch.setenv("SFUMATO_CONCEPTS", str(tmp_path / "afile"))
    with pytest.raises(RequestError, match="names no folder"):
        list_concepts()
