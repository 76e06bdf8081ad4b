"""One worker of a cluster: runs a few members of the ensemble, and knows nobody else.

    python worker.py URL SESSION FIRST LAST [--crash-at K] [--late-at K]

Needs NumPy and Python's own library. It waits for the analysis of the last cycle, takes
its own rows, runs the simulator and sends each member as it is done; until the session
is gone.
"""

import argparse
import json
import os
import time
import urllib.error
import urllib.request

import numpy as np

ERROR = 1.0


def ask(url, method="GET", body=None, accept="application/json"):
    """Status and body of one exchange; tried again while the service is away."""
    headers = {"Accept": accept, "Content-Type": "application/json"}
    if key := os.environ.get("CCDM_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    for attempt in range(10):
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                return error.code, error.read()
        except OSError:
            pass
        time.sleep(0.2 * 2 ** min(attempt, 4))
    raise SystemExit("the service does not answer")


def lorenz63(state, steps=10, dt=0.01):
    """The simulator: one member to the next reading."""
    for _ in range(steps):
        x, y, z = state
        rate = np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
        middle = state + dt / 2 * rate
        x, y, z = middle
        rate = np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
        state = state + dt * rate
    return state


def main():
    """Work until the session is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("session")
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--crash-at", type=int, default=0)
    parser.add_argument("--late-at", type=int, default=0)
    parser.add_argument("--late-seconds", type=float, default=5.0)
    own = parser.parse_args()
    path = f"{own.url}/v1/sessions/{own.session}"
    random = np.random.default_rng(own.first)
    status, body = ask(path)
    cycle = json.loads(body)["cycle"]
    while True:
        rows = f"members={own.first}:{own.last}&wait=30"
        where = f"{path}/cycles/{cycle}/analysis?{rows}"
        status, body = ask(where, accept="application/octet-stream")
        if status == 404:
            continue  # not finished yet: go on waiting
        if status == 410:
            # Gone is the session, or only the samples of so old a cycle.
            status, body = ask(path)
            if status != 200:
                return
            cycle = json.loads(body)["cycle"]
            continue
        states = np.frombuffer(body, "<f8").reshape(-1, 3)
        cycle = run_cycle(own, path, cycle + 1, states, random)


def run_cycle(own, path, cycle, states, random):
    """Run and send the members; the cycle to wait for comes back."""
    if cycle == own.crash_at:
        os._exit(1)
    if cycle == own.late_at:
        time.sleep(own.late_seconds)
    for member, state in enumerate(states, own.first):
        forecast = lorenz63(state)
        reading = forecast + ERROR * random.standard_normal(3)
        content = {
            "forecast_state": forecast.tolist(),
            "simulated_measurement": reading.tolist(),
        }
        status, body = ask(f"{path}/cycles/{cycle}/members/{member}", "PUT", content)
        if status == 409:
            # Too late: the others have gone on. Take up where they are.
            print(f"worker {own.first}: {json.loads(body)['detail']}", flush=True)
            return json.loads(body)["current_cycle"]
    return cycle


if __name__ == "__main__":
    main()
