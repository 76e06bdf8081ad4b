"""``ccdm serve``: the service under uvicorn, with limits that suit it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import uvicorn
from pydantic import ValidationError
from rich.markup import escape
from uvicorn.supervisors import Multiprocess

from service.app import build_app
from service.auth import Gate, first_key
from service.cli.output import FAILED, USAGE, CommandError, console
from service.settings import Settings
from service.stores import open_store

# Seconds that running requests get after SIGTERM; then they are cut off.
GRACE = 20
# Longer than clients keep idle connections, so that it is never the service which
# closes one that a client is about to use.
KEEP_ALIVE = 75
BACKLOG = 2048
MOST_HEAD_BYTES = 64 * 1024


def serve_forever(
    *, host: str | None, port: int | None, store: str | None, workers: int
) -> None:
    """Listen, say where, and answer until told to stop.

    Options given here go into the environment, where every worker process reads them.
    """
    for name, value in (("HOST", host), ("PORT", port), ("STORE_URL", store)):
        if value is not None:
            os.environ[f"CCDM_{name}"] = str(value)
    settings = read_settings()
    try:
        open_store(settings.store_url)
    except ValueError as error:
        raise CommandError(f"store: {error}", USAGE) from error
    listener = _listen(settings.host, settings.port)
    _announce(settings, listener, _key_made(settings))
    config = uvicorn.Config(
        "service.cli.serve:application",
        factory=True,
        workers=workers,
        # The service writes its own log; uvicorn is heard when something is wrong.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # The faster parser has no limit on the size of a request's head.
        http="h11",
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    if workers > 1:
        Multiprocess(config, sockets=[listener]).run()
        return
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return
    if not server.started:
        raise CommandError("the service could not start; the reason is above")


def application() -> Any:
    """The service's application, as each worker process builds it.

    A worker is handed the listening socket in a way that its own children would
    inherit too, and a child that outlives a killed service would keep the port.
    """
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):
            os.set_inheritable(descriptor, False)
    return build_app()


def read_settings() -> Settings:
    """The settings, or a sentence about what is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"CCDM_{str(item['loc'][0]).upper()}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise CommandError(wrong, USAGE) from error


def _key_made(settings: Settings) -> str | None:
    """A new key, where other machines can reach the service and none is set."""
    try:
        made = first_key(settings)
        # So that a key that cannot be read is told here, and not by every worker.
        Gate(settings)
    except (ValueError, OSError) as error:
        raise CommandError(f"API keys: {error}", USAGE) from error
    return made


def without_password(url: str) -> str:
    """A store's address as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        # Else a restart has to wait for the old connections to be forgotten.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # From here on clients may connect; they are answered once the service is up.
        listener.listen(BACKLOG)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port}: {error.strerror}. Another --port may be "
            "free; --port 0 finds one.",
            FAILED,
        ) from error
    return listener


def _announce(settings: Settings, listener: socket.socket, new_key: str | None) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else shown
    out = console()
    out.print(f"Listening on  http://{escape(shown)}:{port}", style="bold")
    out.print(f"Sessions in   {escape(without_password(settings.store_url))}")
    out.print(f"Try it        http://{escape(reachable)}:{port}/docs")
    out.print(f"Stop          {'Ctrl+C' if out.is_terminal else 'SIGTERM'}")
    if new_key is not None:
        out.print(f"API key       {new_key}", style="bold yellow")
        out.print(
            "              Other machines can reach this address, so a key was made. "
            "It is shown\n              this once; what is kept is its digest."
        )
    elif not settings.is_loopback:
        out.print("API key       required: as set, or as shown at the first start")
    # The service logs to standard error; nobody should wait for a full buffer.
    sys.stdout.flush()
