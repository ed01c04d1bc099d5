"""The command line: parse, call a workflow, print.

Thin on purpose; a library user misses nothing. Nothing heavy is imported before a command runs, so
`sfumato --help` answers at once. Start reading at `main`, then `app`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code (see `sfumato.cli.exit_codes`)."""
    try:
        from sfumato.cli.app import make_app
        from sfumato.cli.exit_codes import run_command
    except KeyboardInterrupt:
        # Nothing has begun, so there is nothing to tell but the code.
        sys.exit(130)

    # What a service manager or a closed terminal sends stops a render the way Ctrl-C does.
    for polite in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(polite, signal.default_int_handler)
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run_command(make_app(), given))
