"""The studio: the page that `sfumato serve` shows, built from `studio/` at the top of the repository by `make studio`.

It talks to `/api/v1` alone, and knows no module of this package. Start reading at `find_pages`, then `studio/src/App.svelte`.
"""

from __future__ import annotations

from pathlib import Path


def find_pages() -> Path:
    """Return the folder of the built page: `index.html`, its script and style, and small pictures."""
    return Path(__file__).parent / "pages"
