"""Where faults happen: a folder, servers that end with it, and how much of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from reliability.ledger import Row
from reliability.network import Line, line_to
from reliability.processes import ServiceProcess
from reliability.storm import Scale, storm
from tests.support.redis import RedisServer


@dataclass
class Scene:
    """One fault's surroundings; use :func:`scene` to have all of it end."""

    folder: Path
    scale: Scale
    stack: ExitStack = field(default_factory=ExitStack)

    def service(
        self,
        store: str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        command: tuple[str, ...] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ServiceProcess:
        """A running service, on a file of this scene's unless told otherwise."""
        process = ServiceProcess(
            self.folder,
            store,
            settings=settings,
            environment=environment,
            **({"command": command} if command else {}),
        )
        return self.stack.enter_context(process)

    def redis(self, **settings: str) -> RedisServer:
        """A Redis that syncs each write to its append-only file."""
        kept = {"appendonly": "yes", "appendfsync": "always"}
        server = RedisServer(self.folder / "redis", **{**kept, **settings})
        return self.stack.enter_context(server)

    def line(self, port: int) -> Line:
        """A line to a port."""
        return self.stack.enter_context(line_to(port))

    def large(self) -> Scale:
        """The same with forecasts that are analysed in worker processes."""
        return replace(self.scale, members=1500)

    def run(
        self,
        fault: Callable[..., Row],
        store: str,
        urls: list[str],
        disturb: Callable[[], int],
        *,
        scale: Scale | None = None,
        check_at: str | None = None,
        timeout: float = 30.0,
        roaming: bool = False,
    ) -> Row:
        """Disturb clients that cycle; figures under the fault's own name."""
        return storm(
            Row(title(fault), store),
            urls,
            scale or self.scale,
            disturb,
            check_at=check_at,
            timeout=timeout,
            roaming=roaming,
        )


Fault = Callable[[Scene], Row]


class Unable(Exception):
    """This machine has not what a fault needs; the table says so."""


@contextmanager
def scene(folder: Path, scale: Scale) -> Iterator[Scene]:
    """A scene whose processes end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Scene(folder, scale)
    with made.stack:
        yield made


def title(fault: Callable[..., Row]) -> str:
    """What the table calls a fault."""
    return (fault.__doc__ or fault.__name__).splitlines()[0].rstrip(".")
