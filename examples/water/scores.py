"""How far the analyses are from the truth."""

import numpy as np
from town import SENSORS

SPIN_UP = 12  # hours that are not scored


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
    for hour in range(len(states)):
        found = np.mean(
            [network.pressures(member, hour)[blind] for member in analyses[hour]],
            axis=0,
        )
        of_pressures.append(np.sqrt(np.mean((found - pressures[hour, blind]) ** 2)))
    whole = np.sqrt(np.mean(whole[SPIN_UP:] ** 2))
    return np.mean(single[SPIN_UP:]), whole, np.mean(of_pressures[SPIN_UP:])
