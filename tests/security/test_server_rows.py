"""Attacks on image servers that were published, each as one harmless request: refused, fast, and with nothing done.

Rows are named by the advisory or by the trick. Those of browsers (Host, Origin, token, sizes) are in
`unit/server/test_gate.py`, those of settings in `unit/server/test_surfaces.py`. Start reading at `ROWS`.
"""

import base64
import io
import json
import resource
import struct
import time
import zlib

import pytest
from fastapi.testclient import TestClient
from PIL import Image, PngImagePlugin

from servers import ADDRESS, forget_settings, make_context, make_server

MOST_S, MOST_BYTES = 1.0, 200 * 2**20
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PNG = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, *more):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def save(kind, frames=1):
    stream = io.BytesIO()
    pictures = [Image.new("RGB", (8, 8), (index % 256, 0, 0)) for index in range(frames)]
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(stream, kind, **more)
    return stream.getvalue()


def part(name, content, extra=b""):
    head = b'--x\r\nContent-Disposition: form-data; name="' + name + b'"; filename="a"' + extra + b"\r\n\r\n"
    return head + content + b"\r\n"


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
TEXT_BOMB = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * 2**26))
# id -> (method, path, content or JSON, headers, statuses that are a refusal)
ROWS = {
    # Files and paths of advisories on servers.
    "CVE-2024-11042 delete by path": ("DELETE", "/api/v1/jobs/..%2F..%2Fqueue.sqlite", None, {}, {404}),
    "CVE-2025-6237 download by path": ("GET", "/api/v1/files/..%2F..%2Fetc%2Fpasswd", None, {}, {404}),
    "CVE-2025-6237 dots": ("GET", "/api/v1/files/....//....//etc/passwd", None, {}, {404}),
    "CVE-2026-56671 comfy view": ("GET", "/view?filename=../../queue.sqlite", None, {}, {404}),
    "CVE-2026-56673 comfy view, absolute": ("GET", "/api/view?filename=/etc/passwd&type=output", None, {}, {404}),
    "CVE-2026-56671 encoded twice": ("GET", "/view?filename=%252e%252e%252fqueue.sqlite", None, {}, {404}),
    "CVE-2026-56671 NUL": ("GET", "/view?filename=a%00.png", None, {}, {404}),
    "CVE-2026-56671 subfolder": ("GET", "/view?filename=x&subfolder=../..", None, {}, {404}),
    "CVE-2026-56672 SVG upload": ("POST", "/api/v1/files", SVG, PNG, {422}),
    "CVE-2024-10099 HTML by form": ("POST", "/api/upload/image", part(b"image", b"<html>") + b"--x--", FORM, {422}),
    "CVE-2026-56670 SVG by form": ("POST", "/api/upload/image", part(b"image", SVG) + b"--x--", FORM, {422}),
    "CVE-2024-12882 download a model": ("POST", "/internal/models/download", b"{}", JSON, {404, 405}),
    "CVE-2024-12029 install a model": ("POST", "/api/v2/models/install?source=http://x/y.ckpt", b"{}", JSON, {404, 405}),
    "CVE-2024-21574 install a package": ("POST", "/customnode/install", b'{"pip":["x"]}', JSON, {404, 405}),
    "CVE-2025-67303 settings as a file": ("POST", "/userdata/..%2Fconfig.ini", b"{}", JSON, {404, 405}),
    "CVE-2024-31462 backup name": ("POST", "/sdapi/v1/create/embedding", b'{"name":"../x"}', JSON, {404, 405}),
    "server-kill": ("POST", "/sdapi/v1/server-kill", b"{}", JSON, {404, 405}),
    "CVE-2023-51449 proxy": ("GET", "/file=http://169.254.169.254/latest", None, {}, {404}),
    "CVE-2024-4325 join": ("POST", "/queue/join", b'{"data":["file:///etc/passwd"]}', JSON, {404, 405}),
    # Forms and kinds of messages.
    "CVE-2021-32677 JSON as text": ("POST", "/api/v1/jobs", b'{"prompt":"x"}', {"Content-Type": "text/plain"}, {415}),
    "urlencoded form": ("POST", "/api/v1/jobs", b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, {415}),
    # Scripts for ComfyUI may send their JSON so; another site's page may not, nor may it be anything but JSON.
    "urlencoded graph": ("POST", "/prompt", b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, {422}),
    "urlencoded graph of a page": (
        "POST", "/prompt", b'{"prompt":{}}',
        {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"}, {403},
    ),
    "CVE-2024-10821 long boundary": (
        "POST", "/v1/images/edits", b"x", {"Content-Type": "multipart/form-data; boundary=" + "-" * 60_000}, {400, 422}
    ),
    "CVE-2024-10821 tail": ("POST", "/v1/images/edits", part(b"a", b"b") + b"--x--" + b"-" * 900_000, FORM, {400}),
    "CVE-2023-30798 endless parts": ("POST", "/v1/images/edits", part(b"a", b"") * 10_000, FORM, {400}),
    "CVE-2024-47874 huge field": (
        "POST", "/v1/images/edits", b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + b"a" * 10**6
        + b"b" * 10**5 + b"\r\n--x--", FORM, {400, 413}
    ),
    "CVE-2024-24762 content type": ("POST", "/api/upload/image", b"x", {"Content-Type": "multipart/form-data;" + ";a=" * 5000}, {422}),
    "part without name": ("POST", "/api/upload/image", b"--x\r\n\r\nabc\r\n--x--", FORM, {422}),
    # Long and strange strings.
    "CVE-2024-11043 huge name": ("POST", "/api/v1/jobs", {"prompt": "x", "model": "a" * 10**5}, {}, {422}),
    "CVE-2026-22777 line breaks": ("POST", "/api/v1/jobs", {"prompt": "x", "sampler": "a\r\n[x]\r\n"}, {}, {422}),
    "many axes": ("POST", "/api/v1/series", {"job": {"prompt": "x"}, "axes": [{"name": "seed", "values": [1]}] * 9}, {}, {404, 422}),
    # Pictures that are none, or too much.
    "bomb by header": ("POST", "/api/v1/files", png(60_000, 60_000), PNG, {422}),
    "giant without height": ("POST", "/api/v1/files", png(2**31 - 1, 0), PNG, {422}),
    "text chunk bomb": ("POST", "/api/v1/files", png(8, 8, TEXT_BOMB), PNG, {422}),
    "cut short": ("POST", "/api/v1/files", save("PNG")[:40], PNG, {422}),
    "PDF": ("POST", "/api/v1/files", b"%PDF-1.7\n%%EOF", PNG, {422}),
    "EPS": ("POST", "/api/v1/files", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", PNG, {422}),
    "FITS": ("POST", "/api/v1/files", b"SIMPLE  =                    T" + b" " * 2850, PNG, {422}),
    "PSD": ("POST", "/api/v1/files", b"8BPS\0\1" + b"\0" * 40, PNG, {422}),
    "GIF of many frames": ("POST", "/api/v1/files", save("GIF", 50), PNG, {422}),
    "TIFF": ("POST", "/api/v1/files", save("TIFF"), PNG, {422}),
    # Prompts and numbers without end.
    "wildcard outside its folder": ("POST", "/api/v1/jobs", {"prompt": "__a/../../x__"}, {}, {422}),
    "brackets without end": ("POST", "/api/v1/jobs", {"prompt": "{a|" * 6000}, {}, {422}),
    "a million characters": ("POST", "/api/v1/jobs", {"prompt": "x" * 10**6}, {}, {413, 422}),
    "steps 10^9": ("POST", "/sdapi/v1/txt2img", {"prompt": "x", "steps": 10**9}, {}, {422}),
    "width 10^9": ("POST", "/sdapi/v1/txt2img", {"prompt": "x", "width": 10**9, "height": 8}, {}, {422}),
    "batch 10^6": ("POST", "/sdapi/v1/txt2img", {"prompt": "x", "batch_size": 10**6}, {}, {422}),
    "seed that is none": ("POST", "/sdapi/v1/txt2img", {"prompt": "x", "seed": "1e9"}, {}, {422}),
    "hires of 10^9": ("POST", "/sdapi/v1/txt2img", {"prompt": "x", "enable_hr": True, "hr_scale": 1e9}, {}, {422}),
    "outpaint of 10^9": ("POST", "/api/v1/jobs", {"prompt": "x", "init": "a", "outpaint": "999999999"}, {}, {404, 422}),
    "grid of 10^6": (
        "POST", "/sdapi/v1/txt2img",
        {"prompt": "x", "script_name": "x/y/z plot", "script_args": [1, "1-1000000", None]}, {}, {422},
    ),
    "workflow of no object": ("POST", "/generate", {"input": {"workflow": {"images": [1]}}}, {}, {422}),
    "address in a picture": ("POST", "/sdapi/v1/extra-single-image", {"image": "http://169.254.169.254/"}, {}, {422}),
    "address in a search": ("POST", "/sdapi/auto-photoshop-sd/search/image/", {"keywords": "http://x"}, {}, {501}),
}  # fmt: skip


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        room = tmp_path_factory.mktemp("server")
        forget_settings(patched, room)
        yield make_context(room)


@pytest.fixture(scope="module")
def client(context):
    # No worker: whatever would be queued, stays.
    return TestClient(make_server(context), base_url=ADDRESS, raise_server_exceptions=False)


@pytest.mark.parametrize("row", ROWS)
def test_a_published_attack_is_refused(client, context, row):
    method, path, content, headers, refusals = ROWS[row]
    packed = json.dumps(content).encode() if isinstance(content, dict) else content
    head = JSON if isinstance(content, dict) else headers
    before, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = client.request(method, path, content=packed, headers=head)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    assert answer.status_code in refusals, answer.text[:300]
    # CPU seconds: the machine may be busy with something else.
    assert time.process_time() - before < MOST_S
    assert grown < MOST_BYTES
    assert len(answer.text) < 5000
    assert "root:" not in answer.text
    assert context.store.count_jobs() == {}


def test_a_scripted_text_comes_back_as_text(client):
    """CVE-2026-111984: a script in what pictures say stays a string of JSON."""
    stream, picture = io.BytesIO(), Image.new("RGB", (8, 8))
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "<script>alert(1)</script>")
    picture.save(stream, "PNG", pnginfo=texts)
    answer = client.post("/sdapi/v1/png-info", json={"image": base64.b64encode(stream.getvalue()).decode()})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_range_of_a_thousand_parts_is_no_work(client, context):
    """CVE-2025-62727."""
    sent = client.post("/api/v1/files", content=save("PNG"), headers=PNG).json()
    before = time.process_time()
    many = ",".join(f"{number}-" for number in range(2000))
    answer = client.get(f"/api/v1/files/{sent['id']}", headers={"Range": f"bytes={many}"})
    assert answer.status_code in (200, 206, 400, 416, 431)
    assert time.process_time() - before < MOST_S
