"""Why the numbers are what they are: which choices decide a metric, and what each does to it.

In the terminal after an answer, all of it with `tune why`, and as data in `summary.json`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search_spaces.problems import hint
from search_spaces.units import format_quantity
from tuner.report.choices import Chosen, Question
from tuner.report.words import metric_name, plural, short_names, value_text
from tuner.search.effects import Analysis, Effect, Importance, analyse
from tuner.study.api import Study

_SHORT = 2  # choices per metric after an answer
_BAR = 20  # characters
_MOST = 79


_known: WeakKeyDictionary[Study, dict[str, Reason]] = WeakKeyDictionary()


class UnknownMetricError(Exception):
    """No trial of the study has the metric that was asked for."""


@dataclass(frozen=True)
class Reason:
    """What is known of why one metric varies. Changes are ratios where `ratio`, else differences.

    `ruled_out`: decisions that cannot change it, by what passes and metrics declare.
    """

    metric: str
    unit: str
    ratio: bool
    ruled_out: tuple[str, ...]
    analysis: Analysis


def reasons(study: Study, metrics: Sequence[str] = ()) -> list[Reason]:
    """Of the metrics named, else of those that the study's objectives and constraints ask for.

    Worked out once for a study: the terminal, the summary and the report tell the same.
    UnknownMetricError where no trial has one that is named.
    """
    chosen = Chosen(study)
    known = chosen.metrics()
    for name in metrics:
        if name not in known:
            raise UnknownMetricError(
                f"no trial of {study.name} has {name!r}; measured: {', '.join(known) or 'nothing'}"
                f"{hint(name, known)}"
            )
    there = _known.setdefault(study, {})
    for name in metrics or _asked(study):
        if name not in there:
            there[name] = _reason(chosen.question(name))
    return [there[name] for name in metrics or _asked(study)]


def _asked(study: Study) -> list[str]:
    asks = (*study.info.objectives, *study.info.constraints)
    return list(dict.fromkeys(metric_name(a["metric"], a["statistic"]) for a in asks))


def _reason(question: Question) -> Reason:
    found = analyse(question.data)
    effects = tuple(_in_units(effect, question) for effect in found.effects)
    return Reason(
        question.metric,
        question.unit,
        question.ratio,
        question.ruled_out,
        replace(found, effects=effects),
    )


def _in_units(effect: Effect, question: Question) -> Effect:
    """Logarithms as ratios; of shares of data's rows, as wide as so many rows must make it."""
    if effect.change is None or effect.low is None or effect.high is None:
        return effect
    low, change, high = effect.low, effect.change, effect.high
    if question.ratio:
        low, change, high = (math.exp(min(x, 500.0)) for x in (low, change, high))
    elif question.unit == "fraction" and question.samples > 1:
        # A score that differs by so much differs on that share of the rows at the least.
        size = min(abs(change), 1.0)
        least = 1.959964 * math.sqrt(size * (1.0 - size) / question.samples)
        low, high = min(low, change - least), max(high, change + least)
    return replace(effect, low=low, change=change, high=high)


def is_clear(effect: Effect, *, ratio: bool) -> bool:
    """Whether an effect's interval leaves out that there is none."""
    same = 1.0 if ratio else 0.0
    return (
        effect.low is not None
        and effect.high is not None
        and not (effect.low <= same <= effect.high)
    )


def why_json(found: Sequence[Reason]) -> dict[str, Any]:
    """`importance` and `effects` by metric, as JSON data; a note where there are no numbers."""
    importance, effects = {}, {}
    for reason in found:
        analysis = reason.analysis
        importance[reason.metric] = {
            "trials": analysis.trials,
            "note": analysis.note,
            "decisions": {i.decision: _share_json(i) for i in analysis.importances}
            | {name: _share_json(Importance(name, 0.0, 0.0, 0.0, "cannot change it"))
               for name in reason.ruled_out},
            "unexplained": None if analysis.rest is None else _share_json(analysis.rest),
        }  # fmt: skip
        effects[reason.metric] = {
            "unit": reason.unit,
            "kind": "ratio" if reason.ratio else "difference",
            "choices": [asdict(effect) for effect in analysis.effects],
        }
    return {"importance": importance, "effects": effects}


def _share_json(importance: Importance) -> dict[str, Any]:
    return {k: v for k, v in asdict(importance).items() if k != "decision"}


def short_lines(study: Study) -> list[str]:
    """For each metric asked for the choices that matter most, a line each; empty: none is clear."""
    lines = [f"  {line}" for line in clearest_lines(reasons(study))]
    if not lines:
        return []
    return [f"What mattered (more: tune why {study.name})", *lines]


def clearest_lines(found: Sequence[Reason]) -> list[str]:
    """`accuracy: lora.r 16 -> 4  -3.1 points (-5.0 to -1.2)`: what matters most and is clear."""
    names = names_of(found)
    return [f"{r.metric}: {text}" for r in found for text in _clearest(r, names)]


def _clearest(reason: Reason, names: Mapping[str, str]) -> list[str]:
    """The largest clear effect of each of the most important decisions."""
    shares = {i.decision: i.share or 0.0 for i in reason.analysis.importances}
    best: dict[str, Effect] = {}
    for effect in reason.analysis.effects:
        if is_clear(effect, ratio=reason.ratio):
            known = best.get(effect.decision)
            if known is None or _size(effect, reason) > _size(known, reason):
                best[effect.decision] = effect
    ranked = sorted(best.values(), key=lambda e: -shares[e.decision])
    return [f"{step_text(e, names)}  {_change(e, reason)}" for e in ranked[:_SHORT]]


def _size(effect: Effect, reason: Reason) -> float:
    change = effect.change or 0.0
    return abs(math.log(change)) if reason.ratio and change > 0 else abs(change)


def print_why(console: Console, study: Study, found: Sequence[Reason]) -> None:
    """Importance bars and a table of effects for every metric."""
    names = names_of(found)
    for reason in found:
        analysis = reason.analysis
        title = f"{reason.metric}: {plural(analysis.trials, 'different result')}"
        console.print(Text(f"\n{title}", style="bold"))
        if analysis.note is not None:
            console.print(Text(f"  {analysis.note}"))
            continue
        _print_importance(console, reason)
        _print_effects(console, reason, names)
    others = [n for n in Chosen(study).metrics() if n not in {r.metric for r in found}]
    if others:
        _print_wrapped(console, f"\nalso measured (--metric NAME): {', '.join(others)}", "")


def _print_importance(console: Console, reason: Reason) -> None:
    console.print(Text("  share of its variation over the space that a choice explains"))
    ranked = sorted(reason.analysis.importances, key=lambda i: (i.share is None, -(i.share or 0)))
    width = max((len(i.decision) for i in ranked), default=0)
    width = max(width, len("not explained"))
    rest = reason.analysis.rest
    rows = [*ranked, *([] if rest is None else [replace(rest, decision="not explained")])]
    for row in rows:
        line = f"  {row.decision:<{width}}  {_share_text(row)}"
        console.print(Text(line.rstrip()), soft_wrap=True)
    if reason.ruled_out:
        _print_wrapped(console, f"  cannot change it: {', '.join(reason.ruled_out)}", "    ")


def _share_text(importance: Importance) -> str:
    if importance.share is None or importance.low is None or importance.high is None:
        return importance.note or ""
    low, share, high = (round(x * 100) for x in (importance.low, importance.share, importance.high))
    bar = "#" * round(importance.share * _BAR)
    return f"{share:>3} % {f'({low}-{high})':<9} {bar}"


def _print_effects(console: Console, reason: Reason, names: Mapping[str, str]) -> None:
    steps = [step_text(effect, names) for effect in reason.analysis.effects]
    choices = max(map(len, steps), default=0)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("choice", overflow="fold", min_width=min(choices, 34))
    table.add_column("effect (95 % interval)")
    table.add_column("trials", justify="right", no_wrap=True, min_width=6)
    table.add_column("pairs", justify="right", no_wrap=True, min_width=5)
    for step, effect in zip(steps, reason.analysis.effects, strict=True):
        told = effect.note or _change(effect, reason)
        trials = f"{effect.trials[0]}, {effect.trials[1]}"
        table.add_row(Text(step), Text(told), trials, str(effect.pairs or "-"))
    if reason.analysis.effects:
        console.print(table)


def _print_wrapped(console: Console, text: str, indent: str) -> None:
    for line in text.splitlines():
        for row in textwrap.wrap(line, _MOST, subsequent_indent=indent) or [""]:
            console.print(Text(row))


def names_of(found: Sequence[Reason]) -> Mapping[str, str]:
    """Decisions by the names that a person needs to tell them apart."""
    return short_names(_decisions(found))


def _decisions(found: Sequence[Reason]) -> Iterator[str]:
    for reason in found:
        yield from (i.decision for i in reason.analysis.importances)
        yield from reason.ruled_out


def step_text(effect: Effect, names: Mapping[str, str]) -> str:
    """`lora.r 16 -> 4`, `no lora`, `with lora`."""
    if "." not in effect.decision and isinstance(effect.value, bool):
        return f"with {effect.decision}" if effect.value else f"no {effect.decision}"
    values = f"{value_text(effect.reference)} -> {value_text(effect.value)}"
    return f"{names.get(effect.decision, effect.decision)} {values}"


def _change(effect: Effect, reason: Reason) -> str:
    """`+3.1 points (1.2 to 5.0)`, `x1.23 (1.10 to 1.38)`."""
    low, change, high = (x or 0.0 for x in (effect.low, effect.change, effect.high))
    if reason.ratio:
        return f"x{_ratio(change)} ({_ratio(low)} to {_ratio(high)})"
    if reason.unit == "fraction":
        low, change, high = (100 * x for x in (low, change, high))
        shown = [f"{round(x, 1) + 0.0:+.1f}" for x in (change, low, high)]
        return f"{shown[0]} points ({shown[1]} to {shown[2]})"
    text = format_quantity(change, reason.unit)
    sign = "" if change < 0 else "+"
    ends = [format_quantity(x, reason.unit) for x in (low, high)]
    return f"{sign}{text} ({ends[0]} to {ends[1]})"


def _ratio(value: float) -> str:
    if value >= 100 or value < 0.01:
        return f"{value:.2g}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
