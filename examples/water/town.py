"""The town: how its demands drift, where its sensors are, and what they say.

The log of each junction's demand over what is usual at that hour drifts, neighbours
alike. A sensor errs; some readings do not come in, and one sensor may stick.
"""

import numpy as np

SENSORS = [
    *("103", "219", "105", "151", "109", "111"),
    *("231", "115", "191", "149", "101", "211"),
]
ERROR = 0.2  # metres of water, standard deviation
# Of the drift: hour to hour, in the long run, and how far neighbours are alike (in the
# units of the map, which is 35 wide and 26 high).
MEMORY, SPREAD, REACH = 0.9, 0.4, 10.0
STUCK, STUCK_FROM = SENSORS.index("105"), 18


def draw(network, random, members=1):
    """Log demands of the long run, ``(members, 59)``: neighbours are alike."""
    apart = np.linalg.norm(network.places[:, None] - network.places, axis=-1)
    root = np.linalg.cholesky(np.exp(-apart / REACH) + 1e-9 * np.eye(len(apart)))
    return SPREAD * random.standard_normal((members, len(apart))) @ root.T


def drift(network, log_demands, random):
    """One hour of a random walk that forgets; ``(members, 59)``."""
    noise = draw(network, random, len(log_demands))
    return MEMORY * log_demands + np.sqrt(1 - MEMORY**2) * noise


def truth_and_readings(network, seed, missing, stuck, hours):
    """What really happens: log demands, pressures, readings with NaN."""
    random = np.random.default_rng([seed, 1])
    sensors = [network.junctions.index(name) for name in SENSORS]
    state = draw(network, random)
    states, pressures, readings = [], [], []
    for hour in range(hours):
        state = drift(network, state, random)
        states.append(state[0])
        pressures.append(network.pressures(state[0], hour))
        reading = pressures[-1][sensors] + ERROR * random.standard_normal(len(sensors))
        reading[random.random(len(sensors)) < missing] = np.nan
        if stuck and hour >= STUCK_FROM:
            reading[STUCK] = pressures[STUCK_FROM][sensors[STUCK]]
        readings.append(reading)
    return np.array(states), np.array(pressures), np.array(readings)
