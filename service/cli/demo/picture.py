"""The picture of a demo run: what was believed about x, y and z, and the two lobes.

Left, over time: the members of the ensemble from forecast to forecast, the truth, and
the observations (z alone is observed). Right: one moment on the attractor, as each
filter saw it; the band is what the observation says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from service.cli.demo.simulator import OBSERVATION_STD, STEP, STEPS, trajectory

Array = npt.NDArray[np.float64]

# Colours that remain apart for colour-blind eyes, in print and on a screen.
INK, GREY, PALE = "#1b1f27", "#8a919e", "#d5d9e0"
POSITIVE, NEGATIVE = "#2166ac", "#e08214"
OBSERVED, RESTART = "#1a9850", "#b2182b"

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn.

    Attributes:
        paths: ensemble from analysis to forecast, ``(cycles, STEPS + 1, N, 3)``.
        truth: ``(cycles, STEPS + 1, 3)``. observations: of z, ``(cycles, 1)``.
        snapshots: analysis ensembles by name, each ``(cycles, n, 3)``.
        scores: text under each name of ``snapshots``.
        restart: cycle in which the service was killed, or ``None``.
        subtitle: the setting in one line.
    """

    paths: npt.NDArray[np.float32]
    truth: Array
    observations: Array
    snapshots: dict[str, Array]
    scores: dict[str, str]
    restart: int | None
    subtitle: str


def draw(view: View, file: Path) -> None:
    """Write the picture as PNG."""
    with matplotlib.rc_context(STYLE):
        # No pyplot: nothing global, and no display is looked for.
        figure: Any = Figure(figsize=(14, 8.6), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subfigures(1, 2, width_ratios=[2.55, 1])
        moment = _most_divided(next(iter(view.snapshots.values())))
        _over_time(left, view, moment)
        _on_attractor(right, view, moment)
        figure.suptitle(
            "Lorenz-63 with z alone observed: two lobes that the data cannot tell "
            "apart\n",
            x=0.012,
            ha="left",
            fontsize=15,
            fontweight="bold",
        )
        figure.text(0.012, 0.952, view.subtitle, va="top", color=GREY, fontsize=9.5)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=160)


def _over_time(figure: Any, view: View, moment: int) -> None:
    axes = figure.subplots(3, 1, sharex=True)
    cycles = len(view.truth)
    counted = np.arange(cycles)[:, None] * STEPS + np.arange(STEPS + 1)
    times = np.asarray(counted * STEP, dtype=np.float64)
    for place, (axis, name) in enumerate(zip(axes, "xyz", strict=True)):
        _members(axis, times, view.paths, place)
        axis.plot(
            times.ravel(), view.truth[..., place].ravel(), color=INK, lw=1.3, zorder=3
        )
        axis.set_ylabel(name, rotation=0, fontsize=13, style="italic", labelpad=10)
        axis.set_xlim(0, times[-1, -1])
        axis.axvline(times[moment, -1], color=GREY, lw=0.8, ls=":", zorder=1)
        if view.restart is not None:
            when = times[view.restart - 1, -1]
            axis.axvline(when, color=RESTART, lw=1.1, ls=(0, (4, 3)), zorder=4)
    axes[2].errorbar(
        times[:, -1],
        view.observations[:, 0],
        yerr=OBSERVATION_STD,
        fmt="o",
        ms=3,
        lw=0.7,
        color=OBSERVED,
        zorder=4,
    )
    axes[2].set_xlabel("model time (an observation every 0.1)")
    _legend(axes[0], times, view)


def _members(axis: Any, times: Array, paths: npt.NDArray[Any], place: int) -> None:
    # A line per member and cycle, since an analysis moves members; its colour is the
    # lobe that the member sits in at the end of the line.
    cycles, points, members, _ = paths.shape
    values = paths[..., place].transpose(0, 2, 1)
    clock = np.broadcast_to(times[:, None, :], values.shape)
    lines = np.stack([clock, values], axis=-1).reshape(cycles * members, points, 2)
    colours = np.where(paths[:, -1, :, 0].ravel() > 0, POSITIVE, NEGATIVE)
    alpha = float(np.clip(12 / members, 0.02, 0.5))
    axis.add_collection(
        LineCollection(list(lines), colors=list(colours), lw=0.6, alpha=alpha, zorder=2)
    )
    low, high = np.quantile(values, [0.0005, 0.9995])
    axis.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


def _legend(axis: Any, times: Array, view: View) -> None:
    handles = [
        Line2D([], [], color=INK, lw=1.3, label="truth"),
        Line2D([], [], color=POSITIVE, lw=1.5, label="members with x > 0"),
        Line2D([], [], color=NEGATIVE, lw=1.5, label="members with x < 0"),
        Line2D(
            [],
            [],
            color=OBSERVED,
            marker="o",
            ms=4,
            lw=0,
            label="observed z and its error",
        ),
    ]
    if view.restart is not None:
        handles.append(
            Line2D(
                [],
                [],
                color=RESTART,
                ls=(0, (4, 3)),
                label="service killed (kill -9) and restarted",
            )
        )
    axis.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(handles),
        frameon=False,
        handlelength=1.6,
        columnspacing=1.6,
    )


def _on_attractor(figure: Any, view: View, moment: int) -> None:
    axes = np.atleast_1d(figure.subplots(len(view.snapshots), 1, sharex=True))
    climate = _climate()
    seen = float(view.observations[moment, 0])
    for axis, (name, ensembles) in zip(axes, view.snapshots.items(), strict=True):
        axis.plot(climate[:, 0], climate[:, 2], color=PALE, lw=0.35, zorder=1)
        axis.axhspan(
            seen - OBSERVATION_STD,
            seen + OBSERVATION_STD,
            color=OBSERVED,
            alpha=0.13,
            lw=0,
        )
        points = ensembles[moment]
        colours = np.where(points[:, 0] > 0, POSITIVE, NEGATIVE)
        axis.scatter(
            points[:, 0], points[:, 2], s=13, c=colours, alpha=0.65, lw=0, zorder=3
        )
        truth = view.truth[moment, -1]
        axis.plot(truth[0], truth[2], marker="*", ms=17, mfc="none", mec=INK, zorder=4)
        axis.set_title(name, fontweight="bold")
        axis.set_title(view.scores.get(name, ""), loc="right", color=GREY, fontsize=8.5)
        axis.set_ylabel("z", rotation=0, style="italic", fontsize=11, labelpad=8)
        axis.set_xlim(-24, 24)
        axis.set_ylim(0, 56)
    axes[-1].set_xlabel(
        f"x at cycle {moment + 1} (dotted on the left), where CCDM is most\n"
        "divided; star: truth, band: observed z and its error"
    )


def _climate() -> Array:
    state = np.array([1.509, -1.531, 25.46])
    path = []
    for _ in range(400):
        path.append(trajectory(state)[:-1])
        state = path[-1][-1] + 0.0
    return np.concatenate(path)


def _most_divided(ensembles: Array) -> int:
    """The cycle whose two lobes are both well filled and farthest apart."""
    x = ensembles[..., 0]
    smaller = np.minimum((x > 0).mean(axis=1), (x < 0).mean(axis=1))
    burn_in = len(x) // 5
    merit = smaller * np.abs(x).mean(axis=1)
    return burn_in + int(np.argmax(merit[burn_in:]))
