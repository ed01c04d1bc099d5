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
    open_page: Annotated[bool, typer.Option("--open", help="Show the studio in the browser of this machine.")] = False,
) -> None:
    """Serve pictures over HTTP: the studio in a browser, clients of A1111 and OpenAI, scripts at /api/v1.

    The queue and its pictures lie in SFUMATO_STATE and survive every crash.
    """
    from sfumato.server.serve import ServeOptions
    from sfumato.server.serve import serve as run_server
    from sfumato.studio import find_pages

    run_server(
        ServeOptions(
            host=host,
            port=port,
            token=token,
            hosts=tuple(allow_host or ()),
            origins=tuple(allow_origin or ()),
            pages=find_pages(),
            on_ready=_show_page if open_page else None,
        )
    )


def _show_page(address: str) -> None:
    """Open the studio in a browser, without waiting for it."""
    import threading
    import webbrowser
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    # An address that means every network of this machine is none that a browser can go to.
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 it is compared, not listened on
    host = everywhere.get(parts.hostname or "")
    page = address if host is None else f"http://{host}:{parts.port}"

    def show() -> None:
        if not webbrowser.open(page):
            typer.echo(f"no browser was found; open {page} yourself", err=True)

    threading.Thread(target=show, name="browser", daemon=True).start()
