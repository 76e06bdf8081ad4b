"""The import walls of the house, held by parsing every module.

The rooms stay apart so that each can be read, tested and replaced alone. A wall that
stands wrong is moved here, in the table, with a reason.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WEB = ("fastapi", "starlette", "uvicorn")


@dataclass(frozen=True)
class Wall:
    """What a room does not import, and what of that it may import all the same."""

    room: str
    never: tuple[str, ...]
    but: tuple[str, ...] = ()


WALLS = (
    # Arrays in, arrays out: no files, environment, clocks, logs, progress or plots.
    Wall(
        "ccdm_engine",
        (
            *("service", "os", "io", "pathlib", "shutil", "tempfile", "subprocess"),
            *("time", "datetime", "logging", "random", "matplotlib", "tqdm", "rich"),
        ),
    ),
    # The denoiser arrives as a callable and the schedule as numbers.
    Wall("ccdm_engine.samplers", ("ccdm_engine.mixture", "ccdm_engine.twin")),
    Wall("service.schemas", (*WEB, "redis", "ccdm_engine")),
    Wall("service.media", (*WEB, "redis", "ccdm_engine")),
    # Files in registered folders, and nothing about who asks or who computes.
    Wall("service.stored", (*WEB, "redis", "ccdm_engine", "service.compute")),
    Wall("service.stores", (*WEB, "ccdm_engine")),
    # A file, whoever carries it: the command line has no server.
    Wall("service.portable", (*WEB, "redis", "sqlite3", "service.routers")),
    # Functions of arrays that happen to be far away.
    Wall("service.operators", (*WEB, "redis", "sqlite3", "ccdm_engine")),
    Wall("service.sessions", (*WEB, "redis", "sqlite3", "ccdm_engine")),
    Wall("service.jobs", (*WEB, "redis", "sqlite3", "ccdm_engine", "service.compute")),
    Wall("service.routers", ("redis", "sqlite3", "ccdm_engine")),
    # Thin: another protocol's words for what the routers do.
    Wall("service.facades", ("redis", "sqlite3", "ccdm_engine", "service.stores")),
    Wall(
        "service.client",
        ("service", *WEB, "redis", "ccdm_engine"),
        but=("service.client", "service.schemas", "service.media"),
    ),
    # Pages use the public API, from the browser.
    Wall(
        "service.dashboard",
        ("service", "ccdm_engine", "redis", "sqlite3"),
        but=("service.dashboard",),
    ),
    # One door to the engine. The command line also computes without a service, and
    # anybody may know the version.
    Wall(
        "service",
        ("ccdm_engine", "tests", "benchmarks", "examples"),
        but=("ccdm_engine.version",),
    ),
)
DOORS = {"service": ("service.compute", "service.cli")}
COMPUTING = "service.compute"
NUMERICS = {"numpy", "scipy", "ccdm_engine"}


def modules(room: str) -> Iterator[tuple[str, Path]]:
    """Name and file of every module in a room."""
    place = ROOT / Path(*room.split("."))
    files = [place.with_suffix(".py")] if not place.is_dir() else place.rglob("*.py")
    for path in sorted(files):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(source: str) -> Iterator[str]:
    """Full names of all that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(name: str, rooms: tuple[str, ...]) -> bool:
    """Whether a name is one of the rooms or in one of them."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def breaches(wall: Wall, source: str) -> list[str]:
    """The imports of a module that go through a wall."""
    return [
        name
        for name in imports(source)
        if inside(name, wall.never) and not inside(name, wall.but)
    ]


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.room)
def test_no_module_imports_through_a_wall(wall: Wall) -> None:
    found = dict(modules(wall.room))
    assert found, f"there is no room {wall.room}"
    doors = DOORS.get(wall.room, ())
    through = {
        name: wrong
        for name, path in found.items()
        if not inside(name, doors) and (wrong := breaches(wall, path.read_text()))
    }
    assert not through


def steps(name: str, source: str, house: frozenset[str]) -> Iterator[str]:
    """Modules of the house that are loaded with a module, those for types left out."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = [name, *imports(ast.unparse(tree))]
    for full in found:
        parts = full.split(".")
        # Packages are loaded before what is in them.
        yield from (
            room
            for count in range(1, len(parts) + 1)
            if (room := ".".join(parts[:count])) in house
        )


def reached(starts: Iterable[str], roads: Mapping[str, Iterable[str]]) -> set[str]:
    """All that these modules load, whoever of them does."""
    seen: set[str] = set()
    ahead = set(starts)
    while ahead:
        seen |= ahead
        ahead = {to for name in ahead for to in roads[name]} - seen
    return seen


def test_nothing_leads_round_the_walls_of_the_room_that_computes() -> None:
    """It brings the engine along; other rooms may be reached through their users."""
    files = dict(modules("service"))
    house = frozenset(files)
    roads = {
        name: set(steps(name, path.read_text(), house)) for name, path in files.items()
    }
    through = {}
    for wall in WALLS:
        if COMPUTING in wall.never:
            found = reached((n for n in house if inside(n, (wall.room,))), roads)
            through[wall.room] = sorted(
                name for name in found if inside(name, (COMPUTING,))
            )
    assert not {room: found for room, found in through.items() if found}


def test_a_way_round_is_seen() -> None:
    house = frozenset(("a", "b", "b.c", "d"))
    assert set(steps("a", "from b.c import x\nimport os", house)) == {"a", "b", "b.c"}
    assert set(steps("d", "if TYPE_CHECKING:\n    import b", house)) == {"d"}
    assert reached("a", {"a": ["b.c"], "b.c": ["d"], "d": []}) == {"a", "b.c", "d"}


def test_a_breach_is_seen_however_it_is_written() -> None:
    wall = Wall("room", ("redis",), but=("redis.exceptions",))
    assert breaches(wall, "def f():\n    import redis.asyncio as r") == [
        "redis.asyncio"
    ]
    assert breaches(wall, "from redis import Redis") == ["redis.Redis"]
    assert breaches(wall, "from redis.exceptions import X\nimport redistribute") == []


def test_the_engine_imports_numpy_scipy_and_the_standard_library() -> None:
    known = NUMERICS | sys.stdlib_module_names
    for name, path in modules("ccdm_engine"):
        roots = {found.partition(".")[0] for found in imports(path.read_text())}
        assert roots <= known, f"{name} imports {roots - known}"


# Of numpy.random, what makes a generator; the rest draws from a global one.
MAKERS = {"Generator", "default_rng", "SeedSequence", "PCG64", "Philox"}
FILES = {"load", "save", "savez", "loadtxt", "savetxt", "fromfile", "memmap"}


def side_effects(source: str) -> Iterator[str]:
    """Global randomness, files and printing, as far as reading shows them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("open", "print", "input"):
                yield node.func.id
        elif isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if owner in ("np.random", "numpy.random") and node.attr not in MAKERS:
                yield f"np.random.{node.attr}"
            if owner in ("np", "numpy") and node.attr in FILES:
                yield f"np.{node.attr}"


def test_the_engine_has_no_side_effects() -> None:
    found = {
        name: effects
        for name, path in modules("ccdm_engine")
        if (effects := list(side_effects(path.read_text())))
    }
    assert not found


def test_side_effects_are_seen() -> None:
    source = "import numpy as np\nnp.random.seed(1)\nnp.load('x')\nprint(1)\n"
    assert sorted(side_effects(source)) == ["np.load", "np.random.seed", "print"]
    assert not list(side_effects("np.random.default_rng(1).normal()"))


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ccdm_engine", ("service", "pydantic", "fastapi", "redis", "matplotlib")),
        ("service.client", ("ccdm_engine", "scipy", *WEB, "redis")),
        ("service.app", ("matplotlib",)),
        # BLAS reads how many threads it may use when NumPy is loaded.
        ("service.cli", ("numpy", "scipy", "fastapi")),
        # All that `ccdm --help` needs.
        ("service.cli.app", ("numpy", "ccdm_engine", "fastapi", "pydantic", "redis")),
    ],
)
def test_bare_imports_stay_light(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert not set(done.stdout.split()) & set(unwanted)
