"""`sfumato serve`: parse, and hand over to the server.

Imports the server only when the command runs. Start reading at `serve`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sfumato.core.defaults import DEFAULTS


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; a public one needs a token.", metavar="ADDRESS")
    ] = DEFAULTS.host,
    port: Annotated[
        int, typer.Option("--port", help="Port to listen on; 0 takes a free one.", metavar="N", min=0, max=65535)
    ] = DEFAULTS.port,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            help="Password that clients send as Bearer or Basic. SFUMATO_TOKEN keeps it out of the list of processes.",
            metavar="TEXT",
            show_default=False,
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", help="Another name that clients call this machine; may be repeated.", metavar="NAME"
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", help="A site whose pages may use this server; may be repeated.", metavar="URL"),
    ] = None,
) -> None:
    """Serve pictures over HTTP: to clients of A1111 and OpenAI, and to scripts at /api/v1.

    The queue and its pictures lie in SFUMATO_STATE and survive every crash.
    """
    from sfumato.server.serve import ServeOptions
    from sfumato.server.serve import serve as run_server

    run_server(
        ServeOptions(
            host=host,
            port=port,
            token=token,
            hosts=tuple(allow_host or ()),
            origins=tuple(allow_origin or ()),
        )
    )
