"""The answer as a person reads it in a terminal of 80 columns.

Reads a `Study` and prints; decides nothing.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluators.floors import Floors
from search_spaces.data_report import DataReport
from search_spaces.units import format_quantity
from tuner.report.confirmation import bracket_lines, by_name, refuted_lines
from tuner.report.nothing_fits import lacking, print_prices
from tuner.report.why import short_lines
from tuner.report.words import (
    duration,
    ending,
    interval_text,
    metric_name,
    parameter_texts,
    plural,
)
from tuner.review.shortfall import shortfall_of
from tuner.study.api import Study, Trial
from tuner.study.rows import ConstraintRow

Json = Mapping[str, Any]

WIDTH = 80
_ROWS = 10  # of a table of trials
_NEAREST = 3


def console(stream: Any, *, colour: bool | None = None) -> Console:
    """A console that is 80 columns wide where the stream is no terminal."""
    found = Console(file=stream, highlight=False, force_terminal=colour)
    return found if found.is_terminal else Console(file=stream, highlight=False, width=WIDTH)


def print_answer(console: Console, study: Study) -> None:
    """The chosen model and why, the front, and where to find it; or what came nearest."""
    if not study.trials:
        console.print("No trial has ended yet.")
    elif study.best is not None:
        if study.front:
            _print_front(console, study, study.best)
        _print_chosen(console, study, study.best)
        if not study.front:
            print_prices(console, study, shortfall_of(study), WIDTH - 1)
    elif study.nearest:
        _print_nearest(console, study)
    else:
        _print_all_failed(console, study)
    for line in short_lines(study):
        console.print(Text(line))
    _print_footer(console, study)


def _print_front(console: Console, study: Study, best: Trial) -> None:
    count = len(study.front)
    console.print(f"\n[bold]Front[/bold]: {plural(count, 'candidate')} that no other beats")
    console.print(trials_table(study, study.front, best))


def trials_table(study: Study, trials: Sequence[Trial], chosen: Trial | None) -> Table:
    """Trials with the parameters that differ, the metrics that were asked for, and verdicts."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), width=WIDTH)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("parameters", ratio=1)
    names = asked_metrics(study)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    shown = trials[:_ROWS]
    for trial, texts in zip(shown, parameter_texts([t.parameters for t in shown]), strict=True):
        mark = "*" if trial is chosen else ""
        cells = [_metric_cell(trial, name) for name in names]
        verdict = ending(trial.row.state, trial.row.verdict)
        table.add_row(f"{mark}{trial.number}", Text(" ".join(texts)), *cells, verdict)
    return table


def asked_metrics(study: Study) -> list[str]:
    """The metrics of objectives and constraints, each once."""
    asked = (*study.info.objectives, *study.info.constraints)
    return list(dict.fromkeys(metric_name(a["metric"], a["statistic"]) for a in asked))


def _metric_cell(trial: Trial, name: str) -> str:
    metric = trial.metrics.get(name)
    if metric is None or metric.value is None:
        return "-"
    return format_quantity(metric.value, metric.unit)


def _print_chosen(console: Console, study: Study, best: Trial) -> None:
    [texts] = parameter_texts([best.parameters], all_of_them=True)
    line = f"Chosen: #{best.number}  {' '.join(texts)}"
    for row in textwrap.wrap(line, WIDTH - 1, subsequent_indent="  ", break_on_hyphens=False):
        console.print(Text(row))
    for row in textwrap.wrap(why_chosen(study, best), WIDTH - 3):
        console.print(Text(f"  {row}"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("", "search (95 % interval)", "confirmed on held-out", "baseline"):
        table.add_column(title)
    confirmed = by_name(study.confirmed)
    for name in asked_metrics(study):
        table.add_row(name, *_chosen_cells(study, best, name, confirmed))
    console.print(table)
    for text in study.notices(best.number):
        for row in textwrap.wrap(text, WIDTH - 1, initial_indent="  ", subsequent_indent="    "):
            console.print(Text(row))
    _print_floors(console, study)
    _print_bracket(console, study)


def _print_bracket(console: Console, study: Study) -> None:
    for line in bracket_lines(study, asked_metrics(study), WIDTH - 1):
        console.print(Text(line))


def _print_floors(console: Console, study: Study) -> None:
    for line in floor_lines(study):
        for row in textwrap.wrap(line, WIDTH - 1, initial_indent="  ", subsequent_indent="    "):
            console.print(Text(row))


def floor_lines(study: Study) -> list[str]:
    """What accuracy is to be read against, and whether the data flatters it."""
    check = study.data_check
    asked = (*study.info.objectives, *study.info.constraints)
    if check is None or all(a["metric"] != "accuracy" for a in asked):
        return []
    lines = [
        f"accuracy floors on {split}: {Floors.from_json(data)}"
        for split, data in check["floors"].items()
    ]
    findings = DataReport.from_json(check["report"]).warnings
    return lines + [f"warning: {f.message}" for f in findings if f.kind == "leaked"]


def why_chosen(study: Study, best: Trial) -> str:
    """Why it is this one, in a line."""
    if not study.front:
        if best.objectives is None:
            return "the first that was built; not every metric could be measured of any"
        return "built, and nearest to the constraints; none fits them for certain"
    if len(study.front) == 1:
        return "the only candidate on the front: best in every objective"
    best_of = []
    for position, objective in enumerate(study.info.objectives):
        name = metric_name(objective["metric"], objective["statistic"])
        top = min(study.front, key=lambda t: study.losses(t)[position])
        best_of.append(f"{name} {_metric_cell(best, name)} (best {_metric_cell(top, name)})")
    return f"of {len(study.front)}, nearest to the best of all: {', '.join(best_of)}"


def _chosen_cells(
    study: Study, best: Trial, name: str, confirmed: Mapping[str, Json]
) -> tuple[str, str, str]:
    metric = best.metrics.get(name)
    data = None if metric is None else asdict(metric)
    search = "-" if data is None else interval_text(data)
    again = interval_text(confirmed[name]) if name in confirmed else "-"
    before = "-" if study.baseline is None else _metric_cell(study.baseline, name)
    return search, again, before


def _print_nearest(console: Console, study: Study) -> None:
    shortfall = shortfall_of(study)
    console.print("\n[bold]Nothing is feasible.[/bold] The nearest candidates:")
    nearest = shortfall.nearest[:_NEAREST]
    console.print(trials_table(study, nearest, None))
    _print_floors(console, study)
    for trial in nearest:
        for constraint in trial.constraints:
            if constraint.verdict != "feasible":
                _print_wrapped(console, f"#{trial.number} {missed_text(study, trial, constraint)}")
    refuted = [lines for t in study.nearest if (lines := refuted_lines(study, t, WIDTH - 1))]
    for line in itertools.chain(*refuted[:_NEAREST]):
        console.print(Text(line))
    for line in lacking(nearest):
        _print_wrapped(console, line)
    print_prices(console, study, shortfall, WIDTH - 1)


def _print_wrapped(console: Console, line: str) -> None:
    for row in textwrap.wrap(line, WIDTH - 1, initial_indent="  ", subsequent_indent="    "):
        console.print(Text(row))


def missed_text(study: Study, trial: Trial, constraint: ConstraintRow) -> str:
    """`misses latency<50ms by 3.1 ms (6.2%): it has 53.1 ms`."""
    metric = trial.metrics.get(metric_name(constraint.metric, constraint.statistic))
    unit = "" if metric is None else metric.unit
    value, limit = constraint.value or 0.0, constraint.limit or 0.0
    gap = format_quantity(abs(value - limit), unit)
    if constraint.verdict == "undecided":
        inside = "its interval holds the limit"
        return f"is undecided on {constraint.text}: {format_quantity(value, unit)}, {inside}"
    share = f" ({abs(value - limit) / abs(limit):.1%})" if limit else ""
    return f"misses {constraint.text} by {gap}{share}: it has {format_quantity(value, unit)}"


def _print_all_failed(console: Console, study: Study) -> None:
    causes: dict[str, int] = {}
    for trial in study.failures:
        cause = f"{trial.row.where}: {trial.row.message}"
        causes[cause] = causes.get(cause, 0) + 1
    console.print("\n[bold]Every candidate failed.[/bold]")
    for cause, count in sorted(causes.items(), key=lambda item: -item[1])[:3]:
        console.print(Text(f"  {count} x {cause}"))
    log = next((t.row.log for t in study.failures if t.row.log), None)
    if log is not None:
        console.print(Text(f"  log: {log}"), soft_wrap=True)


def _print_footer(console: Console, study: Study) -> None:
    counts = [plural(len(study.trials), "trial")]
    infeasible = sum(t.row.verdict == "infeasible" for t in study.trials)
    undecided = sum(t.row.verdict == "undecided" for t in study.trials)
    counts += [f"{infeasible} infeasible"] if infeasible else []
    counts += [f"{undecided} undecided"] if undecided else []
    counts += [f"{len(study.failures)} failed"] if study.failures else []
    stages = study.stages()
    reused = sum(s.cached for s in stages)
    counts.append(f"{reused} of {plural(len(stages), 'stage')} reused")
    console.print(f"{', '.join(counts)}, {duration(study.seconds)} in all")
    if study.info.space.get("test_model"):
        console.print("a test with random weights: no number of quality means anything")
    console.print(Text(f"study  {study.name}"), soft_wrap=True)
    if study.output is not None:
        console.print(Text(f"answer {study.output}/ (model/, recipe.yaml, report.html)"))
