"""From a request to a picture: plan first, then run.

Knows a model only through its contract, and nothing of files, adapters or the command line.
Start reading at `plan.make_plan`, then `engine.run_plan`.

The package shares its name with the public function `sfumato.render`, so it can be called: `sfumato.render("a house")`
works whether or not this package was imported before.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package that answers a call as the public function of its name does."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Render one picture; see `sfumato.api.render`."""
        return import_module("sfumato.api").render(*arguments, **settings)


sys.modules[__name__].__class__ = CallablePackage
