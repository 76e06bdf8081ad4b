"""Demands of a water network from a dozen pressures, hour by hour.

State: the log of each junction's demand over what is usual at that hour, 59 numbers
that drift, neighbours alike. Measurements: pressures at 12 junctions, with errors of
0.2 m, of which some do not come in and one sensor sticks. The model is EPANET
(``network.py``), the truth is drawn in ``town.py``; the service sees states, simulated
pressures and readings. Run by::

    python demands.py http://127.0.0.1:8000
"""

import argparse
import sys

import numpy as np
from network import Network
from scores import scores
from town import ERROR, REACH, SENSORS, draw, drift, truth_and_readings
from watch import Watch

from service.client import Client

MEMBERS, HOURS = 100, 48
ENKF = {"preconditioner": "linear", "measurement_bandwidth": "inf"}


def localized(network):
    """Options for an analysis that lets a sensor act on its surroundings only."""
    sensors = [network.junctions.index(name) for name in SENSORS]
    return {
        "localization": {
            "state_coordinates": network.places.tolist(),
            "measurement_coordinates": network.places[sensors].tolist(),
            "radius": REACH,
        }
    }


def assimilate(client, network, readings, seed, options, watch=None):
    """Cycle through a session; every hour's analysis ensemble, ``(hours, N, 59)``.

    With ``client=None`` nothing is assimilated: the ensemble drifts.
    """
    random = np.random.default_rng([seed, 2])
    sensors = [network.junctions.index(name) for name in SENSORS]
    ensemble = draw(network, random, MEMBERS)
    if client:
        session = client.create_session(
            state_dim=len(network.junctions),
            measurement_dim=len(sensors),
            seed=seed,
            options={"measurement_error": ERROR, **options},
            names={"states": network.junctions, "measurements": SENSORS},
        )
    analyses = []
    for hour, reading in enumerate(readings):
        ensemble = drift(network, ensemble, random)
        if client:
            simulated = [
                network.pressures(member, hour)[sensors] for member in ensemble
            ]
            used = watch(reading, np.array(simulated)) if watch else reading
            ensemble = session.cycle(ensemble, simulated, used).samples
        analyses.append(ensemble)
    if client:
        session.delete()
    return np.array(analyses)


CASES = {
    "all sensors well": (0.0, False),
    "one reading in ten missing": (0.1, False),
    "and one sensor stuck from hour 18": (0.1, True),
}


def main():
    """Run every case and method, print the scores, judge the last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--hours", type=int, default=HOURS)
    args = parser.parse_args()
    network = Network()
    table = {}
    with Client(args.url) as client:
        for name, (missing, stuck) in CASES.items():
            for seed in range(args.seeds):
                truth, pressures, readings = truth_and_readings(
                    network, seed, missing, stuck, args.hours
                )
                runs = {
                    "no assimilation": (None, {}, None),
                    "EnKF": (client, ENKF, None),
                    "CCDM, defaults": (client, {}, None),
                    "CCDM, localized": (client, localized(network), None),
                }
                if stuck:
                    runs["EnKF, sensors watched"] = (client, ENKF, Watch())
                    runs["CCDM, localized, watched"] = (
                        client,
                        localized(network),
                        Watch(),
                    )
                for method, (who, options, watch) in runs.items():
                    found = assimilate(who, network, readings, seed, options, watch)
                    score = scores(network, found, truth, pressures)
                    table.setdefault((name, method), []).append(score)
    print(f"{'':36}{'':26}demand of one, of all, pressure")
    for (name, method), found in table.items():
        single, whole, pressure = np.mean(found, axis=0)
        print(f"{name:36}{method:26}{single:9.3f}{whole:11.1%}{pressure:8.3f} m")
    last = ("and one sensor stuck from hour 18", "CCDM, localized, watched")
    bare = (last[0], "no assimilation")
    ratio = np.mean(table[last], axis=0)[2] / np.mean(table[bare], axis=0)[2]
    print(f"score: {ratio:.2f} of the pressure error without, wanted below 0.6")
    return 0 if ratio < 0.6 else 1


if __name__ == "__main__":
    sys.exit(main())
