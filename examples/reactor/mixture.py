"""How strong is the mixture, and how foul the wall? From what leaves a burning reactor.

Hydrogen and air burn in a stirred reactor (``reactor.py``, Cantera). The fuel meter is
broken, so the strength of the mixture is unknown: fuel over what the air can burn. So
is the loss of heat, for the wall gets foul. Both wander. Every ten milliseconds, which
is as long as the gas stays, the temperature is read (errors of 10 K) and the oxygen
that is left (errors of 0.3 %). Rich mixtures leave none, and then temperature is all
there is.

State, six numbers: temperature, three mole fractions, and the logs of the two
parameters, appended to be estimated. Run by::

    python mixture.py http://127.0.0.1:8000
"""

import argparse
import sys

import numpy as np
from reactor import SPECIES, STAY, Reactor

from service.client import Client

MEMBERS, CYCLES, SPIN_UP = 100, 40, 10
# What is read, by its place in the state, and the standard deviation of its errors.
READ, ERRORS = [0, 1 + SPECIES.index("O2")], np.array([10.0, 0.003])
FIRST = 1 + len(SPECIES)  # of the parameters in the state
NAMES = ["T", *SPECIES, "log strength", "log loss"]
# What is believed of the logs beforehand: mean and deviation; and what they wander by
# from cycle to cycle.
MEAN, DOUBT, WANDER = np.zeros(2), np.array([0.35, 0.2]), np.array([0.02, 0.01])
# What they truly are at first.
TRUTHS = {"lean": np.log([0.7, 1.3]), "rich": np.log([1.4, 1.3])}
ENKF = {"preconditioner": "linear", "measurement_bandwidth": "inf"}


def lit(reactor, logs):
    """Burning reactors with these parameters ``(N, 2)``; their states, ``(N, 6)``."""
    states = [reactor.burning(strength) for strength in np.exp(logs[:, 0])]
    return np.hstack([states, logs])


def forecast(reactor, ensemble, random):
    """One cycle of every member, each with its own parameters; ``(N, 6)``."""
    states, logs = ensemble[:, :FIRST], ensemble[:, FIRST:]
    logs = logs + WANDER * random.standard_normal(logs.shape)
    states = [
        reactor.advance(state, strength, loss, STAY)
        for state, (strength, loss) in zip(states, np.exp(logs), strict=True)
    ]
    return np.hstack([states, logs])


def truth_and_readings(reactor, logs, seed, cycles=CYCLES):
    """What really happens, ``(cycles, 6)``, and what is read of it, ``(cycles, 2)``."""
    random = np.random.default_rng([seed, 1])
    state, truth = lit(reactor, logs[None]), []
    for _ in range(cycles):
        state = forecast(reactor, state, random)
        truth.append(state[0])
    truth = np.array(truth)
    return truth, truth[:, READ] + ERRORS * random.standard_normal((cycles, 2))


def estimate(client, reactor, readings, seed, options):
    """Cycle through a session; the ensemble after every cycle, ``(cycles, N, 6)``.

    With ``client=None`` nothing is assimilated: the ensemble wanders.
    """
    random = np.random.default_rng([seed, 2])
    ensemble = MEAN + DOUBT * random.standard_normal((MEMBERS, len(DOUBT)))
    ensemble = lit(reactor, ensemble)
    if client:
        session = client.create_session(
            state_dim=len(NAMES),
            measurement_dim=len(READ),
            seed=seed,
            options={"measurement_error": ERRORS.tolist(), **options},
            names={"states": NAMES, "measurements": ["T", "O2"]},
        )
    found = []
    for reading in readings:
        ensemble = forecast(reactor, ensemble, random)
        if client:
            ensemble = session.cycle(ensemble, ensemble[:, READ], reading).samples
        found.append(ensemble)
    if client:
        session.delete()
    return np.array(found)


def scores(found, truth):
    """Errors of the two logs after SPIN_UP cycles, and the spreads that are claimed."""
    found, truth = found[SPIN_UP:, :, FIRST:], truth[SPIN_UP:, FIRST:]
    errors = np.sqrt(np.mean((found.mean(axis=1) - truth) ** 2, axis=0))
    return np.concatenate([errors, np.sqrt(np.mean(found.var(axis=1), axis=0))])


def main():
    """Estimate both parameters by every method, print the scores, judge one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--picture", help="draw the first lean run into this file")
    args = parser.parse_args()
    reactor, table = Reactor(), {}
    with Client(args.url) as client:
        for seed in range(args.seeds):
            for mixture, logs in TRUTHS.items():
                truth, readings = truth_and_readings(reactor, logs, seed, args.cycles)
                for method, who, options in (
                    ("no assimilation", None, {}),
                    ("EnKF", client, ENKF),
                    ("CCDM, defaults", client, {}),
                ):
                    found = estimate(who, reactor, readings, seed, options)
                    key = (mixture, method)
                    table.setdefault(key, []).append(scores(found, truth))
                if args.picture and (seed, mixture) == (0, "lean"):
                    from picture import draw

                    draw(args.picture, found, truth)
    print(f"{'':30}error of strength, loss; spread claimed")
    for (mixture, method), each in table.items():
        numbers = "".join(f"{value:9.3f}" for value in np.mean(each, axis=0))
        print(f"{mixture:8}{method:18}{numbers}")
    before, after = (
        np.mean(table["lean", method], axis=0)[:2]
        for method in ("no assimilation", "CCDM, defaults")
    )
    score = max(after / before)
    print(f"score: {score:.2f} of the error without, wanted below 0.3")
    return 0 if score < 0.3 else 1


if __name__ == "__main__":
    sys.exit(main())
