"""Worker processes: one per device, each keeps its model loaded and dies alone.

Start reading at `sfumato.server.workers.loop` (inside the worker) and `supervisor` (inside the server).
"""
