"""A copy of a picture is signed with a certificate of the user, and is found out when it is changed."""

import datetime as dt
import io
import json

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from sfumato.canvas.formats.images import read_request
from sfumato.canvas.formats.save import save_canvas
from sfumato.core.errors import RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.metadata.write import write_metadata
from sfumato.core.request import ImageSource, RenderRequest
from sfumato.workflows.files.sign_picture import sign_picture

REQUEST = RenderRequest(prompt="a cat", size=PixelSize(64, 64))


def issue(subject, issuer, key, signer, *, is_root):
    """Return a certificate that is valid for two days."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    now = dt.datetime.now(dt.UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usage |= {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not is_root:
        mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(mail, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the files of a chain and of its key."""
    room = tmp_path_factory.mktemp("keys")
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = issue("A painter", "A root", own, root, is_root=False) + issue("A root", "A root", root, root, is_root=True)
    (room / "chain.pem").write_bytes(chain)
    packed = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (room / "key.pem").write_bytes(packed)
    return {"certificate": room / "chain.pem", "key": room / "key.pem"}


def save(path, request=REQUEST):
    save_canvas(path, Image.new("RGB", (64, 64), (90, 20, 30)), write_metadata(request))
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_signed_copy_says_who_and_how_and_the_picture_stays(tmp_path, files, suffix):
    picture = save(tmp_path / f"a{suffix}")
    before = picture.read_bytes()
    signed = sign_picture(picture, **files)
    assert (signed.path.name, signed.signer, signed.state) == (f"a-signed{suffix}", "A painter", "Valid")
    assert picture.read_bytes() == before
    assert read_request(signed.path) == REQUEST
    with c2pa.Reader(str(signed.path)) as reader:
        told = json.loads(reader.json())
    (action,) = told["manifests"][told["active_manifest"]]["assertions"][0]["data"]["actions"]
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")


def test_a_change_after_the_signature_is_found_out(tmp_path, files):
    packed = sign_picture(save(tmp_path / "a.png"), **files).path.read_bytes()
    at = packed.index(b"IDAT") + 10
    with c2pa.Reader("image/png", io.BytesIO(packed[:at] + b"\0" + packed[at + 1 :])) as reader:
        assert json.loads(reader.json())["validation_state"] == "Invalid"


def test_what_cannot_be_signed_honestly_is_refused(tmp_path, files):
    changed = ImageSource(path="b.png", sha256="0" * 64, strength=0.5)
    other = tmp_path / "other.png"
    Image.new("RGB", (8, 8)).save(other)
    picture = save(tmp_path / "a.png")
    for path, more, words in (
        (other, {}, "no request"),
        (save(tmp_path / "b.png", RenderRequest(prompt="a", size=PixelSize(64, 64), source=changed)), {}, "history"),
        (save(tmp_path / "a.tif"), {}, "signs .png"),
        (picture, {"algorithm": "none"}, "algorithm"),
        (picture, {"algorithm": "ps256"}, "cannot sign"),
        (picture, {"out": picture}, "another file"),
        (picture, {"out": tmp_path / "a.jpg"}, "format of its picture"),
        (picture, {"key": files["certificate"]}, "cannot sign"),
        (picture, {"certificate": tmp_path / "absent.pem"}, "cannot be opened"),
    ):
        with pytest.raises(RequestError, match=words):
            sign_picture(path, **files | more)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.tif", "b.png", "other.png"]
