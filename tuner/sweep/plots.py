"""The pictures of a night: the front of each entry, and its answers over the nights, as SVG.

Drawn by matplotlib, the library that people know for figures in files; it is no dependency of a
sweep, which writes no plots without it. Knows nothing of pages.
"""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.sweep.records import EntryResult, Night
from tuner.sweep.wording import answer_of, plain, shown_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_PLOTS = "No plots: matplotlib is not installed (`pip install matplotlib`)."

_SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text: smaller, and can be searched
    "svg.hashsalt": "sweep",  # the same picture for the same numbers
    "text.parse_math": False,  # a name with $ is a name
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_CHOSEN, _OTHERS = "#c2410c", "#1d4ed8"
_SCALES = {"s": (1e3, "ms"), "B": (1e-6, "MB"), "fraction": (100.0, "%")}


def draw(folder: Path, night: Night, history: Sequence[Night]) -> dict[str, list[str]] | None:
    """Write the plots; their names by entry. None: matplotlib is not installed. OSError."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    import matplotlib as mpl

    nights = sorted(
        (n for n in history if n.started <= night.started), key=lambda found: found.started
    )
    written: dict[str, list[str]] = {}
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of signs that the font does not have
        for entry in night.entries:
            written[entry.name] = [*_front(folder, entry), *_history(folder, entry, nights)]
    return written


def _front(folder: Path, entry: EntryResult) -> Iterator[str]:
    """The feasible candidates that none beats, by the first two objectives."""
    names = [text.split()[-1] for text in entry.objectives if text.split()][:2]
    points = [t for t in entry.front if all(_value(t, name) is not None for name in names)]
    if len(names) < 2 or not points:
        return
    chosen = None if entry.answer is None else entry.answer.number

    def paint(axes: Axes) -> None:
        for trial in points:
            ours = trial.get("number") == chosen
            (x, left, right), (y, down, up) = (_with_ends(trial, name) for name in names)
            axes.errorbar(
                x, y, xerr=[[left], [right]], yerr=[[down], [up]], fmt="o",
                color=_CHOSEN if ours else _OTHERS, elinewidth=0.8,
            )  # fmt: skip
            axes.annotate(
                f"#{trial.get('number')}", (x, y), textcoords="offset points", xytext=(5, 5)
            )
        axes.set_xlabel(_axis(points[0], names[0]))
        axes.set_ylabel(_axis(points[0], names[1]))
        axes.set_title(plain(f"{entry.name}: the front, #{chosen} chosen"), loc="left")

    yield _saved(folder, f"front-{_file_name(entry.name)}.svg", paint)


def _history(folder: Path, entry: EntryResult, nights: Sequence[Night]) -> Iterator[str]:
    """Each answer's ratio to the unoptimised model, with its interval, over the nights."""
    lines = ratios(entry.name, nights)
    if not any(lines.values()):
        return

    def paint(axes: Axes) -> None:
        for metric, points in lines.items():
            places = [place for place, _ in points]
            values = [ratio[0] for _, ratio in points]
            below = [max(0.0, ratio[0] - ratio[1]) for _, ratio in points]
            above = [max(0.0, ratio[2] - ratio[0]) for _, ratio in points]
            axes.errorbar(
                places, values, yerr=[below, above], fmt="o-", capsize=2, label=plain(metric)
            )
        axes.set_xticks(range(len(nights)))
        axes.set_xticklabels([plain(n.name) for n in nights], rotation=45, ha="right")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("times the unoptimised model")
        axes.set_title(plain(f"{entry.name}: the answer of each night"), loc="left")
        axes.legend(frameon=False)

    yield _saved(folder, f"history-{_file_name(entry.name)}.svg", paint)


Point = tuple[int, tuple[float, float, float]]


def ratios(entry: str, nights: Sequence[Night]) -> dict[str, list[Point]]:
    """Per timed metric, (place of the night, ratio with its ends) of that night's answer."""
    found: dict[str, list[Point]] = {}
    for place, night in enumerate(nights):
        result = night.entry(entry)
        answer = None if result is None else answer_of(result)
        if result is None or answer is None:
            continue
        for measured in shown_metrics(result, answer):
            if measured.ratio is not None:
                found.setdefault(measured.name, []).append((place, measured.ratio))
    return found


def _saved(folder: Path, name: str, paint: Any) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    paint(figure.add_subplot())
    figure.savefig(folder / name, format="svg", metadata={"Date": None})
    return name


def _value(trial: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = trial.get("metrics", {}).get(name)
    return found if found is not None and found.get("value") is not None else None


def _with_ends(trial: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    """A metric in its usual unit, and how far its interval reaches below and above."""
    metric = _value(trial, name) or {}
    scale = _SCALES.get(metric["unit"], (1.0, ""))[0]
    value = metric["value"]
    low, high = ((value if metric.get(end) is None else metric[end]) for end in ("low", "high"))
    return value * scale, max(0.0, value - low) * scale, max(0.0, high - value) * scale


def _axis(trial: Mapping[str, Any], name: str) -> str:
    metric = _value(trial, name) or {}
    unit = _SCALES.get(metric["unit"], (1.0, metric["unit"]))[1]
    return plain(f"{name}, {unit}" if unit else name)


def _file_name(entry: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", entry)
