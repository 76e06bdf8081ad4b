"""Same inputs, options and seed: the same bytes, whoever computes them and how."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ccdm_engine import AnalysisOptions, OptionsError, assimilate
from tests.engine.ensembles import Triple, gaussian, two_lobes

FIXED: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.3,
    "measurement_bandwidth": 0.5,
}
OPTIONS = {
    "auto": AnalysisOptions(),
    "shift": AnalysisOptions(preconditioner="linear", measurement_bandwidth=np.inf),
    "perturbed": AnalysisOptions(measurement_error=0.5, inflation=1.05),
    **{
        sampler: AnalysisOptions(sampler=sampler, **FIXED)
        for sampler in ("ode", "sde", "rk45", "exact")
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_call_gives_the_same_bytes(name: str) -> None:
    first, second = (
        assimilate(*two_lobes(), options=OPTIONS[name], seed=17) for _ in range(2)
    )
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.diagnostics == second.diagnostics


@pytest.mark.parametrize("name", OPTIONS)
def test_inputs_are_left_alone(name: str) -> None:
    triple = two_lobes()
    before = [array.tobytes() for array in triple]
    for array in triple:
        array.setflags(write=False)
    samples = assimilate(*triple, options=OPTIONS[name], seed=1).samples
    assert [array.tobytes() for array in triple] == before
    assert samples.flags.writeable
    assert not any(np.shares_memory(samples, array) for array in triple)


@pytest.mark.parametrize("name", OPTIONS)
def test_memory_layout_does_not_matter(name: str) -> None:
    states, simulated, observation = gaussian()
    expected = assimilate(*gaussian(), options=OPTIONS[name], seed=2).samples
    wide = np.zeros((120, 6))
    wide[::2, ::2] = states
    layouts = [
        np.asfortranarray(states),
        wide[::2, ::2],
        states[::-1][::-1],
        states.astype(">f8"),
        states.tolist(),
    ]
    for layout in layouts:
        found = assimilate(
            layout,
            np.asfortranarray(simulated),
            observation.tolist(),
            options=OPTIONS[name],
            seed=2,
        ).samples
        assert found.tobytes() == expected.tobytes()
        assert found.dtype == np.float64 and found.flags.c_contiguous


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "i1", "i4", "i8", "u2", "u8", ">f4", ">i4"]
)
def test_equal_numbers_of_any_dtype_are_equal(dtype: str) -> None:
    rng = np.random.default_rng(3)
    states = rng.integers(0, 100, (30, 2)).astype(float)
    simulated = states[:, :1] + rng.integers(0, 20, (30, 1))
    observation = np.array([50.0])
    expected = assimilate(states, simulated, observation, seed=3).samples
    found = assimilate(
        states.astype(dtype), simulated.astype(dtype), observation.astype(dtype), seed=3
    ).samples
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 1)])
def test_rows_and_columns_are_both_an_observation(shape: tuple[int, ...]) -> None:
    states, simulated, observation = gaussian()
    expected = assimilate(states, simulated, observation, seed=4).samples
    found = assimilate(states, simulated, observation.reshape(shape), seed=4).samples
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["ode", "sde", "rk45", "exact", "perturbed"])
def test_another_seed_gives_other_samples(name: str) -> None:
    first, second = (
        assimilate(*two_lobes(), options=OPTIONS[name], seed=seed).samples
        for seed in (1, 2)
    )
    assert not np.any(np.all(first == second, axis=1))


def test_without_a_seed_a_fresh_one_is_drawn_and_reproduces() -> None:
    options = OPTIONS["ode"]
    first, second = (assimilate(*two_lobes(), options=options) for _ in range(2))
    assert first.diagnostics.seed != second.diagnostics.seed
    assert 0 <= first.diagnostics.seed < 2**63
    again = assimilate(*two_lobes(), options=options, seed=first.diagnostics.seed)
    assert again.samples.tobytes() == first.samples.tobytes()


def test_global_randomness_is_neither_used_nor_touched() -> None:
    np.random.seed(5)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = assimilate(*two_lobes(), options=OPTIONS["sde"], seed=6).samples
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    second = assimilate(*two_lobes(), options=OPTIONS["sde"], seed=6).samples
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 + 1, 2**63 - 1, np.int64(8)])
def test_seeds_of_the_whole_range(seed: int) -> None:
    analysis = assimilate(*two_lobes(), options=OPTIONS["exact"], seed=seed)
    assert analysis.diagnostics.seed == seed
    assert type(analysis.diagnostics.seed) is int


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, "1", np.True_, [1], np.nan])
def test_other_seeds_are_refused_by_name(seed: Any) -> None:
    with pytest.raises(OptionsError) as caught:
        assimilate(*two_lobes(), seed=seed)
    assert caught.value.argument == "seed"
    assert caught.value.got == repr(seed)


WIDE: dict[str, Any] = {"state_bandwidth": 0.5, "measurement_bandwidth": 4.0}
LARGE: dict[str, AnalysisOptions] = {
    "auto": AnalysisOptions(),
    "kernel": AnalysisOptions(preconditioner="kernel", **WIDE),
    "none": AnalysisOptions(preconditioner="none", **WIDE),
    "sde": AnalysisOptions(preconditioner="none", sampler="sde", **WIDE),
}


def large() -> Triple:
    """Enough for BLAS to use its threads."""
    rng = np.random.default_rng(9)
    states = rng.standard_normal((500, 20)) @ rng.standard_normal((20, 20))
    simulated = states[:, :10] + rng.standard_normal((500, 10))
    return Triple(states, simulated, np.zeros(10))


def write_samples(path: str, threads: int) -> None:
    """What a process with so many BLAS threads computes: small and large problems."""
    limited = threadpool_limits(threads, "blas")
    assert {pool["num_threads"] for pool in threadpool_info()} == {threads}, limited
    samples = {
        f"small {name}": assimilate(*two_lobes(), options=options, seed=10).samples
        for name, options in OPTIONS.items()
    }
    for name, options in LARGE.items():
        samples[f"large {name}"] = assimilate(
            *large(), options=options, seed=10
        ).samples
    np.savez(path, **samples)


@pytest.fixture(scope="module")
def by_threads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Samples of three processes: one BLAS thread, one again, and two."""
    found = {}
    for place, threads in {"one": 1, "again": 1, "two": 2}.items():
        path = tmp_path_factory.mktemp("threads") / f"{place}.npz"
        script = (
            "import sys; from tests.engine.test_determinism import write_samples; "
            "write_samples(sys.argv[1], int(sys.argv[2]))"
        )
        subprocess.run(
            [sys.executable, "-c", script, str(path), str(threads)],
            check=True,
            timeout=150,
            env={"OPENBLAS_NUM_THREADS": str(threads), "PATH": "/usr/bin:/bin"},
        )
        with np.load(path) as archive:
            found[place] = dict(archive)
    return found


@pytest.mark.slow
def test_another_process_computes_the_same_bytes(by_threads: dict[str, Any]) -> None:
    for name, samples in by_threads["one"].items():
        assert samples.tobytes() == by_threads["again"][name].tobytes(), name


@pytest.mark.slow
def test_blas_threads_do_not_change_the_bytes_of_small_problems(
    by_threads: dict[str, Any],
) -> None:
    for name, samples in by_threads["one"].items():
        if name.startswith("small"):
            assert samples.tobytes() == by_threads["two"][name].tobytes(), name


@pytest.mark.slow
def test_blas_threads_change_no_more_than_rounding(by_threads: dict[str, Any]) -> None:
    """BLAS sums long rows in another order when it shares them among threads."""
    spread = large().states.std(axis=0)
    for name, samples in by_threads["one"].items():
        if name.startswith("large"):
            gap = np.abs(samples - by_threads["two"][name]) / spread
            assert np.quantile(gap, 0.99) < 1e-4, name
