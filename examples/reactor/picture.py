"""The two parameters over time, for the tutorial: ``mixture.py URL --picture FILE``."""

import matplotlib as mpl
import numpy as np
from mixture import DOUBT, FIRST, MEAN
from reactor import STAY

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw(file, found, truth):
    """Median and 90 % of both parameters.

    Args:
        file: to draw into.
        found: ``(cycles, N, 6)``.
        truth: ``(cycles, 6)``.
    """
    times = 1000 * STAY * np.arange(1, len(truth) + 1)
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained")
    titles = ("Strength of the mixture", "Loss of heat, over that of a clean wall")
    for i, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        values = np.exp(found[:, :, FIRST + i])
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=1)
        believed = np.exp(MEAN[i] + 1.645 * DOUBT[i] * np.array([-1, 1]))
        axes.axhspan(*believed, color="#8a8a8a", alpha=0.15, lw=0, label="believed")
        axes.fill_between(times, low, high, color="#1f5fa8", alpha=0.25, lw=0)
        axes.plot(times, middle, color="#1f5fa8", label="CCDM, median and 90 %")
        axes.plot(times, np.exp(truth[:, FIRST + i]), "k--", lw=1, label="truth")
        axes.set(title=title, xlabel="milliseconds")
    panels[0].legend(fontsize=8, frameon=False)
    figure.savefig(file, dpi=100)
