"""The server: a durable queue of jobs, worker processes that draw, and HTTP surfaces that clients already speak.

Imported by `sfumato serve` alone. Start reading at `sfumato.server.serve`, then `queue.store` and `workers.supervisor`.
"""
