"""Foreign pages, foreign names, missing tokens and huge messages do not reach a route."""

import asyncio
import base64

import pytest

from sfumato.core.errors import RequestError
from sfumato.server.gate import Gate
from sfumato.server.serve import check_address

LOCAL = {"host": "127.0.0.1:7860"}
BASIC = base64.b64encode(b"anybody:secret").decode()


async def _inner(scope, receive, send):
    message = await receive()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def ask(headers, *, path="/api/v1/jobs", method="POST", body=b"", pieces=None, kind="http", **gate):
    """Return the status, headers and body of an answer."""
    parts, sent = [*(pieces or [body])], []

    async def receive():
        if kind != "http":
            return {"type": "websocket.connect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "path": path, "method": method}
    scope["headers"] = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    asyncio.run(Gate(_inner, **{"most_bytes": 100} | gate)(scope, receive, send))
    if kind != "http":
        return sent
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1].get("body", b"")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:7860", "[::1]:7860", "192.168.1.20:7860", "LOCALHOST"])
def test_numbers_and_this_machine_are_answered(host):
    status, headers, _ = ask({"host": host})
    assert (status, headers[b"x-content-type-options"]) == (200, b"nosniff")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80", "[::1", "a@b"]
)
def test_a_name_that_was_bent_to_this_machine_is_refused(host):
    assert ask({"host": host})[0] == 403


def test_a_name_that_is_allowed_is_answered():
    assert ask({"host": "studio.lan:7860"}, hosts=["Studio.lan"])[0] == 200


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "https://127.0.0.1.evil.example", "http://127.0.0.1:9999", "", "file://"]
)
def test_pages_of_other_sites_are_refused_for_every_verb(origin):
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        assert ask(LOCAL | {"origin": origin}, method=method)[0] == 403


def test_our_own_page_and_allowed_ones_pass():
    assert ask(LOCAL | {"origin": "http://127.0.0.1:7860"})[0] == 200
    assert ask(LOCAL | {"origin": "https://art.example"}, origins=["https://art.example/"])[0] == 200


SHUT = [{"type": "websocket.close", "code": 1008}]


def test_web_sockets_open_at_their_paths_for_who_may_ask():
    assert ask(LOCAL, kind="websocket", path="/ws") == [{"type": "websocket.accept"}]
    assert ask(LOCAL | {"authorization": "Bearer secret"}, kind="websocket", path="/ws", token="secret") != SHUT


@pytest.mark.parametrize(
    ("headers", "path", "token"),
    [
        (LOCAL, "/", ""),
        (LOCAL, "/api/v1/jobs", ""),
        ({"host": "evil.example"}, "/ws", ""),
        (LOCAL | {"origin": "http://evil.example"}, "/ws", ""),
        (LOCAL | {"origin": "null"}, "/api/ws", ""),
        (LOCAL, "/ws", "secret"),
        (LOCAL | {"authorization": "Bearer wrong"}, "/ws", "secret"),
    ],
)
def test_web_sockets_are_closed_before_they_open_for_strangers(headers, path, token):
    assert ask(headers, kind="websocket", path=path, token=token) == SHUT


@pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded", "text/plain"])
def test_scripts_for_comfyui_may_leave_out_what_they_send_but_pages_may_not(kind):
    headers = LOCAL | {"content-length": "2"} | ({"content-type": kind} if kind else {})
    assert ask(headers, path="/prompt", body=b"{}")[0] == 200
    assert ask(headers, path="/api/v1/jobs", body=b"{}")[0] == 415
    assert ask(headers | {"origin": "null"}, path="/prompt", body=b"{}")[0] == 403


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Bearer secret", 200),
        (f"Basic {BASIC}", 200),
        ("Bearer wrong", 401),
        ("", 401),
        ("Basic %%%", 401),
        ("Digest secret", 401),
    ],
)
def test_a_token_opens_every_path_but_health(word, status):
    found, headers, _ = ask(LOCAL | {"authorization": word}, token="secret")
    assert found == status
    assert (b"www-authenticate" in headers) == (status == 401)
    assert ask(LOCAL, path="/healthz", token="secret")[0] == 200
    assert ask(LOCAL, path="/healthz/../api/v1/jobs", token="secret")[0] == 401


def test_a_message_is_read_to_its_limit_whatever_its_head_says():
    json = LOCAL | {"content-type": "application/json"}
    assert ask(json | {"content-length": "100"}, body=b"x" * 100)[2] == b"x" * 100
    assert ask(json | {"content-length": "101"}, body=b"x" * 101)[0] == 413
    assert ask(json | {"transfer-encoding": "chunked"}, pieces=[b"x" * 60, b"x" * 60])[0] == 413
    assert ask(json | {"content-length": "9" * 5000})[0] == 413
    assert ask(json | {"content-length": "-1"})[0] == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "text/html", "image/svg+xml"])
def test_what_a_foreign_form_can_send_is_no_message(kind):
    assert ask(LOCAL | {"content-type": kind, "content-length": "2"}, body=b"{}")[0] == 415


def test_a_public_address_needs_a_token():
    for host in ("0.0.0.0", "192.168.1.2", "::", "machine.lan", ""):
        with pytest.raises(RequestError, match="token"):
            check_address(host, "")
        check_address(host, "secret")
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        check_address(host, "")
