"""Keep the model libraries off the network; imported before any of them.

They read these variables once, when they are first imported. Knows nothing else.
"""

from __future__ import annotations

import os

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    # A hint to install an accelerator library is a warning, and warnings are errors in our tests.
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
}


def go_offline() -> None:
    """Set the variables, whatever they were: nothing here ever needs a hub."""
    os.environ.update(OFFLINE)
