"""How well a study's times were measured: blocks of the trials that matter, and the A/A check.

Reads the raw detail of few trials. Knows nothing of how blocks are drawn.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evaluators.statistics import wilson
from tuner.report.page.collect_context import Asked, Context
from tuner.report.page.document import (
    Block,
    Comparison,
    Figure,
    Measured,
    Quality,
    SelfCheck,
    Session,
    Value,
)
from tuner.report.page.figures import figure
from tuner.report.page.self_check import (
    Halves,
    halves,
    holds_one,
    known_blocks,
    pooled_ratio,
    self_ratios,
)
from tuner.report.words import plural
from tuner.study.events import BASELINE
from tuner.study.rows import MeasurementRow

Json = Mapping[str, Any]

_FRONT = 6  # trials of the front whose blocks are shown
_VALUES = 40  # of a block that are shown
_CHECKED = 400  # trials whose sessions are checked
_SHOWN = 200  # comparisons that are shown
_EXPECTED = 0.95
_TIMED = frozenset({"s", "J", "tokens/s", "items/s"})


def collect_quality(context: Context) -> Quality:
    """The blocks of the chosen trial, the baseline and the front, and the A/A check."""
    measured = [
        found
        for number, role in _subjects(context).items()
        for row in context.reader.measurements(context.study.name, number)
        for found in _measured(context, row, role)
    ]
    measured.sort(key=lambda m: (("chosen", "baseline", "front").index(m.role), m.split))
    check = _self_check(context)
    return Quality(tuple(measured), check, _sentence(measured))


def _subjects(context: Context) -> dict[int, str]:
    """Whose blocks are shown: trial -> its role."""
    found = {} if context.best is None else {context.best.number: "chosen"}
    found[BASELINE] = "baseline"
    for trial in context.front[:_FRONT]:
        found.setdefault(trial.number, "front")
    return found


def _sentence(measured: Sequence[Measured]) -> str:
    sessions = [session for m in measured for session in m.sessions]
    if not sessions:
        return "No times were measured of the trials that matter."
    blocks = sum(len(s.blocks) for s in sessions)
    repeated = sum(s.repeated for s in sessions)
    disturbed = sum(s.disturbed for s in sessions)
    return (
        f"{plural(blocks, 'block')} of requests in {plural(len(sessions), 'session')}; "
        f"{plural(repeated, 'pair')} of blocks measured again because something disturbed them, "
        f"{disturbed:,} kept though disturbed."
    )


def _timed_metrics(context: Context) -> list[Asked]:
    """The metrics asked for that come out of timed blocks; where there is none, a latency."""
    found = {a.metric: a for a in context.asked if a.unit in _TIMED}
    return list(found.values()) or [Asked("latency", "latency", "p50", "s", "")]


def _measured(context: Context, row: MeasurementRow, role: str) -> Iterator[Measured]:
    for asked in _timed_metrics(context):
        sessions = tuple(s for data in row.detail if (s := _session(data, asked.metric)).blocks)
        if sessions:
            yield _one(context, row, role, asked, sessions)


def _one(
    context: Context, row: MeasurementRow, role: str, asked: Asked, sessions: tuple[Session, ...]
) -> Measured:
    where: dict[str, Value] = {
        "number": row.number,
        "evaluator": row.evaluator,
        "split": row.split,
        "key": row.key,
    }
    seconds = context.sql.select("seconds", "tuner_measurements", **where)
    estimate, samples = _estimate(context, row, asked)
    return Measured(
        number=row.number,
        role=role,
        evaluator=row.evaluator,
        metric=asked.name,
        unit=asked.unit,
        split=row.split,
        sessions=sessions,
        estimate=estimate,
        samples=samples,
        took=figure(row.seconds, "duration", seconds, unit="s"),
        reused=row.cached,
        source=context.sql.select("detail", "tuner_measurements", **where),
    )


def _estimate(
    context: Context, row: MeasurementRow, asked: Asked
) -> tuple[Figure | None, Figure | None]:
    """What came of a measurement, and how many samples are behind it."""
    name = asked.metric, asked.statistic
    rows = context.metrics(row.number)
    found = next(
        (m for m in rows if m.split == row.split and (m.metric, m.statistic) == name), None
    )
    if found is None:
        return None, None
    where: dict[str, Value] = {
        "number": row.number,
        "split": row.split,
        "metric": asked.metric,
        "statistic": asked.statistic,
    }
    source = context.sql.select("samples", "tuner_metrics", **where)
    return context.metric_figure(asked, found), figure(found.samples, "count", source)


def _session(data: Json, metric: str) -> Session:
    conditions = data.get("conditions") or {}
    pairs = conditions.get("blocks") or []
    kept = [pair for pair in pairs if pair.get("kept")]
    ours = known_blocks((data.get("samples") or {}).get(metric, ()))
    theirs = known_blocks((data.get("anchor") or {}).get(metric, ()))
    blocks = tuple(
        _block(block, theirs[i] if i < len(theirs) else [], kept[i] if i < len(kept) else {})
        for i, block in enumerate(ours)
    )
    return Session(
        blocks=blocks,
        repeated=len(pairs) - len(kept),
        disturbed=int(conditions.get("disturbed") or 0),
        load_before=conditions.get("load_before"),
        load_after=conditions.get("load_after"),
        stolen=conditions.get("stolen"),
        measured_at=conditions.get("measured_at"),
    )


def _block(values: list[float], baseline: list[float], pair: Json) -> Block:
    ours, theirs = _some(values), _some(baseline)
    return Block(
        values=ours,
        baseline=theirs,
        median=statistics.median(values),
        baseline_median=statistics.median(baseline) if baseline else None,
        first=str(pair.get("first", "model")),
        disturbance=pair.get("disturbance"),
        left_out=len(values) + len(baseline) - len(ours) - len(theirs),
    )


def _some(values: Sequence[float]) -> tuple[float, ...]:
    """Up to `_VALUES` of them, evenly taken, the smallest and the largest among them."""
    if len(values) <= _VALUES:
        return tuple(values)
    ordered = sorted(values)
    return tuple(ordered[round(i * (len(ordered) - 1) / (_VALUES - 1))] for i in range(_VALUES))


def _self_check(context: Context) -> SelfCheck:
    asked = next((a for a in _timed_metrics(context) if a.unit == "s"), None)
    if asked is None:
        return _no_check("", "No times were asked for.")
    source = _raw_source(context, asked)
    rows = [] if source is None else read_detail(context.reader.rows(source))
    sessions = halves(rows, asked.metric)
    if source is None or not sessions:
        return _no_check(asked.metric, "No session has blocks of the baseline to compare.")
    return _checked(asked.metric, sessions, source)


def _no_check(metric: str, note: str) -> SelfCheck:
    return SelfCheck(metric, (), 0, None, _EXPECTED, None, "", note)


def _raw_source(context: Context, asked: Asked) -> str | None:
    """SQL for the raw detail of a metric; of every n-th trial where there are many."""
    found = context.sql.select(
        "evaluator, MAX(number)", "tuner_metrics", metric=asked.metric, statistic=asked.statistic
    )
    evaluators = context.reader.rows(f"{found} AND evaluator IS NOT NULL GROUP BY evaluator")
    if not evaluators:
        return None
    evaluator, last = evaluators[0]
    step = 1 + max(0, last) // _CHECKED
    conditions = [] if step == 1 else [f"(number < 0 OR number % {step} = 0)"]
    where: dict[str, Value] = {"evaluator": evaluator}
    columns = "number, split, key, detail"
    source = context.sql.select(columns, "tuner_measurements", *conditions, **where)
    return f"{source} ORDER BY number, split, key"


def read_detail(rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, str, str, Sequence[Json]]]:
    """Rows of number, split, key and detail, the detail read; of equal keys the first alone."""
    seen: set[str] = set()
    found = []
    for number, split, key, detail in rows:
        if key not in seen:
            seen.add(key)
            found.append((int(number), str(split), str(key), json.loads(detail)))
    return found


def _checked(metric: str, sessions: Sequence[Halves], source: str) -> SelfCheck:
    computed = f"{self_ratios.__module__}.{self_ratios.__name__}"
    ratios = self_ratios(sessions)
    held = sum(map(holds_one, ratios))
    share = wilson(held, len(ratios))
    width = statistics.median((r.high - r.low) / (2 * r.value) for r in ratios)
    comparisons = tuple(
        Comparison(
            session.number,
            session.session,
            session.split,
            figure(ratio.value, "ratio", source, ends=(ratio.low, ratio.high), computed=computed),
            holds_one(ratio),
        )
        for session, ratio in list(zip(sessions, ratios, strict=True))[:_SHOWN]
    )
    together = pooled_ratio(sessions)
    pooled = figure(
        together.value,
        "ratio",
        source,
        ends=(together.low, together.high),
        computed=f"{pooled_ratio.__module__}.{pooled_ratio.__name__}",
    )
    sentence = (
        f"The baseline compared with itself, half of a session's blocks with the other half: in "
        f"{held:,} of {plural(len(ratios), 'session')} the 95 % interval of the ratio holds 1. "
        f"Over all sessions the ratio is {pooled.text}."
    )
    shown = figure(share.value, "share", source, ends=(share.low, share.high), computed=computed)
    half = figure(width, "share", source, computed=computed)
    return SelfCheck(metric, comparisons, len(ratios), shown, _EXPECTED, half, sentence, "", pooled)
