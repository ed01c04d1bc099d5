"""The HTTP surfaces: each turns what its clients send into one kind of job, and a job into what they read.

Start reading at `sfumato.server.surfaces.own`, our own interface; the others translate to the same settings.
"""
