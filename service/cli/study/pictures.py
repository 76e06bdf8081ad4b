"""Pictures of a comparison: error and spread over time, ranks, ensembles.

matplotlib is an extra: it is imported when a picture is drawn, and the comparison
does without where it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine.twin.experiment import Experiment

Array = npt.NDArray[np.float64]
# Series of each seed, by method and ensemble size as the legend calls them.
Series = Mapping[str, Sequence[Mapping[str, Array]]]


def draw(setting: Experiment, series: Series, folder: Path) -> list[Path]:
    """Draw what the series allow; the paths of the pictures made.

    Raises:
        ImportError: without matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    made = [
        _save(_over_time(setting, series), folder / "error-and-spread.png"),
        _save(_ranks(series), folder / "ranks.png"),
    ]
    if any("shown_ensembles" in run for runs in series.values() for run in runs):
        made.append(_save(_ensembles(series), folder / "ensembles.png"))
    return made


def _save(figure: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
    return path


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    return figure, axes


def _over_time(setting: Experiment, series: Series) -> Any:
    figure, axes = _panels(2, 1, 9.0, 2.8)
    for row, score in enumerate(("crps" if setting.bimodal else "rmse", "spread")):
        axis = axes[row, 0]
        for name, runs in series.items():
            values = np.array([run[score] for run in runs])
            # The median over seeds: one lost seed does not hide the others.
            middle = _median(values)
            axis.plot(np.arange(1, middle.size + 1), middle, label=name, lw=1.2)
        axis.axvline(setting.burn_in, color="0.7", lw=0.8, ls=":")
        axis.set(ylabel=f"{score.upper()}, median over seeds", yscale="log")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8, ncols=2)
    axes[0, 0].set_title(setting.name, loc="left")
    axes[-1, 0].set_xlabel("cycle")
    return figure


def _median(values: Array) -> Array:
    alive = np.isfinite(values)
    middle = np.full(values.shape[1], np.nan)
    some = alive.any(axis=0)
    middle[some] = np.nanmedian(np.where(alive, values, np.nan)[:, some], axis=0)
    return middle


def _ranks(series: Series) -> Any:
    columns = min(4, len(series))
    rows = -(-len(series) // columns)
    figure, axes = _panels(rows, columns, 3.0, 2.2)
    for axis in axes.ravel()[len(series) :]:
        axis.set_axis_off()
    for axis, (name, runs) in zip(axes.ravel(), series.items(), strict=False):
        counts = np.sum([run["rank_counts"] for run in runs], axis=0)
        expected = np.sum([run["rank_expected"] for run in runs], axis=0)
        ratio = counts / np.where(expected > 0, expected, 1.0)
        places = (np.arange(ratio.size) + 0.5) / ratio.size
        axis.bar(places, ratio, width=0.9 / ratio.size)
        axis.axhline(1.0, color="0.3", lw=0.8)
        axis.set_title(name, fontsize=8)
        axis.set(xlabel="rank of the truth / N", ylabel="count / expected")
    return figure


def _ensembles(series: Series) -> Any:
    shown = {n: r[0] for n, r in series.items() if r and "shown_ensembles" in r[0]}
    moments = next(iter(shown.values()))["shown_cycles"].size
    figure, axes = _panels(len(shown), moments, 3.0, 2.4)
    for row, (name, run) in enumerate(shown.items()):
        for column in range(moments):
            axis = axes[row, column]
            reference = run["shown_references"][column]
            ensemble = run["shown_ensembles"][column]
            truth = run["shown_truths"][column]
            if ensemble.shape[1] == 1:
                _as_histogram(axis, reference, ensemble, truth)
            else:
                _as_cloud(axis, reference, ensemble, truth)
            axis.set_title(f"cycle {run['shown_cycles'][column]:.0f}", fontsize=8)
        axes[row, 0].set_ylabel(name, fontsize=8)
    axes[0, 0].legend(fontsize=7)
    return figure


def _as_cloud(axis: Any, reference: Array, ensemble: Array, truth: Array) -> None:
    first, last = 0, ensemble.shape[1] - 1
    axis.scatter(*reference[:, [first, last]].T, s=2, c="0.75", label="reference")
    axis.scatter(*ensemble[:, [first, last]].T, s=6, c="C0", label="ensemble")
    axis.plot(truth[first], truth[last], "r+", ms=10, label="truth")
    axis.set_xlabel(f"variable {first}, upwards variable {last}", fontsize=7)


def _as_histogram(axis: Any, reference: Array, ensemble: Array, truth: Array) -> None:
    both = np.concatenate([reference, ensemble])
    bins = np.linspace(both.min(), both.max(), 41)
    keywords = {"bins": bins, "density": True}
    axis.hist(reference[:, 0], color="0.75", label="reference", **keywords)
    axis.hist(ensemble[:, 0], histtype="step", label="ensemble", **keywords)
    axis.axvline(truth[0], color="r", lw=1, label="truth")
