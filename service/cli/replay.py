"""``ccdm replay``: make a stored analysis again, and compare the bytes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from ccdm_engine import AnalysisOptions
from service.cli.files import NAMES, Array, read_triple
from service.cli.output import USAGE, CommandError, console
from service.cli.sessions import Place
from service.cli.stores import with_store
from service.compute import run_job
from service.errors import ServiceError
from service.manifest import described, shortened
from service.portable import PortableError, opened
from service.sessions import Cycle, Session
from service.sessions.documents import (
    analysis_blob,
    cycle_record,
    input_blobs,
    unpack_cycle,
    unpack_session,
)
from service.stores import Store
from service.stores.codec import unpack_array

# Differences that are known to change the last bits.
_SURROUNDINGS = ("versions", "platform", "engine")


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of one cycle; arrays that are not kept are ``None``."""

    session: Session
    cycle: Cycle
    samples: Array | None
    inputs: list[Array | None]


@dataclass(slots=True)
class Verdict:
    """How a replay ended.

    Attributes:
        identical: whether every byte is the same.
        compared: with what: the stored samples, or only their digest.
        differences: between then and now, as ``place: then -> now``.
        largest: largest absolute difference, where there are samples to compare.
    """

    identical: bool
    compared: str
    differences: list[str] = field(default_factory=list)
    largest: float | None = None


def replay(
    place: Place,
    session: str,
    number: int | None,
    files: list[Path],
    *,
    as_json: bool,
) -> int:
    """Replay one cycle and say how it compares; 0 when every byte is the same.

    Args:
        place: where the session is, unless it is a file.
        session: its name, or a file that ``ccdm sessions export`` has written.
        number: the cycle; the last one when not given.
        files: forecast states, simulated measurements and observation, where they
            are not kept.
        as_json: write JSON.
    """
    stored = _stored(place, session, number)
    inputs = _inputs(stored, files)
    seed, options = stored.cycle.seed, _options(stored)
    try:
        samples, facts, _ = run_job(*inputs, options, seed)
    except ServiceError as error:
        raise CommandError(f"the analysis breaks down here: {error}") from None
    verdict = _compared(stored, samples, facts["manifest"])
    _tell(stored, verdict, as_json=as_json)
    return 0 if verdict.identical else 1


def _stored(place: Place, session: str, number: int | None) -> Stored:
    path = Path(session)
    if path.suffix == ".zip" or path.is_file():
        return _from_file(path, number)

    async def work(store: Store) -> Stored:
        loaded = await store.load(place.tenant, session)
        found = unpack_session(session, loaded)
        k = _chosen(found, number)
        (record,) = await store.records(place.tenant, session, [cycle_record(k)])
        if record is None:
            raise CommandError(f"session {session} has lost cycle {k}")
        arrays: list[Array | None] = []
        for name in (analysis_blob(k), *input_blobs(k)):
            payload = await store.blob(place.tenant, session, name)
            arrays.append(None if payload is None else unpack_array(payload))
        return Stored(found, unpack_cycle(record), arrays[0], arrays[1:])

    return with_store(place.store, work)


def _from_file(path: Path, number: int | None) -> Stored:
    try:
        with opened(path) as file:
            k = _chosen(file.session, number)
            cycle = file.cycle(k)
            if cycle is None:
                raise PortableError(f"it has lost cycle {k}")
            arrays = [file.array(n) for n in (analysis_blob(k), *input_blobs(k))]
            return Stored(file.session, cycle, arrays[0], arrays[1:])
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", USAGE) from None
    except PortableError as error:
        raise CommandError(f"{path}: {error}") from None


def _chosen(session: Session, number: int | None) -> int:
    wanted = session.cycle if number is None else number
    if not 1 <= wanted <= session.cycle:
        raise CommandError(
            f"there is no cycle {wanted}; the last finished one is {session.cycle}"
        )
    return wanted


def _inputs(stored: Stored, files: list[Path]) -> tuple[Array, Array, Array]:
    """The three arrays, held against the digests of those that were used."""
    kept = stored.inputs
    if files:
        triple = read_triple(files)
        kept = [triple[name] for name in NAMES]
    found = [array for array in kept if array is not None]
    if len(found) < len(kept):
        oldest = stored.session.inputs_from
        raise CommandError(
            f"the forecast of cycle {stored.cycle.cycle} is not kept"
            + (f"; the oldest that is belongs to cycle {oldest}" if oldest else "")
            + ". Give the files, or raise CCDM_KEEP_INPUTS for cycles to come"
        )
    told = _manifest(stored).get("inputs", {})
    for name, array in zip(NAMES, found, strict=True):
        if name in told and described(array) != told[name]:
            raise CommandError(f"{name} is not what this cycle was made of")
    return found[0], found[1], found[2]


def _options(stored: Stored) -> dict[str, Any]:
    """The options of the cycle, in full."""
    given = stored.session.options | stored.cycle.options
    told = _manifest(stored).get("options")
    if told is None:
        return given
    # As the manifest has them: numbers are floats, defaults are filled in.
    given = AnalysisOptions.from_dict(given).to_dict()
    return {name: _in_full(name, value, given) for name, value in told.items()}


def _in_full(name: str, value: Any, given: Mapping[str, Any]) -> Any:
    """A value of the manifest; long lists come from the session, if still the same."""
    if not isinstance(value, Mapping):
        return value
    source = given.get(name)
    if "sha256" in value:
        if shortened(source) != value:
            raise CommandError(
                f"option {name!r} has changed since, and the manifest has its digest "
                "only; set it back to what it was"
            )
        return source
    inner = source if isinstance(source, Mapping) else {}
    return {key: _in_full(key, item, inner) for key, item in value.items()}


def _manifest(stored: Stored) -> dict[str, Any]:
    manifest = stored.cycle.diagnostics.get("manifest")
    return manifest if isinstance(manifest, dict) else {}


def _compared(stored: Stored, samples: Array, now: dict[str, Any]) -> Verdict:
    then = _manifest(stored)
    differences = [
        line
        for part in _SURROUNDINGS
        if part in then
        for line in _differences(part, then[part], now[part])
    ]
    kept = stored.samples
    if kept is not None:
        same = kept.shape == samples.shape and kept.tobytes() == samples.tobytes()
        largest = None
        if not same and kept.shape == samples.shape:
            largest = float(np.max(np.abs(kept - samples)))
        return Verdict(same, "the stored samples", differences, largest)
    if "samples" not in then:
        raise CommandError("neither the samples nor their digest are kept")
    same = then["samples"] == now["samples"]
    return Verdict(same, "the digest of the samples", differences)


def _differences(place: str, then: Any, now: Any) -> list[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        return [
            line
            for name in then
            for line in _differences(f"{place}.{name}", then[name], now.get(name))
        ]
    return [] if then == now else [f"{place}: {then} -> {now}"]


def _tell(stored: Stored, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        told = {
            "session": stored.session.id,
            "cycle": stored.cycle.cycle,
            "identical": verdict.identical,
            "compared": verdict.compared,
            "differences": verdict.differences,
            "largest_difference": verdict.largest,
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    out = console()
    what = f"cycle {stored.cycle.cycle} of {stored.session.id}"
    if verdict.identical:
        out.print(f"{what}: identical to {verdict.compared}", style="green")
    else:
        out.print(f"{what}: differs from {verdict.compared}", style="bold red")
        if verdict.largest is not None:
            out.print(f"largest difference {verdict.largest:.3g}")
    for line in verdict.differences:
        out.print(f"other than then  {escape(line)}", style="yellow")
    if not _manifest(stored):
        out.print("the cycle has no manifest: it is older than this feature")
    elif not verdict.identical:
        out.print(
            "bytes are promised for the same engine, versions and processor family"
            if verdict.differences
            else "everything around it is the same: this should not happen"
        )
