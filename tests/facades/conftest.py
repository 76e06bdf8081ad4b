"""A service that also speaks its neighbours' protocols."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.servers import PATIENCE, Server, serving

Array = npt.NDArray[np.float64]
OPTIONS = {"state_bandwidth": 0.3, "measurement_bandwidth": 0.5, "sampler": "exact"}
SEED = 5


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With both façades, and bodies of at most 1 MiB."""
    settings = {"UMBRIDGE": "true", "OPEN_INFERENCE": "true"}
    folder = tmp_path_factory.mktemp("facades")
    with serving(folder, MAX_BODY_BYTES=str(2**20), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client without manners of its own."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="session")
def arrays() -> tuple[Array, Array, Array]:
    """``(N, dx)``, ``(N, dy)`` and ``(dy,)``."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((8, 3))
    return states, states[:, :2] + 0.3 * rng.standard_normal((8, 2)), np.array([0.4, 0])


@pytest.fixture(scope="session")
def samples(http: httpx.Client, arrays: tuple[Array, Array, Array]) -> Array:
    """What the service's own interface answers."""
    states, simulated, observation = arrays
    content = {
        "forecast_states": states.tolist(),
        "simulated_measurements": simulated.tolist(),
        "observation": observation.tolist(),
        "options": OPTIONS,
        "seed": SEED,
    }
    answer = http.post("/v1/analyses", json=content).raise_for_status()
    return np.array(answer.json()["analysis_samples"])
