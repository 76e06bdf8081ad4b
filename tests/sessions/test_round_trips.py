"""What a cycle over HTTP costs the store: round trips to a real Redis, counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.support.analyses import forecast
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.servers import in_process

MOST = 2
# A repetition reads its facts and its samples besides, where they are and what.
REPEATED = 4


async def test_a_cycle_costs_two_round_trips(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    asked = {"state_dim": 40, "measurement_dim": 2, "keep_analyses": 2}
    costs = {}
    async with (
        Proxy(own_redis.port) as proxy,
        in_process(tmp_path, store_url=proxy.url, keep_inputs=3) as client,
    ):
        created = await client.post("/v1/sessions", json=asked)
        for k in range(1, 7):
            # Half a megabyte in all, and from the third cycle on others to be dropped.
            body = _body(forecast(k, members=400, dx=40))
            if k == 4:
                await _half_expired(own_redis)
            before = proxy.round_trips
            place = f"{created.headers['location']}/cycles/{k}"
            answer = await client.put(place, json=body)
            assert answer.status_code == 201, answer.text
            costs[k] = proxy.round_trips - before
        assert max(costs.values()) <= MOST, costs
        before = proxy.round_trips
        again = await client.put(place, json=body)
        assert again.headers["ccdm-replayed"] == "true"
        assert proxy.round_trips - before <= REPEATED


async def _half_expired(server: RedisServer) -> None:
    """Half of the lifetime is over, so that reading alone would renew it."""
    with server.client() as client:
        (head,) = [key for key in client.keys("ccdm1:{*:*}") if key.count(b":") == 2]
        expires = float(client.hget(head, "expires") or 0)  # type: ignore[arg-type]
        client.hset(head, "expires", repr(expires - 43_200.0))


def _body(arrays: tuple[npt.NDArray[np.float64], ...]) -> dict[str, object]:
    states, simulated, observation = arrays
    return {
        "forecast_states": states.tolist(),
        "simulated_measurements": simulated.tolist(),
        "observation": observation.tolist(),
        "options": {"sampler": "exact", "measurement_bandwidth": "inf"},
    }
