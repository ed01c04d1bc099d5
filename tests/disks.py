"""A disk that is full in the middle of a write, without filling one."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(most_bytes):
    """Refuse files beyond a number of bytes, only while open: the log of the test run may be a file too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
