"""``ccdm serve``: the service under uvicorn, with limits that suit it."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import resource
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.markup import escape
from uvicorn.supervisors import Multiprocess

from service.app import build_app
from service.auth import Gate, first_key
from service.cli.output import FAILED, USAGE, CommandError, console
from service.metrics import FOLDER as METRICS_FOLDER
from service.observability import forward_logs
from service.schemas.base import plain, told
from service.settings import Settings, check_names
from service.stores import StoreError, open_store
from service.stores.opening import file_of
from service.stores.places import without_password

BACKLOG = 2048
# Descriptors beside those of connections: stores, workers, logs.
SPARE_FILES = 256
SWITCH_SECONDS = 0.001


def serve_forever(
    *, host: str | None, port: int | None, store: str | None, workers: int
) -> None:
    """Listen, say where, and answer until told to stop.

    Options given here go into the environment, where every worker process reads them.
    """
    for name, value in (("HOST", host), ("PORT", port), ("STORE_URL", store)):
        if value is not None:
            os.environ[f"CCDM_{name}"] = str(value)
    try:
        check_names(os.environ)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    settings = read_settings()
    try_store(settings.store_url)
    _allow_files(settings.max_connections + SPARE_FILES)
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
        # With deadlines that uvicorn's own protocols lack.
        http="service.connections:BoundedProtocol",
        ws="none",
        h11_max_incomplete_event_size=settings.max_head_bytes,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    if workers > 1:
        with tempfile.TemporaryDirectory(prefix="ccdm-metrics-") as folder:
            # Before any worker imports the library: they add up their metrics there.
            os.environ[METRICS_FOLDER] = folder
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
    _end_with_parent()
    # Threads that compute or decode hand the interpreter to the event loop this soon.
    sys.setswitchinterval(SWITCH_SECONDS)
    app = build_app()
    forward_logs(app.state.logger)
    return app


def _end_with_parent() -> None:
    """End when the process that started this worker does, however it ends.

    Else workers of a killed service would go on and keep the port.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def read_settings() -> Settings:
    """The settings, or a sentence about what is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(map(_said, error.errors(include_url=False)))
        raise CommandError(wrong, USAGE) from error
    except SettingsError as error:
        # Raised before anything is validated; it names the field in its text alone.
        named = re.search(r'field "(\w+)"', str(error))
        name = f"CCDM_{named[1].upper()}" if named else "CCDM_*"
        reason = f": {error.__cause__}" if error.__cause__ else ""
        raise CommandError(f"{name}: wanted JSON, got none{reason}", USAGE) from error


def _said(item: Mapping[str, Any]) -> str:
    """One thing that is wrong, and where."""
    name, *place = (str(part) for part in item["loc"])
    inside = ", ".join(repr(part) for part in place if part != "[key]")
    # Keys and addresses with passwords in them are not repeated.
    secret = place or re.search("key|url", name)
    said = plain(item["msg"]) if secret else told(item)
    advice = _as_bytes(str(item["input"])) if name.endswith("_bytes") else ""
    return f"CCDM_{name.upper()}: {inside + ': ' if inside else ''}{said}{advice}"


def _as_bytes(text: str) -> str:
    """How a size is to be written."""
    size = re.fullmatch(r"\s*(\d{1,9})\s*([kKmMgG])(i?)[bB]?\s*", text)
    if size is None:
        return "; give a number of bytes, such as 67108864"
    base = 1024 if size[3] or size[2] in "KMG" else 1000
    count = int(size[1]) * base ** ("kmg".index(size[2].lower()) + 1)
    return f"; give a number of bytes: {count}"


def try_store(url: str) -> None:
    """Open the store once, so that a wrong address is told here, in one sentence."""

    async def attempt() -> None:
        store = open_store(url)
        await store.open()
        await store.close()

    try:
        asyncio.run(attempt())
    except ValueError as error:
        raise CommandError(f"store: {error}", USAGE) from error
    except (StoreError, OSError, TypeError) as error:
        reason = str(error).removeprefix("The session store is not available: ")
        raise CommandError(
            f"store: {without_password(url)} cannot be opened: {reason}", FAILED
        ) from error


def _allow_files(wanted: int) -> None:
    """As many open files as connections may need, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _key_made(settings: Settings) -> str | None:
    """A new key, where other machines can reach the service and none is set."""
    try:
        made = first_key(settings)
        # So that a key that cannot be read is told here, and not by every worker.
        Gate(settings)
    except (ValueError, OSError) as error:
        raise CommandError(f"API keys: {error}", USAGE) from error
    return made


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
    where = file_of(settings.store_url) or without_password(settings.store_url)
    out.print(f"Sessions in   {escape(str(where))}", soft_wrap=True)
    out.print(f"Dashboard     http://{escape(reachable)}:{port}/dashboard")
    out.print(f"All requests  http://{escape(reachable)}:{port}/docs")
    stop = "Ctrl+C" if out.is_terminal else f"kill {os.getpid()}"
    out.print(f"Stop          {stop}")
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
