"""A simulator of its own: Lorenz-63 in Python with NumPy.

All three variables are observed with errors of standard deviation 2 every 0.1 time
units. The service sees states, simulated measurements and observations; the model stays
here. Exits with 0 when the mean of the analysis comes within BOUND of the truth.
"""

import sys

import numpy as np
from ccdm_http import Session

MEMBERS, CYCLES, SPIN_UP, ERROR, BOUND = 100, 220, 20, 2.0, 1.0


def forecast(states):
    """States ``(..., 3)`` one observation interval later."""
    for _ in range(10):
        x, y, z = np.moveaxis(states, -1, 0)
        rate = [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]
        states = states + 0.01 * np.stack(rate, axis=-1)
    return states


def main(url):
    """Cycle, and return the RMSE of the analysis mean after the spin-up."""
    random = np.random.default_rng(2)
    # Each member's measurement holds a random error, as the instrument's would: so
    # the option measurement_error is left out.
    session = Session(url, {"state_dim": 3, "measurement_dim": 3, "seed": 1})
    truth = np.array([1.0, 2.0, 24.0])
    ensemble = [0, 0, 25] + 5 * random.standard_normal((MEMBERS, 3))
    errors = []
    for _ in range(CYCLES):
        truth = forecast(truth)
        observation = truth + ERROR * random.standard_normal(3)
        states = forecast(ensemble)
        simulated = states + ERROR * random.standard_normal(states.shape)
        ensemble = session.cycle(states, simulated, observation)
        errors.append(np.sqrt(np.mean((ensemble.mean(axis=0) - truth) ** 2)))
    session.delete()
    return np.mean(errors[SPIN_UP:])


if __name__ == "__main__":
    score = main(sys.argv[1])
    print(
        f"score: RMSE {score:.3f}, wanted below {BOUND}; "
        f"the observations' own is {ERROR}"
    )
    sys.exit(0 if score < BOUND else 1)
