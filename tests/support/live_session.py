"""A Lorenz-63 session that cycles while somebody looks at it.

By hand, beside a running service::

    python -m tests.support.live_session --url http://127.0.0.1:8000 --cycles 200
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from service.cli.demo.simulator import tendency
from service.client import Client, Session

Array = npt.NDArray[np.float64]

STEP, STEPS = 0.01, 10
ERROR = np.array([2.0, 2.0])
NAMES = {"states": ["x", "y", "z"], "measurements": ["convection x", "temperature z"]}
UNITS = {"measurements": "dimensionless"}


class LiveSession:
    """Truth, ensemble and session; each cycle is one call.

    Args:
        client: of the service.
        members: ensemble size.
        seed: of truth, noise and session.
        title: what people call the session.
        measurement: name of the first measurement.
    """

    def __init__(
        self,
        client: Client,
        *,
        members: int = 60,
        seed: int = 1,
        title: str = "Lorenz-63, x and z observed",
        measurement: str = NAMES["measurements"][0],
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._truth = _forward(self._rng.standard_normal((1, 3)), 200)
        states = self._truth + self._rng.standard_normal((members, 3))
        self._ensemble: Array = states
        self.session: Session = client.create_session(
            state_dim=3,
            measurement_dim=2,
            initial_ensemble=states,
            seed=seed,
            names=NAMES | {"measurements": [measurement, *NAMES["measurements"][1:]]},
            metadata={"title": title, "units": UNITS},
        )

    def cycle(self, observation: list[float | None] | None = None) -> int:
        """Forecast, measure, assimilate; returns the number of the cycle.

        Args:
            observation: instead of the truth's own.
        """
        rng = self._rng
        self._truth = _forward(self._truth, STEPS)
        states = _forward(self._ensemble, STEPS)
        states = states + 0.05 * rng.standard_normal(states.shape)
        simulated = _measure(states, rng)
        seen = _measure(self._truth, rng)[0] if observation is None else observation
        result = self.session.cycle(states, simulated, seen)
        self._ensemble = result.samples
        return result.cycle

    def history(self, cycles: int) -> None:
        """Many cycles, with what happens in real ones: gaps and a wild reading."""
        for k in range(1, cycles + 1):
            if k % 17 == 0:
                self.cycle([None, None])
            elif k % 41 == 0:
                self.cycle([60.0, None])
            else:
                self.cycle()


def _forward(states: Array, steps: int) -> Array:
    for _ in range(steps):
        middle = states + 0.5 * STEP * tendency(states)
        states = states + STEP * tendency(middle)
    return states


def _measure(states: Array, rng: np.random.Generator) -> Array:
    return states[:, [0, 2]] + ERROR * rng.standard_normal((len(states), 2))


def cycling(live: LiveSession, cycles: int, pause: float) -> Iterator[int]:
    """Cycle after cycle, with pauses for those who look."""
    for _ in range(cycles):
        yield live.cycle()
        time.sleep(pause)


def main() -> None:
    """Fill a service, then go on cycling in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--api-key")
    parser.add_argument("--history", type=int, default=120)
    parser.add_argument("--cycles", type=int, default=0)
    parser.add_argument("--pause", type=float, default=1.0)
    given = parser.parse_args()
    with Client(given.url, api_key=given.api_key) as client:
        live = LiveSession(client)
        live.history(given.history)
        print(f"{given.url}/dashboard#/sessions/{live.session.id}", flush=True)
        for _ in cycling(live, given.cycles, given.pause):
            pass


if __name__ == "__main__":
    main()
