"""The figure of a problem: hypervolume against cost, the mean over seeds, per strategy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from evaluators.base import Json

COLOURS = {
    "auto": "#d62728",
    "tpe": "#1f77b4",
    "random": "#999999",
    "nsga2": "#2ca02c",
    "gp": "#9467bd",
    "grid": "#8c564b",
    "plain": "#000000",
}
NAMES = {"plain": "Optuna's TPE, as a user would write it"}
_POINTS = 80


def draw(runs: Sequence[Json], title: str, path: Path) -> None:
    """Draw the runs of a problem into an SVG file, the same bytes for the same runs."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "search"})
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6))
    grid = [n / _POINTS for n in range(_POINTS + 1)]
    for strategy in (s for s in COLOURS if any(r["strategy"] == s for r in runs)):
        own = [r for r in runs if r["strategy"] == strategy]
        columns = [[value(r["points"], x) for r in own] for x in grid]
        means = [statistics.fmean(c) for c in columns]
        (drawn,) = axes.plot(grid, means, label=NAMES.get(strategy, strategy), linewidth=1.4)
        drawn.set_color(COLOURS[strategy])
        drawn.set_linestyle("--" if strategy == "plain" else "-")
    axes.set_title(title)
    axes.set_xlabel("cost (share of the budget)")
    axes.set_ylabel("hypervolume (share of the true front's)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, None)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def value(points: Sequence[Sequence[float]], at: float) -> float:
    """The hypervolume that a run had at this share of its budget."""
    return next((v for cost, v in reversed(points) if cost <= at), 0.0)
