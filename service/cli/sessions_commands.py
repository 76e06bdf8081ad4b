"""The options of ``ccdm sessions``; the work is done in ``service.cli.sessions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

sessions = typer.Typer(
    help="List, show, export, import and delete sessions, on the store itself.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StoreUrl = Annotated[
    str | None,
    typer.Option(
        help="Address of the store. [default: CCDM_STORE_URL, as the service]"
    ),
]
Tenant = Annotated[str, typer.Option(help="Whose sessions.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...")]


@sessions.command("list")
def list_(
    store: StoreUrl = None, tenant: Tenant = "default", json: Json = False
) -> None:
    """Show all live sessions of a tenant, and what they take up."""
    from service.cli.sessions import Place, list_sessions

    list_sessions(Place(store, tenant), as_json=json)


@sessions.command()
def show(
    session: Annotated[str, typer.Argument(metavar="ID")],
    store: StoreUrl = None,
    tenant: Tenant = "default",
    json: Json = False,
) -> None:
    """Show one session and the facts of its last cycle."""
    from service.cli.sessions import Place, show_session

    show_session(Place(store, tenant), session, as_json=json)


@sessions.command()
def export(
    session: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file, or a folder. [default: ID.ccdm.zip here]"
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All sessions of the tenant.")
    ] = False,
    store: StoreUrl = None,
    tenant: Tenant = "default",
) -> None:
    """Write sessions into files that any store can take in again."""
    from service.cli.sessions import Place, export_sessions

    export_sessions(Place(store, tenant), session or [], output, everything=everything)


@sessions.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    store: StoreUrl = None,
    tenant: Tenant = "default",
) -> None:
    """Put the sessions of files into a store; one that lives there stays."""
    from service.cli.sessions import Place, import_sessions

    import_sessions(Place(store, tenant), files)


@sessions.command()
def delete(
    session: Ids,
    store: StoreUrl = None,
    tenant: Tenant = "default",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete sessions, with all their cycles."""
    from service.cli.sessions import Place, delete_sessions

    delete_sessions(Place(store, tenant), session, sure=yes)
