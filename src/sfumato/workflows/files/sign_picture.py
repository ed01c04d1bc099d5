"""Sign a finished picture with a certificate of yours, by C2PA: who says that a model drew it, and that nothing changed since.

The signed copy is another file; the picture itself, and with it the promise of same bytes, stays as it is. Nothing is sent
anywhere: no time stamp is fetched, and no certificate is looked up. Start reading at `sign_picture`.

Source: C2PA Technical Specification 2.2; c2pa-python.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from sfumato.canvas.formats.images import read_request
from sfumato.core.errors import RequestError
from sfumato.core.files import file_sha256, open_regular, write_atomic
from sfumato.core.metadata.provenance import TRAINED, choose_source_type, name_source_type
from sfumato.core.version import __version__

ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_GOOD = ("Valid", "Trusted")


@dataclass(frozen=True, kw_only=True)
class SignedPicture:
    """Say where a signed copy lies, who signed it, and what its check said: Valid, or Trusted where the signer is known."""

    path: Path
    sha256: str
    signer: str
    state: str

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        return {"path": str(self.path), "sha256": self.sha256, "signer": self.signer, "state": self.state}


def sign_picture(
    picture: Path, *, certificate: Path, key: Path, algorithm: str = "es256", out: Path | None = None
) -> SignedPicture:
    """Write a signed copy of a picture that Sfumato drew from words; it is checked before it appears.

    `certificate` holds the chain as PEM, the signer's own first; `key` the private key as PEM. Without `out` the copy is
    `NAME-signed` beside the picture.

    Raises:
        RequestError: the extra is missing, the picture is another's or was changed from another, or the certificate and
            the key cannot sign.
        StorageError: the disk refuses.
    """
    kind = _KINDS.get(picture.suffix.lower())
    if kind is None:
        raise RequestError("C2PA signs .png, .jpg and .webp here", got=picture.name, do="Save it in one of these.")
    if algorithm not in ALGORITHMS:
        raise RequestError("unknown `algorithm`", got=algorithm, do=f"Use {', '.join(ALGORITHMS)}.")
    out = out or picture.with_stem(f"{picture.stem}-signed")
    if out.suffix.lower() != picture.suffix.lower():
        raise RequestError("a signed copy has the format of its picture", got=out.name, do=f"Use {picture.suffix}.")
    if out.resolve() == picture.resolve():
        raise RequestError("a signed copy is another file", got=str(out), do="Give another `out`.")
    source_type = choose_source_type(read_request(picture))
    if source_type != TRAINED:
        do = "Sign pictures that were drawn from words alone."
        raise RequestError("the history of a changed picture is not known here", got=source_type, do=do)
    c2pa = _load_library()
    packed = _read(picture, what="the picture")
    chain, secret = _read(certificate, what="the certificate"), _read(key, what="the key")
    signed = io.BytesIO()
    try:
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, secret, None))
        with signer, c2pa.Builder(_write_manifest(picture.name, source_type)) as builder:
            builder.sign(signer, kind, io.BytesIO(packed), signed)
        with c2pa.Reader(kind, io.BytesIO(signed.getvalue())) as reader:
            found = json.loads(reader.json())
    except (c2pa.C2paError, ValueError) as error:
        do = "Give a chain of PEM certificates, the signer's first, the key that belongs to it, and its `algorithm`."
        raise RequestError("the certificate and the key cannot sign", got=str(error)[:200], do=do) from error
    state = str(found.get("validation_state"))
    if state not in _GOOD:
        raise RequestError("the signature does not hold", got=state, do="Use a certificate for signing content.")
    write_atomic(out, lambda stream: stream.write(signed.getvalue()))
    signer_facts = found["manifests"][found["active_manifest"]].get("signature_info", {})
    who = str(signer_facts.get("common_name") or signer_facts.get("issuer") or "")
    return SignedPicture(path=out, sha256=file_sha256(out), signer=who, state=state)


def _load_library() -> Any:
    try:
        # It brings no types.
        return import_module("c2pa")
    except ImportError as error:
        do = "Install the extra: pip install 'sfumato[c2pa]'."
        raise RequestError("signing needs the library of C2PA", got="c2pa-python is missing", do=do) from error


def _read(path: Path, *, what: str) -> bytes:
    with open_regular(path, what=what) as stream:
        return stream.read()


def _write_manifest(title: str, source_type: str) -> dict[str, Any]:
    agent = {"name": "Sfumato", "version": __version__}
    made = {"action": "c2pa.created", "digitalSourceType": name_source_type(source_type), "softwareAgent": agent}
    assertions = [{"label": "c2pa.actions", "data": {"actions": [made]}}]
    return {"claim_generator_info": [agent], "title": title, "assertions": assertions}
