"""What every route needs, in one value, and how a route waits for a job.

Start reading at `ServerContext`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from sfumato.server.answers import StoppingError
from sfumato.server.hub import Hub
from sfumato.server.intake import Intake
from sfumato.server.job_log import JobLog
from sfumato.server.queue.records import JobRecord
from sfumato.server.queue.store import JobStore
from sfumato.server.workers.supervisor import Supervisor

# Should a bell be lost, the queue is looked at anyway.
LOOK_EVERY_S = 2.0
_WATCH_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class ServerContext:
    """The parts of a running server."""

    store: JobStore
    hub: Hub
    supervisor: Supervisor
    intake: Intake
    log: JobLog = field(default_factory=JobLog)

    async def find(self, job_id: str) -> JobRecord:
        """Return a job; as `JobStore.find`."""
        return await asyncio.to_thread(self.store.find, job_id)

    def tell_queued(self, job: JobRecord) -> JobRecord:
        """Wake the worker for a new job."""
        self.supervisor.wake()
        self.hub.ring(job.id)
        self.log.write_job("queued", job)
        return job

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job; as `JobStore.cancel`."""
        job = await asyncio.to_thread(self.store.cancel, job_id)
        self.hub.ring(job_id)
        return job

    async def wait_for_end(self, job_id: str) -> JobRecord:
        """Wait until a job has ended, however often its worker dies meanwhile.

        Raises:
            StoppingError: the server stops; the job is kept.
        """
        with self.hub.listen(job_id) as bell:
            while True:
                bell.clear()
                job = await self.find(job_id)
                if job.has_ended:
                    return job
                if self.hub.closing:
                    do = "Ask for the job when the server is back."
                    raise StoppingError("the server stops; the job is kept", got=job_id, do=do)
                await wait_for_bell(bell)

    def want_preview(self) -> None:
        """Note that somebody looks at previews, and tell the worker now and then."""
        now = time.monotonic()
        if now - self.hub.wanted_preview_s > _WATCH_EVERY_S:
            self.hub.wanted_preview_s = now
            self.supervisor.watch()


async def wait_for_bell(bell: asyncio.Event, most_s: float = LOOK_EVERY_S) -> None:
    """Wait for a bell, not for ever."""
    try:
        await asyncio.wait_for(bell.wait(), most_s)
    except TimeoutError:
        return
