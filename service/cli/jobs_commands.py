"""The options of ``ccdm jobs``; the work is done in ``service.cli.jobs``."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.sessions_commands import Json, StoreUrl, Tenant

jobs = typer.Typer(
    help="List, show and dismiss jobs, on the store itself.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Id = Annotated[str, typer.Argument(metavar="ID")]


@jobs.command("list")
def list_(
    store: StoreUrl = None, tenant: Tenant = "default", json: Json = False
) -> None:
    """Show all jobs of a tenant that are kept, the oldest first."""
    from service.cli.jobs import list_jobs
    from service.cli.sessions import Place

    list_jobs(Place(store, tenant), as_json=json)


@jobs.command()
def show(job: Id, store: StoreUrl = None, tenant: Tenant = "default") -> None:
    """Show one job, as JSON, and why it has failed if it has."""
    from service.cli.jobs import show_job
    from service.cli.sessions import Place

    show_job(Place(store, tenant), job)


@jobs.command()
def dismiss(job: Id, store: StoreUrl = None, tenant: Tenant = "default") -> None:
    """Stop a job that waits or runs; delete one that has ended."""
    from service.cli.jobs import dismiss_job
    from service.cli.sessions import Place

    dismiss_job(Place(store, tenant), job)
