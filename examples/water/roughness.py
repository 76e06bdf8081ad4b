"""Roughness of old pipes, estimated with the demands: a parameter is a slow state.

The town of ``demands.py``, but its pipes are older than the file has it: the
Hazen-Williams coefficient of each of four classes of pipes is lower by an unknown
factor. Beside the pressures the inflow of the town is read, without which much demand
and rough pipes look alike. The logs of the four factors are appended to the state of
every member. What moves them is the analysis, through their correlation with the
pressures; besides, they wander a little (WANDER), since an ensemble of a parameter that
rests gets narrower with every analysis, until no reading moves it any more. Run by::

    python roughness.py http://127.0.0.1:8000
"""

import argparse
import sys

import numpy as np
from demands import ENKF
from network import CLASSES, Network
from town import ERROR, SENSORS, draw, drift

from service.client import Client

TRUTH = np.array([-0.30, -0.35, -0.20, -0.25])
BELIEF, DOUBT = 0.0, 0.25  # what is believed of each beforehand: mean and deviation
WANDER = 0.02  # of the parameters, per hour
INFLOW_ERROR = 0.02  # of its logarithm
ERRORS = np.array([ERROR] * len(SENSORS) + [INFLOW_ERROR])
MEMBERS, HOURS = 200, 72


def measure(network, log_demands, hour, log_roughness):
    """Twelve pressures and the log of the inflow, without errors."""
    sensors = [network.junctions.index(name) for name in SENSORS]
    pressures = network.pressures(log_demands, hour, log_roughness)[sensors]
    return np.append(pressures, np.log(np.exp(log_demands) @ network.usual))


def readings_of(network, seed, hours=HOURS):
    """What the instruments said, ``(hours, 13)``, errors included."""
    random = np.random.default_rng([seed, 3])
    state, readings = draw(network, random), []
    for hour in range(hours):
        state = drift(network, state, random)
        exact = measure(network, state[0], hour, TRUTH)
        readings.append(exact + ERRORS * random.standard_normal(len(exact)))
    return np.array(readings)


def estimate(client, network, readings, seed, options, wander=WANDER):
    """Every hour's analysis of the four parameters, ``(hours, N, 4)``."""
    random = np.random.default_rng([seed, 4])
    demands = draw(network, random, MEMBERS)
    parameters = BELIEF + DOUBT * random.standard_normal((MEMBERS, len(CLASSES)))
    places = len(network.junctions)
    session = client.create_session(
        state_dim=places + len(CLASSES),
        measurement_dim=len(ERRORS),
        seed=seed,
        options={"measurement_error": ERRORS.tolist(), **options},
    )
    analyses = []
    for hour, reading in enumerate(readings):
        demands = drift(network, demands, random)
        parameters = parameters + wander * random.standard_normal(parameters.shape)
        simulated = [
            measure(network, demand, hour, parameter)
            for demand, parameter in zip(demands, parameters, strict=True)
        ]
        augmented = np.hstack([demands, parameters])
        samples = session.cycle(augmented, simulated, reading).samples
        demands, parameters = samples[:, :places], samples[:, places:]
        analyses.append(parameters)
    session.delete()
    return np.array(analyses)


def show(found):
    """Median, 5 % and 95 % of each class of pipes; ``found`` ``(N, 4)``."""
    for inches, truth, values in zip(CLASSES, TRUTH, found.T, strict=True):
        low, middle, high = np.exp(np.quantile(values, [0.05, 0.5, 0.95]))
        print(
            f"  {inches[0]:2} to {inches[1]:2} inches: {middle:.3f} "
            f"({low:.3f} to {high:.3f}), truth {np.exp(truth):.3f}"
        )


def main():
    """Estimate by the EnKF and by CCDM, print the estimates, judge the latter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--hours", type=int, default=HOURS)
    args = parser.parse_args()
    network = Network()
    misses = {"nothing": [np.sqrt(np.mean((BELIEF - TRUTH) ** 2))]}
    spreads = {"nothing": [DOUBT]}
    with Client(args.url) as client:
        for seed in range(args.seeds):
            readings = readings_of(network, seed, args.hours)
            for method, options, wander in (
                ("CCDM, parameters at rest", {}, 0.0),
                ("EnKF", ENKF, WANDER),
                ("CCDM", {}, WANDER),
            ):
                found = estimate(client, network, readings, seed, options, wander)[-1]
                miss = np.sqrt(np.mean((found.mean(axis=0) - TRUTH) ** 2))
                misses.setdefault(method, []).append(miss)
                spreads.setdefault(method, []).append(found.std(axis=0).mean())
                if seed == 0:
                    print(f"{method}: factor of the coefficient, by class of pipes")
                    show(found)
    for method, values in misses.items():
        claims = np.mean(spreads[method])
        print(f"{method:26} missed by {np.mean(values):.3f}, claims {claims:.3f}")
    score = np.mean(misses["CCDM"]) / misses["nothing"][0]
    print(f"score: {score:.2f} of the error before, wanted below 0.5")
    return 0 if score < 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
