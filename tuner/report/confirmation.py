"""The final bracket in the terminal: what was measured again, and whether it changed the order.

Reads a `Study`; decides nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search_spaces.units import format_quantity
from tuner.report.words import metric_name
from tuner.study.api import Study, Trial
from tuner.study.rows import ConfirmedRow

Json = Mapping[str, Any]


def by_name(row: ConfirmedRow | None) -> dict[str, Json]:
    """A confirmation's estimates by name ("latency", "latency.p95"); empty where there is none."""
    found = () if row is None else row.estimates
    return {metric_name(e["metric"], e["statistic"]): e for e in found}


def bracket_lines(study: Study, metrics: Sequence[str], width: int) -> list[str]:
    """One line or more for each trial that was measured again, then one on their order.

    `metrics`: the names to show. Nothing where fewer than two trials were measured again.
    """
    search, confirmed = study.orders
    if len(confirmed) < 2:
        return []
    lines = ["Measured again in turn, on held-out data (search -> confirmed):"]
    for number in confirmed:
        row = study.confirmations[number]
        text = ", ".join(_moves(study, number, row, metrics))
        line = f"#{number} {row.verdict}: {text}"
        lines += textwrap.wrap(line, width, initial_indent="  ", subsequent_indent="    ")
    if search == confirmed:
        return [*lines, "  The order is that of the search."]
    texts = [", ".join(f"#{n}" for n in order) for order in (search, confirmed)]
    return [*lines, f"  The order changed: {texts[0]} by the search, {texts[1]} now."]


def _moves(study: Study, number: int, row: ConfirmedRow, metrics: Sequence[str]) -> Iterator[str]:
    trial = next(t for t in study.trials if t.number == number)
    confirmed = by_name(row)
    for name in metrics:
        before, after = trial.metrics.get(name), confirmed.get(name)
        if before is None or before.value is None or after is None:
            continue
        texts = [format_quantity(v, before.unit) for v in (before.value, after["value"])]
        if len({text.partition(" ")[2] for text in texts}) == 1:
            texts[0] = texts[0].partition(" ")[0]
        yield f"{name} {texts[0]} -> {texts[1]}"


def refuted_lines(study: Study, trial: Trial, width: int) -> list[str]:
    """What a trial that was feasible in the search missed when it was measured again."""
    row = study.confirmations.get(trial.number)
    if row is None or row.verdict != "infeasible" or not trial.feasible:
        return []
    missed = [c for c in row.constraints if c["verdict"] == "infeasible"]
    reasons = [f"{c['text']} ({_value(study, c)})" for c in missed] or ["it gave no numbers"]
    text = f"#{trial.number} held in the search, but not on held-out data: {', '.join(reasons)}"
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")


def _value(study: Study, constraint: Json) -> str:
    name = metric_name(constraint["metric"], constraint["statistic"])
    units = {n: m.unit for t in study.trials for n, m in t.metrics.items()}
    return format_quantity(constraint["value"], units.get(name, ""))
