"""Pictures of the two estimates, for the tutorial.

Run by::

    python pictures.py http://127.0.0.1:8000 docs/images
"""

import argparse
from pathlib import Path

import demands
import matplotlib as mpl
import numpy as np
import roughness
import town
from network import CLASSES, DAY, Network
from watch import Watch

from service.client import Client

mpl.use("Agg")
import matplotlib.pyplot as plt

BLUE, GREY, RED = "#1f5fa8", "#8a8a8a", "#c0392b"


def band(axes, hours, values, colour, label):
    """Median and 90 % of an ensemble over time; ``values`` ``(hours, N)``."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=1)
    axes.fill_between(hours, low, high, color=colour, alpha=0.25, lw=0)
    axes.plot(hours, middle, color=colour, label=label)


def picture_of_demands(client, network, file, hours):
    """Where the sensors are; the town's demand without them, with, and with care."""
    states, _, readings = town.truth_and_readings(network, 0, 0.1, True, hours)
    localized = demands.localized(network)
    hours = np.arange(hours)
    usual = network.usual * DAY[hours % 24][:, None]
    truth = (np.exp(states) * usual).sum(axis=1) * LITRES
    figure, (where, when) = plt.subplots(
        1, 2, figsize=(9.5, 3.6), width_ratios=(1, 1.5), layout="constrained"
    )
    for start, end in network.pipes:
        where.plot(*zip(start, end, strict=True), color=GREY, lw=0.8, zorder=1)
    where.scatter(*network.places.T, s=8, color=GREY, zorder=2)
    sensors = [network.junctions.index(name) for name in town.SENSORS]
    where.scatter(
        *network.places[sensors].T, s=36, color=BLUE, zorder=3, label="sensor"
    )
    stuck = network.places[sensors[town.STUCK]]
    where.scatter(*stuck, s=60, color=RED, marker="X", zorder=4, label="the stuck one")
    where.set(title="Net3", xticks=[], yticks=[], aspect="equal")
    where.legend(fontsize=8, loc="lower left", frameon=False)
    for who, watch, colour, label in (
        (None, None, GREY, "without assimilation"),
        (client, None, RED, "one sensor stuck from hour 18"),
        (client, Watch(), BLUE, "the same, sensors watched"),
    ):
        found = demands.assimilate(who, network, readings, 0, localized, watch)
        whole = (np.exp(found) * usual[:, None]).sum(axis=2) * LITRES
        band(when, hours, whole, colour, label)
    when.plot(hours, truth, color="black", lw=1, ls="--", label="truth")
    when.set(xlabel="hour", ylabel="demand of the town, l/s", title="Median and 90 %")
    when.legend(fontsize=8, frameon=False)
    figure.savefig(file, dpi=110)


def picture_of_roughness(client, network, file, hours):
    """The four factors over time, beside the truth."""
    readings = roughness.readings_of(network, 0, hours)
    hours = np.arange(len(readings))
    figure, panels = plt.subplots(
        1, 4, figsize=(9.5, 2.8), sharey=True, layout="constrained"
    )
    for wander, colour, label in (
        (0.0, RED, "at rest"),
        (roughness.WANDER, BLUE, "wandering"),
    ):
        found = np.exp(roughness.estimate(client, network, readings, 0, {}, wander))
        for axes, values in zip(panels, np.moveaxis(found, 2, 0), strict=True):
            band(axes, hours, values, colour, label)
    for axes, truth, inches in zip(panels, roughness.TRUTH, CLASSES, strict=True):
        axes.axhline(np.exp(truth), color="black", lw=1, ls="--")
        axes.set(title=f"{inches[0]} to {inches[1]} inches", xlabel="hour")
    panels[0].set_ylabel("factor of the coefficient")
    panels[-1].legend(fontsize=8, frameon=False)
    figure.savefig(file, dpi=110)


LITRES = 0.0630902  # per second, of a gallon per minute


def main():
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=int, help="less than in the tutorial")
    args = parser.parse_args()
    network = Network()
    with Client(args.url) as client:
        picture_of_demands(
            client,
            network,
            args.folder / "water-demands.png",
            args.hours or demands.HOURS,
        )
        picture_of_roughness(
            client,
            network,
            args.folder / "water-roughness.png",
            args.hours or roughness.HOURS,
        )


if __name__ == "__main__":
    main()
