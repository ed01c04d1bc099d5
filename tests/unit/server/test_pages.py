"""A page is served as it was built, under rules that let it load from this server alone."""

import gzip

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sfumato.server.pages import add_pages

SCRIPT = b"console.log('a script');\n" * 40


@pytest.fixture
def client(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>x</title>")
    (tmp_path / "assets" / "index.js").write_bytes(SCRIPT)
    (tmp_path / "notes.txt").write_text("not for a page")
    app = FastAPI()
    add_pages(app, tmp_path)
    return TestClient(app)


def test_the_index_stands_at_the_root_under_strict_rules(client):
    answer = client.get("/")
    assert answer.text.startswith("<!doctype html>")
    rules = answer.headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "unsafe" not in rules


def test_a_script_is_packed_where_the_browser_unpacks(client):
    answer = client.get("/assets/index.js")
    assert (answer.content, answer.headers["content-encoding"]) == (SCRIPT, "gzip")
    assert int(answer.headers["content-length"]) == len(gzip.compress(SCRIPT, 6, mtime=0)) < len(SCRIPT)
    plain = client.get("/assets/index.js", headers={"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers.get("content-encoding")) == (SCRIPT, None)


def test_what_a_browser_has_is_not_sent_again(client):
    tag = client.get("/assets/index.js").headers["etag"]
    again = client.get("/assets/index.js", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/notes.txt", "/index.js", "/assets/../notes.txt", "/%2e%2e/etc/passwd", "/assets/"])
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404
