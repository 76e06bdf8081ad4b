"""A black-box simulator: Lorenz-63 in a process of its own, talking HTTP alone.

It holds the truth, the model and the noise. The service sees neither: it receives the
forecast states, the measurements simulated from them and one real observation of z,
and returns the analysis. Take this file as a pattern for a simulator of your own; of
this project it needs :mod:`service.client` and nothing else.

Setting L63_03 of Binder, Dasgupta and Oberai (arXiv 2603.21291): Euler steps of 0.01,
an observation of z every 0.1 with standard deviation 2, process noise 0.01 on every
member once per cycle, truth and members started from N(0, I). z does not know the sign
of (x, y), so the belief has two mirrored lobes.

Run by hand::

    python -m service.cli.demo.simulator --url http://127.0.0.1:8000 --record run.npz
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.client import Client, ClientError, Retry, RetryPolicy, Session

Array = npt.NDArray[np.float64]

STEP = 0.01
STEPS = 10
OBSERVATION_STD = 2.0
PROCESS_STD = 0.01

# Each source of randomness has a stream of its own, so that another filter run with
# the same seed meets the same truth, the same observations and the same draws.
_TRUTH, _OBSERVATION, _INITIAL, _PROCESS, _MEASUREMENT = range(5)


def tendency(states: Array) -> Array:
    """Right-hand side of Lorenz (1963); ``states`` ``(..., 3)``."""
    x, y, z = np.moveaxis(states, -1, 0)
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=-1)


def trajectory(states: Array) -> Array:
    """From one observation time to the next, ``(STEPS + 1, ..., 3)``."""
    path = [states]
    for _ in range(STEPS):
        path.append(path[-1] + STEP * tendency(path[-1]))
    return np.stack(path)


def stream(seed: int, purpose: int, cycle: int = 0) -> np.random.Generator:
    """The generator of one purpose in one cycle."""
    return np.random.default_rng([seed, purpose, cycle])


def truth_and_observations(seed: int, cycles: int) -> tuple[Array, Array]:
    """Truth ``(cycles, STEPS + 1, 3)`` and observations of z ``(cycles, 1)``."""
    paths = []
    state = stream(seed, _TRUTH).standard_normal(3)
    for _ in range(cycles):
        paths.append(trajectory(state))
        state = paths[-1][-1]
    truth = np.stack(paths)
    errors = stream(seed, _OBSERVATION).standard_normal((cycles, 1))
    return truth, truth[:, -1, 2:] + OBSERVATION_STD * errors


def initial_ensemble(seed: int, members: int) -> Array:
    """Draws from N(0, I), ``(members, 3)``."""
    return stream(seed, _INITIAL).standard_normal((members, 3))


def forecast(ensemble: Array, seed: int, cycle: int) -> Array:
    """Every member to the next observation, ``(STEPS + 1, members, 3)``."""
    path = trajectory(ensemble)
    draws = stream(seed, _PROCESS, cycle).standard_normal(ensemble.shape)
    path[-1] += PROCESS_STD * draws
    return path


def simulate_measurements(states: Array, seed: int, cycle: int) -> Array:
    """What each member would have measured, noise included, ``(members, 1)``."""
    draws = stream(seed, _MEASUREMENT, cycle).standard_normal((len(states), 1))
    return states[:, 2:] + OBSERVATION_STD * draws


def run(
    url: str,
    cycles: int,
    members: int,
    seed: int,
    patience: float,
    say: Callable[..., None],
) -> dict[str, Any]:
    """Cycle through a session of the service; return everything that was seen.

    Args:
        url: of the service.
        cycles: observations to assimilate.
        members: ensemble size.
        seed: of truth, noise and session.
        patience: seconds to wait for a service that is away.
        say: is told of every event.
    """
    truth, observations = truth_and_observations(seed, cycles)
    ensemble = initial_ensemble(seed, members)

    def tell(retry: Retry) -> None:
        say(event="retry", attempt=retry.attempt, reason=retry.reason)

    policy = RetryPolicy(give_up_after=patience, longest_delay=0.5)
    with Client(url, retry=policy, on_retry=tell) as service:
        session = service.create_session(
            state_dim=3,
            measurement_dim=1,
            initial_ensemble=ensemble,
            seed=seed,
            keep_analyses=cycles,
            names={"states": ["x", "y", "z"], "measurements": ["z"]},
        )
        say(event="session", id=session.id)
        seen: list[dict[str, Any]] = []
        for k, observation in enumerate(observations, start=1):
            seen.append(step(session, ensemble, observation, seed, k))
            ensemble = seen[-1]["analyses"]
            say(event="cycle", cycle=k, **summary(seen[-1]))
    record = {name: np.stack([one[name] for one in seen]) for name in seen[0]}
    return record | {"truth": truth, "observations": observations}


def step(
    session: Session, ensemble: Array, observation: Array, seed: int, k: int
) -> dict[str, Any]:
    """One forecast by this program and one analysis by the service."""
    path = forecast(ensemble, seed, k)
    simulated = simulate_measurements(path[-1], seed, k)
    started = time.perf_counter()
    result = session.cycle(path[-1], simulated, observation)
    return {
        "paths": path.astype(np.float32),
        "analyses": result.samples,
        "seconds": np.float64(time.perf_counter() - started),
        "compute_seconds": np.float64(result.timing.get("compute", np.nan)),
        "effective": np.float64(result.diagnostics["effective_sample_size"]),
        "replayed": np.bool_(result.replayed),
    }


def summary(one: dict[str, Any]) -> dict[str, Any]:
    """What is worth telling of an acknowledged cycle."""
    return {
        "milliseconds": 1e3 * float(one["seconds"]),
        "spread": float(np.sqrt(one["analyses"].var(axis=0, ddof=1).mean())),
        "effective": float(one["effective"]),
        "replayed": bool(one["replayed"]),
    }


def say_on_output(**event: Any) -> None:
    """One line of JSON for whoever started this program."""
    print(json.dumps(event), flush=True)


def main() -> int:
    """Read the command line, run, write the record."""
    parser = argparse.ArgumentParser(description="Lorenz-63, z observed, over HTTP")
    parser.add_argument("--url", required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--members", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=60.0)
    args = parser.parse_args()
    try:
        record = run(
            args.url, args.cycles, args.members, args.seed, args.patience, say_on_output
        )
    except ClientError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    np.savez(args.record, **record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
