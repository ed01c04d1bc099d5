# What is used of this library is checked by tests and by models/contract.py. Its own sources import a few thousand
# modules, and reading them takes the type checker longer than all of ours.
from typing import Any

def __getattr__(name: str) -> Any: ...
