"""The head of a report: which study it is, how it stands, and what it has cost."""

from __future__ import annotations

import time
from collections import Counter

from tuner.pipeline.store_owner import is_alive
from tuner.report.page.collect_context import Context
from tuner.report.page.document import Count, Head
from tuner.report.page.figures import figure
from tuner.study.rows import RunRow
from tuner.study.schema import SCHEMA_VERSION

_FRESH = 900.0  # seconds: a command of another machine that said something since may still work

_ENDINGS = {
    "trials": "It has tried as many candidates as it was asked to.",
    "max_time": "It has worked as long as it was asked to.",
    "exhausted": "It has tried every candidate of its space.",
    "interrupted": "It was interrupted; the same command goes on.",
    "error": "It ended in an error; the same command goes on.",
    "killed": "It was killed; the same command goes on.",
}
_STATES = {"interrupted": "interrupted", "error": "failed", "killed": "killed"}
_LABELS = {
    "built": "built, not run",
    "failed": "failed, may succeed again",
    "infeasible": "failed, would fail again",
    "screened": "given up before training",
    "stopped": "given up during training",
}


def collect_head(context: Context) -> Head:
    """The head of the study's report."""
    info, sql = context.study.info, context.sql
    state, text = state_of(context)
    sweep, night, entry = sweep_of(context.study.name)
    [(created, last, seconds)] = context.reader.rows(
        sql.select("created_at, last_event_at, seconds", "tuner_studies")
    )
    [(newest,)] = context.reader.rows(sql.select("MAX(id)", "tuner_events"))
    program = info.environment.get("tuner")
    return Head(
        study=context.study.name,
        space=str(info.space.get("name") or ""),
        model=str(info.space.get("model") or ""),
        sweep=sweep,
        night=night,
        entry=entry,
        state=state,
        state_text=text,
        created=figure(created, "moment", sql.select("created_at", "tuner_studies"), unit="s"),
        last_event_at=figure(
            last, "moment", sql.select("last_event_at", "tuner_studies"), unit="s"
        ),
        seconds=figure(seconds, "duration", sql.select("seconds", "tuner_studies"), unit="s"),
        trials=figure(len(context.trials), "count", sql.select("trials", "tuner_studies")),
        states=_states(context),
        objectives=tuple(str(o["text"]) for o in info.objectives),
        constraints=tuple(str(c["text"]) for c in info.constraints),
        program=None if program is None else str(program),
        schema_version=SCHEMA_VERSION,
        last_event=None
        if newest is None
        else figure(newest, "count", sql.select("MAX(id)", "tuner_events")),
    )


def sweep_of(study: str) -> tuple[str | None, str | None, str | None]:
    """Sweep, night and entry of a study that a sweep made: it is named SWEEP/NIGHT/ENTRY."""
    sweep, _, rest = study.partition("/")
    night, _, entry = rest.partition("/")
    return (sweep, night, entry) if sweep and night and entry else (None, None, None)


def is_running(context: Context) -> bool:
    """Whether a command works on the study now, as far as can be told."""
    return any(_lives(run) for run in context.study.info.runs)


def _lives(run: RunRow) -> bool:
    if run.stopped_at is not None or run.reason is not None or run.owner is None:
        return False
    alive = is_alive(run.owner)
    return time.time() - run.last_event_at < _FRESH if alive is None else alive


def state_of(context: Context) -> tuple[str, str]:
    """How the study stands, in a word of `Head.state` and in a sentence."""
    if is_running(context):
        return "running", "A command works on it now."
    last = context.study.info.runs[-1]
    if not context.trials:
        return "empty", "No trial has begun yet."
    reason = "killed" if last.reason is None else last.reason
    sentence = _ENDINGS.get(reason, f"It has ended: {reason}.")
    return _STATES.get(reason, "finished"), sentence


def _states(context: Context) -> tuple[Count, ...]:
    counts = Counter(t.row.state for t in context.trials)
    found = []
    for state, count in counts.most_common():
        source = context.sql.select("COUNT(*)", "tuner_trials", role="trial", state=state)
        label = _LABELS.get(state, state)
        found.append(Count(state, label, figure(count, "count", source)))
    return tuple(found)
