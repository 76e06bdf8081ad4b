"""The commands and their options; the work is done in a module of each command.

Those modules are imported when their command runs, so that ``ccdm --help`` is quick
and a missing extra is missed only where it is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.jobs_commands import jobs
from service.cli.output import CommandError, leave
from service.cli.sessions_commands import Json, Tenant, sessions

app = typer.Typer(
    name="ccdm",
    help="Data assimilation with closed-form conditional diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(sessions, name="sessions")
app.add_typer(jobs, name="jobs")

Url = Annotated[
    str | None, typer.Option(help="A running service, e.g. http://127.0.0.1:8000.")
]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="CCDM_API_KEY", help="API key of that service."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        help="Where sessions are kept: sqlite:///file or redis://host:6379/0. "
        "[default: CCDM_STORE_URL, else a file in the user's data folder]"
    ),
]


def run() -> None:
    """Run the command line and turn failures into a sentence and an exit code."""
    try:
        app()
    except CommandError as error:
        leave(error)


def _version(wanted: bool) -> None:
    if wanted:
        # The engine brings NumPy along, which --help has no use for.
        from ccdm_engine.version import __version__

        typer.echo(f"ccdm {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Data assimilation with closed-form conditional diffusion models."""


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port; 0 takes a free one. [default: 8000]", min=0, max=65535
        ),
    ] = None,
    store: StoreUrl = None,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1)] = 1,
) -> None:
    """Start the service. Everything else is set by CCDM_* environment variables."""
    from service.cli.serve import serve_forever

    serve_forever(host=host, port=port, store=store, workers=workers)


@app.command()
def worker(
    store: StoreUrl = None,
    slots: Annotated[int, typer.Option(help="Jobs at the same time.", min=1)] = 1,
    alive: Annotated[
        Path | None,
        typer.Option(help="A file to touch after every look at the queue, for probes."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Port of CCDM_HOST where Prometheus reads, without a key; none if "
            "not given.",
            min=1,
            max=65535,
        ),
    ] = None,
) -> None:
    """Run jobs from the store beside the service, on this or another machine."""
    from service.cli.worker import work_forever

    work_forever(store=store, slots=slots, alive=alive, metrics_port=metrics_port)


@app.command()
def check(store: StoreUrl = None, url: Url = None, api_key: ApiKey = None) -> None:
    """Diagnose the installation, the store and, with --url, a running service."""
    from service.cli.check import run_checks

    raise typer.Exit(run_checks(store=store, url=url, api_key=api_key))


@app.command()
def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As a page of documentation.")
    ] = False,
) -> None:
    """Show every setting, what it means and what it is here."""
    from service.cli.settings import show_settings

    show_settings(markdown=markdown)


@app.command()
def assimilate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...",
            help="Forecast states, simulated measurements and observation, each .npy, "
            ".npz, .nc or .csv; or one .npz or .nc that holds all three by name.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".npy, .npz, .nc or .csv to write.")
    ] = Path("analysis.npy"),
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One option; may be repeated."),
    ] = None,
    options: Annotated[
        Path | None, typer.Option(help="JSON file of options; --option overrides it.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="For the same samples again.", min=0)
    ] = None,
    diagnostics: Annotated[
        Path | None, typer.Option(help="JSON file for the diagnostics.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Turn three arrays in files into an analysis in a file.

    States are (N, dx) and simulated measurements (N, dy), one row per member; the
    observation is (dy), with NaN or an empty cell where nothing was observed.
    """
    from service.cli.assimilate import Job, assimilate_files

    assimilate_files(
        Job(files, output, option or [], options, seed, diagnostics, url, api_key)
    )


@app.command()
def replay(
    session: Annotated[
        str, typer.Argument(help="A session's id, or a file it was exported to.")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILES]...",
            help="Forecast states, simulated measurements and observation, where the "
            "store does not keep them.",
        ),
    ] = None,
    cycle: Annotated[
        int | None, typer.Option(help="Which one. [default: the last]", min=1)
    ] = None,
    store: StoreUrl = None,
    tenant: Tenant = "default",
    json: Json = False,
) -> None:
    """Make a stored analysis again, and compare every byte."""
    from service.cli.replay import replay as replay_cycle
    from service.cli.sessions import Place

    place = Place(store, tenant)
    raise typer.Exit(replay_cycle(place, session, cycle, files or [], as_json=json))


@app.command()
def demo(
    cycles: Annotated[
        int, typer.Option(help="Observations to assimilate.", min=2)
    ] = 100,
    members: Annotated[int, typer.Option(help="Ensemble size.", min=2)] = 250,
    seed: Annotated[int, typer.Option(help="Of all randomness.", min=0)] = 1,
    out: Annotated[Path, typer.Option(help="Folder for picture, scores and logs.")] = (
        Path("out/demo")
    ),
) -> None:
    """Cycle a chaotic model through a service that is killed on the way."""
    from service.cli.demo.journey import Plan
    from service.cli.demo.run import run_demo

    raise typer.Exit(run_demo(Plan(cycles, members, seed, out)))


@app.command()
def experiment(
    name: Annotated[
        str | None, typer.Argument(help="Published setting; none lists them.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="Comma-separated, with options: ccdm:inflation=1.02")
    ] = "ccdm,enkf,letkf,sir",
    members: Annotated[str, typer.Option(help="Ensemble sizes.")] = "50,100,250",
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    cycles: Annotated[
        int | None, typer.Option(min=1, help="As in the setting unless given.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    w2: Annotated[
        bool | None, typer.Option(help="Distance to a reference; on where bimodal.")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Draw them.")] = True,
    out: Annotated[Path, typer.Option(help="Folder.")] = Path("out/experiments"),
) -> None:
    """Compare methods on a published twin experiment; resumable."""
    from service.cli.experiment import Plan, list_experiments, run_experiment

    if name is None:
        list_experiments()
        return
    run_experiment(
        Plan(
            name,
            method,
            members,
            seeds,
            first_seed,
            cycles,
            workers,
            w2,
            pictures,
            out,
        )
    )
