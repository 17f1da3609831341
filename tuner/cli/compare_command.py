"""`tune compare`: whether two trials of a study really differ, and by how much."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from search_spaces.units import format_quantity
from tuner.execution.making import TrialFailed
from tuner.pipeline.store import Store, default_root
from tuner.report.answer import console
from tuner.report.words import metric_name
from tuner.review.comparing import CannotCompare, Finding, by_measuring, from_study
from tuner.study.api import Study, Trial
from tuner.study.events import BASELINE
from tuner.study.reader import StudyReader


def compare_trials(
    arguments: argparse.Namespace, study: Study, reader: StudyReader, a: Trial, b: Trial
) -> int:
    """Print what the study, or fresh measuring, says of two trials; the exit code."""
    try:
        if arguments.measure is None:
            findings = from_study(study, reader, a, b)
        else:
            root = default_root() if arguments.store is None else Path(arguments.store)
            store = Store(root)
            findings = [by_measuring(study, reader, a, b, arguments.measure, store)]
    except CannotCompare as error:
        print(f"tune compare: {error}", file=sys.stderr)
        return 2
    except TrialFailed as error:
        print(f"tune compare: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        _print(study, a, b, findings)
    return 0


def _print(study: Study, a: Trial, b: Trial, findings: Sequence[Finding]) -> None:
    out = console(sys.stdout)
    names = [_name(trial) for trial in (a, b)]
    out.print(Text(f"{names[0]} beside {names[1]}, of {study.name}"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("", *names, "change", "is that real?"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        values = (format_quantity(v, finding.unit) for v in (finding.a, finding.b))
        label = metric_name(finding.metric, finding.statistic)
        table.add_row(label, *values, change_text(finding), verdict_text(finding))
    out.print(table)
    if not findings:
        out.print("They have no metric in common.")
    for how in dict.fromkeys((f.how, f.confidence) for f in findings):
        metrics = ", ".join(
            metric_name(f.metric, f.statistic) for f in findings if (f.how, f.confidence) == how
        )
        out.print(Text(f"{metrics}: {how[0]}, {how[1]:.0%} confidence"))


def _name(trial: Trial) -> str:
    return "baseline" if trial.number == BASELINE else f"#{trial.number}"


def change_text(finding: Finding) -> str:
    """By how much A differs from B, with the interval: `-7.7 % (-10.2 to -5.1)`."""
    change = finding.change
    ends = (change.value, change.low, change.high)
    if finding.relative:
        value, low, high = (f"{100 * (x - 1):+.1f}" for x in ends)
        return f"{value} % ({low} to {high})"
    if finding.unit == "fraction":
        value, low, high = (f"{100 * x:+.1f}" for x in ends)
        text = f"{value} points"
    else:
        value, low, high = (_signed(x, finding.unit) for x in ends)
        text = value
    return text if change.low == change.high else f"{text} ({low} to {high})"


def _signed(value: float, unit: str) -> str:
    return ("+" if value > 0 else "") + format_quantity(value, unit)


def verdict_text(finding: Finding) -> str:
    """`yes`, `no`, or `cannot be told`."""
    if finding.differ:
        return "yes"
    return "no" if finding.change.low == finding.change.high else "cannot be told"
