"""Where nothing fits, in the terminal: what keeps everything out, and what relaxing it lets in.

Reads a `Shortfall` and prints; decides nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search_spaces.problems import listed
from search_spaces.units import format_quantity
from tuner.report.words import interval_text, metric_name, plural
from tuner.review.shortfall import Binding, Price, Shortfall, known_values
from tuner.study.api import Study, Trial

Json = Mapping[str, Any]

_STEPS = 5  # of a price list
_SLACK = 0.1  # of a value: a limit further from it than that says how uncertain it is

STATES = {"screened": "not trained", "stopped": "not trained to the end"}
"""What a trial lacks that was given up."""


def print_prices(console: Console, study: Study, shortfall: Shortfall, width: int) -> None:
    """What keeps everything out, and for each such constraint what relaxing it would let in."""
    if shortfall.problem is not None:
        _wrap(
            console,
            f"What relaxing a constraint would buy cannot be said: {shortfall.problem}",
            width,
        )
    if not shortfall.bindings:
        return
    first, *others = shortfall.bindings
    console.print()
    _wrap(console, headline(first, alternatives=bool(others)), width)
    console.print(_price_table(study, first, width))
    for line in _notes(study, first):
        _wrap(console, line, width)
    for other in others:
        _wrap(console, _in_short(study, other), width)


def headline(binding: Binding, *, alternatives: bool) -> str:
    """What keeps everything out, in a sentence; `alternatives`: something else would do too."""
    if not any(p.state == "" for p in binding.prices):
        return (
            f"{listed(binding.constraints, 'and')} kept out all that came near, before it was "
            "trained. Relaxed, it would be tried:"
        )
    if len(binding.constraints) > 1:
        return (
            f"No single constraint is to blame: {listed(binding.constraints, 'and')} would have to "
            "be relaxed together:"
        )
    if alternatives:
        return f"Relaxing {binding.constraints[0]} costs least. What it would buy:"
    return f"{binding.constraints[0]} alone keeps everything out. What relaxing it would buy:"


def _price_table(study: Study, binding: Binding, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), width=None)
    table.add_column("at", overflow="fold")
    table.add_column("#", justify="right", no_wrap=True)
    for objective in study.info.objectives:
        table.add_column(metric_name(objective["metric"], objective["statistic"]), justify="right")
    remarks = [remark_text(price) for price in binding.prices[:_STEPS]]
    if any(remarks):
        table.add_column("", overflow="fold")
    before: Trial | None = None
    for price, remark in zip(binding.prices[:_STEPS], remarks, strict=True):
        cells = _objective_cells(study, price.trial, before)
        row = [
            limits_text(price),
            str(price.trial.number),
            *cells,
            *([remark] if any(remarks) else []),
        ]
        table.add_row(*(Text(cell) for cell in row))
        before = price.trial if price.state == "" else before
    return table


def limits_text(price: Price) -> str:
    """`latency<56ms`; where a limit cannot be written, `without accuracy>=0.9`."""
    return ", ".join(new or f"without {old}" for old, new in price.limits)


def _objective_cells(study: Study, trial: Trial, before: Trial | None) -> list[str]:
    values = known_values(trial, study.info.objectives)
    earlier = {} if before is None else known_values(before, study.info.objectives)
    cells = []
    for objective in study.info.objectives:
        value, last = values[objective["text"]], earlier.get(objective["text"])
        unit = _unit(study, objective)
        if value is None:
            cells.append("not known")
        elif last is None:
            cells.append(format_quantity(value, unit))
        else:
            cells.append(f"{format_quantity(value, unit)} ({change_text(value - last, unit)})")
    return cells


def change_text(change: float, unit: str) -> str:
    """`+1.2 points` for a fraction, else `-3.1 ms`; three digits."""
    if unit == "fraction":
        return f"{100 * change:+.1f} points"
    if change == 0:
        return "the same"
    sign = "+" if change > 0 else "-"
    return f"{sign}{format_quantity(abs(change), unit)}"


def _unit(study: Study, objective: Json) -> str:
    name = metric_name(objective["metric"], objective["statistic"])
    trials = [*study.trials, *filter(None, [study.baseline])]
    return next((t.metrics[name].unit for t in trials if name in t.metrics), "")


def remark_text(price: Price) -> str:
    """What is to be known of a price's trial; "" where nothing is."""
    if price.state:
        return STATES.get(price.state, "not all measured")
    if price.undecided:
        return "undecided as it is"
    return "by held-out data" if price.held_out else ""


def _notes(study: Study, binding: Binding) -> list[str]:
    shown = binding.prices[:_STEPS]
    lines = [
        "The limits are certain: the whole 95 % interval fits, and they are rounded to the safe "
        "side."
    ]
    loose = [text for p in shown if (text := _uncertain(study, p)) is not None]
    if loose:
        lines.append(f"Measured in more sessions, less would do: {'; '.join(loose[:2])}.")
    left = len(binding.prices) - len(shown)
    if left:
        lines.append(f"{plural(left, 'further step')} with --json.")
    return lines


def _uncertain(study: Study, price: Price) -> str | None:
    """The value of what needs a limit far from it; None where the interval is narrow."""
    if price.held_out or price.state:
        return None
    for text, _ in price.limits:
        found = next((c for c in price.trial.constraints if c.text == text), None)
        metric = (
            None
            if found is None
            else price.trial.metrics.get(metric_name(found.metric, found.statistic))
        )
        if metric is None or metric.value is None or metric.low is None or metric.high is None:
            continue
        if metric.unit != "fraction" and metric.high - metric.low > 2 * _SLACK * abs(metric.value):
            data = {
                "value": metric.value,
                "low": metric.low,
                "high": metric.high,
                "unit": metric.unit,
            }
            return f"#{price.trial.number} has {metric.metric} {interval_text(data)}"
    return None


def _in_short(study: Study, binding: Binding) -> str:
    """One line for a constraint that would be enough alone too, but costs more to relax."""
    price = binding.prices[0]
    names = [metric_name(o["metric"], o["statistic"]) for o in study.info.objectives]
    cells = zip(names, _objective_cells(study, price.trial, None), strict=True)
    values = ", ".join(f"{name} {cell}" for name, cell in cells)
    names_of_it = listed(binding.constraints, "and")
    at = f"at {limits_text(price)} #{price.trial.number} fits"
    return f"Or {names_of_it} alone: {at}, {values}."


def _wrap(console: Console, text: str, width: int) -> None:
    for row in textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False):
        console.print(Text(row))


def lacking(trials: Sequence[Trial]) -> list[str]:
    """One line for each kind of trial that was given up before all of it was known."""
    kinds: dict[str, list[str]] = {}
    for trial in trials:
        if trial.cut_short:
            kinds.setdefault(STATES[trial.row.state], []).append(f"#{trial.number}")
    return [f"{listed(numbers, 'and')}: {kind}" for kind, numbers in kinds.items()]
