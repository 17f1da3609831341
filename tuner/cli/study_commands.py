"""The commands that read a study's database and print: `tune list`, `show`, `best`, `why` ..."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from search_spaces.units import format_quantity
from tuner.report.answer import WIDTH, console, print_answer, trials_table
from tuner.report.output import summary, trial_json
from tuner.report.sessions import measurement_lines
from tuner.report.why import UnknownMetricError, print_why, reasons, why_json
from tuner.report.words import duration, ending, interval_text, metric_name, plural, value_text
from tuner.study.api import Study, Trial
from tuner.study.database import DatabaseError, DatabaseUnavailable, open_engine
from tuner.study.database_errors import blaming_damage
from tuner.study.events import BASELINE
from tuner.study.reader import StudyNotFoundError, StudyReader


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code."""
    try:
        engine = open_engine(arguments.db, read_only=True)
        with blaming_damage(engine):
            return _COMMANDS[arguments.command](arguments, StudyReader(engine))
    except (DatabaseError, StudyNotFoundError) as error:
        print(f"tune {arguments.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, DatabaseUnavailable) else 2


def _list(arguments: argparse.Namespace, reader: StudyReader) -> int:
    studies = reader.studies()
    if arguments.json:
        _print_json([asdict(s) for s in studies])
        return 0
    for study in studies:
        when = datetime.fromtimestamp(study.last_event_at).strftime("%Y-%m-%d %H:%M")
        counts = f"{plural(study.trials, 'trial')}, {study.feasible} feasible"
        chosen = "no answer" if study.chosen is None else f"chosen #{study.chosen}"
        print(f"{study.name}\n  {when}  {counts}, {chosen}, {duration(study.seconds)}")
    if not studies:
        print(f"no studies in {arguments.db} yet")
    return 0


def _best(arguments: argparse.Namespace, reader: StudyReader) -> int:
    study = Study(reader, arguments.study)
    _ = study.info
    if arguments.json:
        _print_json(summary(study))
    else:
        print_answer(console(sys.stdout), study)
    return 0 if study.best is not None else 3 if study.nearest else 1


def _why(arguments: argparse.Namespace, reader: StudyReader) -> int:
    study = Study(reader, arguments.study)
    _ = study.info
    try:
        found = reasons(study, arguments.metric)
    except UnknownMetricError as error:
        print(f"tune why: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        _print_json({"study": study.name} | why_json(found))
    else:
        print_why(console(sys.stdout), study, found)
    return 0


def _show(arguments: argparse.Namespace, reader: StudyReader) -> int:
    study = Study(reader, arguments.study)
    _ = study.info
    if arguments.trial is None:
        return _show_study(arguments, study)
    trial = _find_trial(study, arguments.trial)
    if trial is None:
        return _no_trial("show", study, arguments.trial)
    if arguments.json:
        stages = [asdict(s) for s in study.stages(trial.number)]
        measured = [asdict(m) for m in reader.measurements(study.name, trial.number)]
        found = {"stages": stages, "failure": trial.row.message, "measurements": measured}
        _print_json(trial_json(trial) | found)
    else:
        _show_trial(console(sys.stdout), study, trial, reader)
    return 0


def _compare(arguments: argparse.Namespace, reader: StudyReader) -> int:
    from tuner.cli.compare_command import compare_trials

    study = Study(reader, arguments.study)
    _ = study.info
    found = [_find_trial(study, name) for name in (arguments.a, arguments.b)]
    for name, trial in zip((arguments.a, arguments.b), found, strict=True):
        if trial is None:
            return _no_trial("compare", study, name)
    a, b = (trial for trial in found if trial is not None)
    return compare_trials(arguments, study, reader, a, b)


def _rerank(arguments: argparse.Namespace, reader: StudyReader) -> int:
    from tuner.cli.rerank_command import rerank_study

    study = Study(reader, arguments.study)
    _ = study.info
    return rerank_study(arguments, study, reader)


def _export(arguments: argparse.Namespace, reader: StudyReader) -> int:
    from tuner.cli.export_command import export_study

    return export_study(arguments, reader)


def _report(arguments: argparse.Namespace, reader: StudyReader) -> int:
    from tuner.cli.report_command import report_study

    return report_study(arguments, reader)


def _card(arguments: argparse.Namespace, reader: StudyReader) -> int:
    from tuner.cli.card_command import write_card

    study = Study(reader, arguments.study)
    _ = study.info
    trial = study.best if arguments.trial is None else _find_trial(study, arguments.trial)
    if trial is None and arguments.trial is not None:
        return _no_trial("card", study, arguments.trial)
    return write_card(arguments, study, trial)


def _dashboard(arguments: argparse.Namespace, reader: StudyReader) -> int:
    from tuner.cli.dashboard_command import show_dashboard

    return show_dashboard(arguments, reader)


def _no_trial(command: str, study: Study, name: str) -> int:
    numbers = f"0 to {len(study.trials) - 1}, or baseline" if study.trials else "none yet"
    print(f"tune {command}: no trial {name!r}; trials: {numbers}", file=sys.stderr)
    return 2


def _show_study(arguments: argparse.Namespace, study: Study) -> int:
    if arguments.json:
        _print_json([trial_json(t) for t in study.trials])
        return 0
    out = console(sys.stdout)
    for key in ("model", "path"):
        out.print(Text(f"{key:<13}{study.info.space.get(key)}"), soft_wrap=True)
    out.print(f"objectives   {', '.join(o['text'] for o in study.info.objectives)}")
    out.print(Text(f"constraints  {', '.join(c['text'] for c in study.info.constraints)}"))
    trials, best = study.trials, study.best  # asked for once: there may be many thousands
    for start in range(0, len(trials), 10):
        out.print(trials_table(study, trials[start : start + 10], best))
    return 0


def _find_trial(study: Study, name: str) -> Trial | None:
    if name == "baseline":
        baseline = study.trial(BASELINE)
        return baseline if baseline is not None and baseline.metrics else None
    number = name.lstrip("#")
    return study.trial(int(number)) if number.isascii() and number.isdigit() else None


def _show_trial(out: Console, study: Study, trial: Trial, reader: StudyReader) -> None:
    name = "baseline" if trial.number == BASELINE else f"trial {trial.number}"
    out.print(Text(f"{name} of {study.name}: {ending(trial.row.state, trial.row.verdict)}"))
    for step in trial.row.steps:
        values = " ".join(f"{k}={value_text(v)}" for k, v in step["parameters"].items())
        out.print(Text(f"  {step['id']}  {values}"))
    for metric in dict.fromkeys(trial.metrics.values()):
        data = {k: getattr(metric, k) for k in ("value", "low", "high", "unit")}
        label = metric_name(metric.metric, metric.statistic)
        out.print(f"  {label:<12} {interval_text(data)}, {plural(metric.samples, 'sample')}")
    for c in trial.constraints:
        out.print(Text(f"  {c.text}: {c.verdict}, scaled violation {c.violation:.3g}"))
    if trial.row.message:
        what = "no" if trial.row.state == "built" else "failed in"
        out.print(Text(f"  {what} {trial.row.where} ({trial.row.reason}): {trial.row.message}"))
        if trial.row.log:
            out.print(Text(f"  log: {trial.row.log}"), soft_wrap=True)
    _show_stages(out, study, trial)
    _show_conditions(out, study, trial, reader)


def _show_stages(out: Console, study: Study, trial: Trial) -> None:
    for stage in study.stages(trial.number):
        took = "reused" if stage.cached else duration(stage.seconds or 0.0)
        size = "" if stage.bytes is None else f", {format_quantity(stage.bytes, 'B')}"
        out.print(Text(f"  stage {stage.step} {stage.key[:12]}: {stage.outcome}, {took}{size}"))
        if stage.log:
            out.print(Text(f"    log: {stage.log}"), soft_wrap=True)


def _show_conditions(out: Console, study: Study, trial: Trial, reader: StudyReader) -> None:
    units = {m.metric: m.unit for m in trial.metrics.values()}
    for measured in reader.measurements(study.name, trial.number):
        for line in measurement_lines(measured, units, WIDTH - 2):
            out.print(Text(f"  {line}"))


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))


_COMMANDS = {
    "list": _list,
    "show": _show,
    "compare": _compare,
    "best": _best,
    "why": _why,
    "export": _export,
    "report": _report,
    "card": _card,
    "dashboard": _dashboard,
    "rerank": _rerank,
}
