"""Jobs that outlive every process: what is queued, who works on it, what came of it.

Knows no picture, no HTTP and no engine. Start reading at `sfumato.server.queue.store`.
"""
