"""Whom to believe: takes a sensor out that keeps contradicting what is predicted."""

import numpy as np
from town import ERROR, SENSORS

WINDOW, SUSPICIOUS = 6, 2.0


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
