"""Demands of a water network from a dozen pressures, hour by hour.

State: the log of each junction's demand over what is usual at that hour, 59 numbers
that drift, neighbours alike. Measurements: pressures at 12 junctions, with errors of
0.2 m, of which some do not come in and one sensor sticks. The model is EPANET
(``network.py``); the service sees states, simulated pressures and readings. Run by::

    python demands.py http://127.0.0.1:8000
"""

import argparse
import sys

import numpy as np
from network import Network

from service.client import Client

SENSORS = [
    "103",
    "219",
    "105",
    "151",
    "109",
    "111",
    "231",
    "115",
    "191",
    "149",
    "101",
    "211",
]
ERROR = 0.2  # metres of water, standard deviation
MEMBERS, HOURS, SPIN_UP = 100, 48, 12
# Of the drift: hour to hour, in the long run, and how far neighbours are alike (in the
# units of the map, which is 35 wide and 26 high).
MEMORY, SPREAD, REACH = 0.9, 0.4, 10.0
STUCK, STUCK_FROM = SENSORS.index("105"), 18
ENKF = {"preconditioner": "linear", "measurement_bandwidth": "inf"}
WINDOW, SUSPICIOUS = 6, 2.0


def draw(network, random, members=1):
    """Log demands of the long run, ``(members, 59)``: neighbours are alike."""
    apart = np.linalg.norm(network.places[:, None] - network.places, axis=-1)
    root = np.linalg.cholesky(np.exp(-apart / REACH) + 1e-9 * np.eye(len(apart)))
    return SPREAD * random.standard_normal((members, len(apart))) @ root.T


def drift(network, log_demands, random):
    """One hour of a random walk that forgets; ``(members, 59)``."""
    noise = draw(network, random, len(log_demands))
    return MEMORY * log_demands + np.sqrt(1 - MEMORY**2) * noise


def truth_and_readings(network, seed, missing, stuck):
    """What really happens: log demands, pressures, readings with NaN."""
    random = np.random.default_rng([seed, 1])
    sensors = [network.junctions.index(name) for name in SENSORS]
    state = draw(network, random)
    states, pressures, readings = [], [], []
    for hour in range(HOURS):
        state = drift(network, state, random)
        states.append(state[0])
        pressures.append(network.pressures(state[0], hour))
        reading = pressures[-1][sensors] + ERROR * random.standard_normal(len(sensors))
        reading[random.random(len(sensors)) < missing] = np.nan
        if stuck and hour >= STUCK_FROM:
            reading[STUCK] = pressures[STUCK_FROM][sensors[STUCK]]
        readings.append(reading)
    return np.array(states), np.array(pressures), np.array(readings)


class Watch:
    """Takes a sensor out whose readings keep disagreeing with what was predicted.

    The innovation of each reading is known before the analysis: how far it lies from
    the mean of the simulated ones, in predicted standard deviations. A good sensor's
    are about 1 in size; when the median of the last WINDOW is above SUSPICIOUS, no
    more.
    """

    def __init__(self):
        self.seen = []
        self.excluded = np.zeros(len(SENSORS), dtype=bool)

    def __call__(self, reading, simulated):
        spread = np.sqrt(simulated.var(axis=0) + ERROR**2)
        self.seen.append(np.abs(reading - simulated.mean(axis=0)) / spread)
        recent = np.array(self.seen[-WINDOW:])
        if len(recent) == WINDOW:
            known = np.isfinite(recent).sum(axis=0) > WINDOW // 2
            recent = np.where(np.isnan(recent), 0.0, recent)
            self.excluded = known & (np.median(recent, axis=0) > SUSPICIOUS)
        return np.where(self.excluded, np.nan, reading)


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
    """Cycle through a session; every hour's analysis ensemble, ``(HOURS, N, 59)``.

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


def scores(network, analyses, states, pressures):
    """What the analysis missed by, after SPIN_UP hours, as root mean squares.

    Of single demands (their logs), of the demand of the whole town (a fraction of it),
    and of pressures where nothing is measured (metres).
    """
    blind = [i for i, name in enumerate(network.junctions) if name not in SENSORS]
    single = np.sqrt(np.mean((analyses.mean(axis=1) - states) ** 2, axis=1))
    town = np.exp(analyses) @ network.usual, np.exp(states) @ network.usual
    whole = town[0].mean(axis=1) / town[1] - 1
    of_pressures = []
    for hour in range(HOURS):
        found = np.mean(
            [network.pressures(member, hour)[blind] for member in analyses[hour]],
            axis=0,
        )
        of_pressures.append(np.sqrt(np.mean((found - pressures[hour, blind]) ** 2)))
    whole = np.sqrt(np.mean(whole[SPIN_UP:] ** 2))
    return np.mean(single[SPIN_UP:]), whole, np.mean(of_pressures[SPIN_UP:])


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
    args = parser.parse_args()
    network = Network()
    table = {}
    with Client(args.url) as client:
        for name, (missing, stuck) in CASES.items():
            for seed in range(args.seeds):
                truth, pressures, readings = truth_and_readings(
                    network, seed, missing, stuck
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
