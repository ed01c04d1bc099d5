"""What a monitor asks for at `/metrics`, in the text form of Prometheus: jobs, queue, worker and requests, never a prompt.

Start reading at `Metrics.write`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sfumato.server.gate import Application, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from sfumato.server.context import ServerContext

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("queued", "running", "done", "failed", "cancelled", "quarantined")
# The first part of a path names the surface; what nobody serves is one name, so that strangers add no rows.
_SURFACES = {
    "v1": "openai",
    "sdapi": "a1111",
    "controlnet": "a1111",
    "generate": "krita",
    "status": "krita",
    "user": "krita",
    "plugin": "krita",
    "prompt": "comfyui",
    "history": "comfyui",
    "view": "comfyui",
}


class Metrics:
    """Count requests, and read the rest from the queue when somebody asks. A leaf."""

    def __init__(self, context: ServerContext) -> None:
        """Count from 0."""
        self._context, self._registry = context, CollectorRegistry()
        names = ("surface", "status")
        self._requests = Counter("sfumato_http_requests", "Requests answered.", names, registry=self._registry)
        self._registry.register(_QueueCollector(context))

    def write(self) -> bytes:
        """Return every number as text."""
        return generate_latest(self._registry)

    def count(self, path: str, status: int) -> None:
        """Count one answer, by the surface of its path and the hundred of its status."""
        self._requests.labels(find_surface(path), f"{status // 100}xx").inc()


class CountingApplication:
    """An ASGI application around another that counts its answers. A leaf."""

    def __init__(self, inner: Application, metrics: Metrics) -> None:
        """Count the answers of `inner`."""
        self._inner, self._metrics = inner, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count(scope["path"], int(message["status"]))
            await send(message)

        await self._inner(scope, receive, counted if scope["type"] == "http" else send)


def find_surface(path: str) -> str:
    """Return the surface that a path belongs to."""
    if path.startswith("/api/v1"):
        return "api"
    if path.startswith("/sdapi/interpause"):
        return "interpause"
    if path.startswith("/sdapi/auto-photoshop-sd"):
        return "auto-photoshop"
    first, _, rest = path.strip("/").partition("/")
    if first == "api":
        first = rest.partition("/")[0]
    return _SURFACES.get(first, "other")


class _QueueCollector:
    """Reads the queue when it is asked. A leaf."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def collect(self) -> Iterable[Metric]:
        store, supervisor = self._context.store, self._context.supervisor
        counts: dict[str, Any] = store.count_jobs()
        jobs = GaugeMetricFamily("sfumato_jobs", "Jobs in each state.", labels=["state"])
        for state in STATES:
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        seconds = CounterMetricFamily("sfumato_job_seconds", "Seconds that jobs of a kind took.", labels=["kind"])
        for kind, total in store.sum_seconds().items():
            seconds.add_metric([kind], total)
        yield seconds
        yield GaugeMetricFamily("sfumato_queue_paused", "1 while no job begins.", value=float(store.is_paused()))
        ready = float(supervisor.ready.is_set())
        yield GaugeMetricFamily("sfumato_worker_ready", "1 while a worker waits or draws.", value=ready)
        yield CounterMetricFamily(
            "sfumato_worker_deaths", "Workers that ended without a word.", value=supervisor.deaths
        )
