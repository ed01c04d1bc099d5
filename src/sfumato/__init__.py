"""Sfumato: pictures of any size, right hands and safe learning for Stable Diffusion checkpoints.

`load`, `render`, `upscale`, `plan` and `compare` are the way in; see `sfumato.api`. They are imported when first used,
so that `import sfumato` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sfumato.core.version import __version__

if TYPE_CHECKING:
    from sfumato.api import *  # noqa: F403

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    """Find a public name in `sfumato.api` when it is first used."""
    if name.startswith("_"):
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    api = import_module("sfumato.api")
    if name not in api.__all__:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(api, name)


def __dir__() -> list[str]:
    """List the public names."""
    return ["__version__", *import_module("sfumato.api").__all__]
