"""On what a study was run and how, and what the last command found in the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evaluators.floors import Floors
from search_spaces.data_report import DataReport
from tuner.report.page.collect_context import Context
from tuner.report.page.document import (
    Command,
    DataCheck,
    Difference,
    Environment,
    Fact,
    Finding,
    Split,
)
from tuner.report.page.figures import figure, literal
from tuner.report.words import duration, value_text
from tuner.study.rows import EventRow, RunRow

Json = Mapping[str, Any]

_MACHINE = frozenset({"cpu", "cores", "system", "machine", "memory", "gpu", "device", "driver"})
_DURATIONS = frozenset({"max_time"})


def collect_environment(context: Context) -> Environment:
    """The machine, the versions and the settings of the last command, and how commands differed."""
    info = context.study.info
    machine = {k: v for k, v in info.environment.items() if k in _MACHINE}
    versions = {k: v for k, v in info.environment.items() if k not in _MACHINE}
    commands = tuple(_command(context, run) for run in info.runs)
    started = context.reader.events_of_kind(context.study.name, "study_started")
    return Environment(
        machine=_facts(machine),
        versions=_facts(versions),
        settings=_facts(info.settings),
        commands=commands,
        differences=_differences(started),
        source=context.sql.select("environment, settings", "tuner_studies"),
    )


def _facts(found: Json) -> tuple[Fact, ...]:
    return tuple(Fact(str(name), _text(str(name), value)) for name, value in found.items())


def _text(name: str, value: Any) -> str:
    if name in _DURATIONS and isinstance(value, (int, float)):
        return duration(float(value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return value_text(value)


def _command(context: Context, run: RunRow) -> Command:
    this = f"started_at = {literal(run.started_at)}"
    started = context.sql.select("started_at", "tuner_runs", this)
    seconds = context.sql.select("seconds", "tuner_runs", this)
    return Command(
        started=figure(run.started_at, "moment", started, unit="s"),
        seconds=figure(run.last_event_at - run.started_at, "duration", seconds, unit="s"),
        reason=run.reason or "",
        owner=run.owner or "",
    )


def _differences(started: list[EventRow]) -> tuple[Difference, ...]:
    """Whatever was not the same in every command: of environment, settings and question."""
    declared = [_declared(event.body) for event in started]
    names = dict.fromkeys(name for one in declared for name in one)
    found = []
    for name in names:
        texts = tuple(one.get(name, "") for one in declared)
        if len(set(texts)) > 1:
            found.append(Difference(name, texts))
    return tuple(found)


def _declared(body: Json) -> dict[str, str]:
    facts = {**body.get("environment", {}), **body.get("settings", {})}
    asked = {
        name: ", ".join(str(o["text"]) for o in body.get(name, ()))
        for name in ("objectives", "constraints")
    }
    text = {"space": str(body.get("space", {}).get("fingerprint") or "")}
    return {name: _text(name, value) for name, value in {**facts, **asked, **text}.items()}


def collect_data(context: Context) -> DataCheck | None:
    """What was found in the data; None where the study has none, or no command has looked."""
    check = context.study.data_check
    if check is None:
        return None
    report = DataReport.from_json(check["report"])
    floors = {split: str(Floors.from_json(data)) for split, data in check["floors"].items()}
    splits = tuple(
        Split(name, rows, tuple(report.labels.get(name, {}).items()), floors.get(name, ""))
        for name, rows in report.splits.items()
    )
    findings = tuple(Finding(f.kind, f.message, f.warning) for f in report.findings)
    newest = context.sql.select("MAX(id)", "tuner_events", kind="data_checked")
    source = context.sql.select("body", "tuner_events", f"id = ({newest})")
    return DataCheck(splits, findings, source)
