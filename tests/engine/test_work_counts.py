"""What an analysis costs, counted: evaluations, exponentials, bytes held. No clocks.

Seconds differ between machines; these numbers do not, so that work which creeps in is
seen by whoever adds it.
"""

from __future__ import annotations

import dis
import sys
import tracemalloc
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import AnalysisOptions, assimilate, search
from ccdm_engine import mixture as mixtures
from ccdm_engine.mixture import Mixture
from ccdm_engine.neighbourhood import Neighbourhood
from ccdm_engine.parts import Through
from ccdm_engine.sampling import sample

Array = npt.NDArray[np.float64]
MEBIBYTE = 2**20
# As Python 3.11 to 3.13 have them.
OPERATIONS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}
OPERATIONS |= {"BINARY_OP", "UNARY_NEGATIVE", "UNARY_INVERT", "COMPARE_OP"}
# The function hides its module of the same name.
assimilation = sys.modules["ccdm_engine.assimilate"]


def cloud(members: int, dimension: int, width: float) -> Mixture:
    centres = np.random.default_rng([5, members]).standard_normal((members, dimension))
    return Mixture(centres, np.full(members, -np.log(members)), width)


def options(**changes: Any) -> AnalysisOptions:
    fixed: dict[str, Any] = {
        "preconditioner": "none",
        "state_bandwidth": 0.5,
        "measurement_bandwidth": 3.0,
        "shrink": False,
    }
    return AnalysisOptions(**{**fixed, **changes})


def drawn(mixture: Mixture, threads: int = 1, **changes: Any) -> tuple[bytes, int]:
    latents = np.random.default_rng(6).standard_normal(mixture.centres.shape)
    with ThreadPoolExecutor(threads) as pool:
        crew = Through(pool, 2 * threads)
        found = sample(mixture, options(**changes), latents, 7, crew)
    return found.points.tobytes(), found.evaluations


def peak(call: Callable[[], object]) -> int:
    """Bytes held at most, the result included."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def pairs(members: int, dx: int, dy: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng([8, members, dx])
    states = rng.standard_normal((members, dx))
    simulated = states[:, :dy] + 0.5 * rng.standard_normal((members, dy))
    return states, simulated, np.full(dy, 0.3)


@pytest.mark.parametrize(
    ("dimension", "width", "most"),
    [(1, 0.2, 12), (3, 0.3, 10), (3, 0.1, 19), (40, 0.5, 10), (40, 0.2, 15)],
)
def test_the_default_takes_few_evaluations(
    dimension: int, width: float, most: int
) -> None:
    _, evaluations = drawn(cloud(400, dimension, width))
    assert 3 < evaluations <= most


def test_each_evaluation_takes_one_exponential_per_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And one row of logits per sample and step: nothing is computed twice."""
    asked: list[int] = []
    places = mixtures._places

    def counting(*of: Any) -> mixtures.Places:
        found = places(*of)
        asked.extend(tile.logits.size for tile in found.tiles)
        return found

    monkeypatch.setattr(mixtures, "_places", counting)
    _, evaluations = drawn(cloud(400, 3, 0.3))
    # 400 samples are 2 batches of 208: rows in whole sixteens.
    assert 400 <= sum(asked) / (400 * evaluations) <= 416


@pytest.mark.parametrize(("dx", "most"), [(3, 100), (40, 12)])
def test_choosing_takes_few_exponentials_and_no_call_per_model(
    dx: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying all bandwidths of all candidates takes 162 and 18 times J N."""
    asked: list[int] = []
    plain = search.held_out_scores

    def counting(points: Any, centres: Any, *rest: Any, **named: Any) -> Any:
        found = plain(points, centres, *rest, **named)
        asked.append(found.size * centres.shape[-2])
        return found

    monkeypatch.setattr(search, "held_out_scores", counting)
    members = 60 if dx == 3 else 250
    assimilate(*pairs(members, dx, min(dx, 20)), seed=1)
    assert sum(asked) <= most * 50 * members
    # All candidates of a kind in one pass, and a few that look at the neighbours.
    assert len(asked) <= 3


def test_members_that_are_moved_need_no_weights_by_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of five bandwidths, which no other candidate is there to ask for."""
    asked: list[float] = []
    plain = Neighbourhood._held_out_log_weights

    def counting(near: Neighbourhood, bandwidth: float) -> Any:
        asked.append(bandwidth)
        return plain(near, bandwidth)

    monkeypatch.setattr(Neighbourhood, "_held_out_log_weights", counting)
    facts = assimilate(*pairs(250, 40, 20), seed=1).diagnostics
    assert facts.sampler == "shift"
    assert not np.isfinite(asked).any()


def operations(call: Callable[[], object]) -> int:
    """Calls and arithmetic in the engine's own lines, whatever they are applied to.

    Counted as instructions, as a profiler is not told of ``np.exp(x)`` or ``x + x``.
    """
    counted = 0

    def trace(frame: types.FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        if not str(frame.f_globals.get("__name__")).startswith("ccdm_engine"):
            return None
        if event == "opcode":
            code = frame.f_code.co_code
            counted += dis.opname[code[frame.f_lasti]] in OPERATIONS
        else:
            frame.f_trace_opcodes = True
        return trace

    before = sys.gettrace()
    # Python 3.12 and 3.13 only look for instructions where one frame wants them before.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return counted


def test_operations_are_counted_whether_they_have_names_or_not() -> None:
    place = {"__name__": "ccdm_engine.here", "np": np, "x": np.ones(3)}

    def counted(line: str) -> int:
        return operations(lambda: exec(compile(line, "here", "exec"), place))

    assert counted("y = x") == 0
    for line in ("x + x", "x @ x", "-x", "x < x", "x *= 1.0", "np.exp(x)", "x.sum()"):
        assert counted(line) == 1, line
    assert counted("np.exp(x, out=x)\nx + np.exp(*(x,))") == 3


@pytest.mark.parametrize(("dx", "most"), [(3, 4690), (40, 2540)])
def test_a_small_analysis_takes_few_operations(dx: int, most: int) -> None:
    triple = pairs(50, dx, min(dx, 20))
    assimilate(*triple, seed=1)  # what is done once per process
    assert operations(lambda: assimilate(*triple, seed=1)) <= most


def test_an_evaluation_takes_few_passes() -> None:
    """Over all pairs of samples and members; one more of them would be seen.

    One less where no logit can be below the floor.
    """
    of = cloud(300, 3, 0.3)
    denoise = of.denoiser(np.float32, centred=True)
    near = np.random.default_rng(9).standard_normal((50, 3), dtype=np.float32)
    denoise(near, 0.3)  # makes its places
    narrow = operations(lambda: denoise(near, 0.3))
    assert 10 < narrow <= 40
    assert operations(lambda: denoise(near, 3.0)) == narrow - 1


def test_members_that_are_moved_need_no_latents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("latents were drawn")

    monkeypatch.setattr(assimilation, "normal_points", never)
    moved = AnalysisOptions(preconditioner="linear", measurement_bandwidth=np.inf)
    assert assimilate(*pairs(50, 3, 3), options=moved, seed=1).samples.shape == (50, 3)


def test_the_largest_logit_is_looked_for_only_where_sums_vanish() -> None:
    """Ordinary points never need the second pass; points far from all centres do."""

    class Watched(np.ndarray[Any, Any]):
        passes = 0

        def max(self, *args: Any, **named: Any) -> Any:
            type(self).passes += named.get("axis") == 0
            return super().max(*args, **named)

    of = cloud(300, 3, 0.3)
    denoise = of.denoiser(np.float32)
    near = np.random.default_rng(9).standard_normal((50, 3), dtype=np.float32)
    places = mixtures._places

    def watched(*args: Any) -> mixtures.Places:
        found = places(*args)
        tiles = [t._replace(logits=t.logits.view(Watched)) for t in found.tiles]
        return found._replace(tiles=tiles)

    try:
        mixtures._places = watched
        denoise(near, 0.3)
        assert Watched.passes == 0
        denoise(near + np.float32(30), 0.3)
        assert Watched.passes == 1
    finally:
        mixtures._places = places


def test_no_array_of_members_by_members_is_held() -> None:
    """Nor of samples by members, which in single precision would be 153 MiB here."""
    triple = pairs(10_000, 40, 20)
    some = options(n_samples=4000, steps=2)
    held = peak(lambda: assimilate(*triple, options=some, seed=1))
    assert held < 40 * MEBIBYTE


@pytest.mark.parametrize(("scaling", "times"), [("none", 3.6), ("auto", 4.6)])
def test_many_variables_are_held_a_few_times(scaling: Any, times: float) -> None:
    """3.3 times, latents and result included, and once more where they are scaled.

    A whole copy more would come to 4.3 and 5.3.
    """
    triple = pairs(40, 50_000, 10)
    fixed = options(scaling=scaling)
    held = peak(lambda: assimilate(*triple, options=fixed, seed=1))
    assert held < times * sum(array.nbytes for array in triple)


@pytest.mark.parametrize("sampler", ["ode", "sde", "exact"])
def test_memory_grows_with_members_not_with_their_square(sampler: str) -> None:
    held = []
    for members in (1000, 4000):
        of = cloud(members, 3, 0.3)
        latents = np.random.default_rng(6).standard_normal((members, 3))
        chosen = options(sampler=sampler, steps=2)
        held.append(peak(lambda of=of, z=latents, o=chosen: sample(of, o, z, 7)))  # type: ignore[misc]
    assert held[1] < 5 * held[0]


@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_threads_change_nothing_but_the_time(sampler: str) -> None:
    of = cloud(4500, 3, 0.3)
    alone = drawn(of, sampler=sampler, steps=3)
    for threads in (2, 3, 16):
        assert drawn(of, threads, sampler=sampler, steps=3) == alone


def test_threads_reach_the_public_call() -> None:
    triple = pairs(1200, 3, 1)
    first, second = (
        assimilate(*triple, options=options(), seed=3, threads=threads)
        for threads in (1, 2)
    )
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.diagnostics == second.diagnostics


def test_default_options_hold_little_beside_the_members() -> None:
    """Many members: 48 MiB and the result. Many variables: a few times the input."""
    triple = pairs(10_000, 40, 20)
    held = peak(lambda: assimilate(*triple, seed=1))
    assert held < 10_000 * 40 * 8 + 48 * MEBIBYTE
    triple = pairs(100, 50_000, 20)
    held = peak(lambda: assimilate(*triple, seed=1))
    assert held < 4.4 * sum(array.nbytes for array in triple)
