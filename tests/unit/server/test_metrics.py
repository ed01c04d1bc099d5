"""Numbers for a monitor and lines for a log: what happened, and no prompt."""

import io
import json

import pytest
from fastapi.testclient import TestClient

from servers import ADDRESS, forget_settings, make_context, make_server
from sfumato.server.job_log import JobLog
from sfumato.server.metrics import find_surface


@pytest.fixture
def context(tmp_path, monkeypatch):
    forget_settings(monkeypatch, tmp_path)
    return make_context(tmp_path / "state")


def test_metrics_count_jobs_and_requests_by_surface(context):
    context.store.submit({"prompt": "a secret"}, surface="api")
    # Without its worker: nothing claims the job.
    client = TestClient(make_server(context), base_url=ADDRESS)
    client.get("/api/v1/nothing")
    client.get("/nobody/knows/this")
    text = client.get("/metrics").text
    assert 'sfumato_jobs{state="queued"} 1.0' in text
    assert 'sfumato_http_requests_total{status="4xx",surface="api"} 1.0' in text
    assert 'surface="other"' in text
    assert "sfumato_worker_ready 0.0" in text
    assert "secret" not in text
    assert client.get("/metrics", headers={"Host": "evil.example"}).status_code == 403


def test_metrics_need_the_token_where_there_is_one(context):
    client = TestClient(make_server(context, token="word"), base_url=ADDRESS)
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer word"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "surface"),
    [("/api/v1/jobs", "api"), ("/api/prompt", "comfyui"), ("/sdapi/v1/txt2img", "a1111"), ("/status/x", "krita")],
)
def test_a_path_has_a_surface(path, surface):
    assert find_surface(path) == surface


def test_the_log_has_facts_and_no_prompt(context):
    stream = io.StringIO()
    log = JobLog(is_on=True, stream=stream, clock=lambda: 12.0)
    log.write_job("queued", context.store.submit({"prompt": "a secret"}, surface="api"))
    line = json.loads(stream.getvalue())
    assert (line["time"], line["event"], line["kind"], line["state"]) == (12.0, "queued", "render", "queued")
    assert "secret" not in stream.getvalue()
    stream.close()
    log.write("after the end")
    JobLog(stream=stream).write("off")
