"""What failed in a study, by reason and place, and what the search learned from it."""

from __future__ import annotations

from tuner.report.page.collect_context import Context
from tuner.report.page.document import FailureGroup, Failures
from tuner.report.page.figures import equals, figure
from tuner.report.words import plural
from tuner.study.api import Trial

_NUMBERS = 20  # of a group's trials that are named

_Kind = tuple[str, str | None, bool | None]


def collect_failures(context: Context) -> Failures:
    """Groups of failures, the largest first."""
    groups: dict[_Kind, list[Trial]] = {}
    for trial in context.trials:
        row = trial.row
        if row.reason is not None:
            groups.setdefault((row.reason, row.where, row.deterministic), []).append(trial)
    ranked = sorted(groups.items(), key=lambda item: -len(item[1]))
    failed = sum(map(len, groups.values()))
    total = context.count("tuner_trials", "role = 'trial'", "reason IS NOT NULL", value=failed)
    events = context.reader.events_of_kind(context.study.name, "lesson_learned")
    lessons = tuple(dict.fromkeys(str(event.body["text"]) for event in events))
    found = tuple(_group(context, kind, trials) for kind, trials in ranked)
    return Failures(total, found, lessons, _sentence(failed, len(context.trials)))


def _sentence(failed: int, trials: int) -> str:
    if not failed:
        return "No trial failed." if trials else "No trial has ended yet."
    return f"{failed:,} of {plural(trials, 'trial')} failed ({failed / trials:.0%})."


def _group(context: Context, kind: _Kind, trials: list[Trial]) -> FailureGroup:
    reason, where, deterministic = kind
    conditions = (
        "role = 'trial'",
        equals("reason", reason),
        equals("failed_where", where),
        equals("deterministic", deterministic),
    )
    first = trials[0].row
    messages = len({t.row.message for t in trials} - {None})
    source = context.sql.select("COUNT(DISTINCT message)", "tuner_trials", *conditions)
    return FailureGroup(
        reason=reason,
        where=where or "",
        message=first.message or "",
        messages=figure(messages, "count", source),
        count=context.count("tuner_trials", *conditions, value=len(trials)),
        numbers=tuple(t.number for t in trials[:_NUMBERS]),
        deterministic=deterministic,
        log=next((t.row.log for t in trials if t.row.log), None),
    )
