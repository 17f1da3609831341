"""What every choice does to every metric that was asked for: importance shares and effects.

Knows nothing of how they are worked out (`tuner.report.why`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuner.report.page.collect_context import Context
from tuner.report.page.document import EffectLine, Figure, ImportanceLine, MetricEffects
from tuner.report.page.figures import equals, figure
from tuner.report.why import Reason, is_clear, names_of, step_text
from tuner.report.words import value_text
from tuner.search.effects import Effect, Importance

_COMPUTED = "tuner.report.why.reasons"


def collect_effects(context: Context, found: Sequence[Reason]) -> tuple[MetricEffects, ...]:
    """Of each metric that `found` explains."""
    names = names_of(found)
    return tuple(_metric(context, reason, names) for reason in found)


def _metric(context: Context, reason: Reason, names: Mapping[str, str]) -> MetricEffects:
    source, analysis = _source(context, reason), reason.analysis
    ranked = sorted(analysis.importances, key=lambda i: (i.share is None, -(i.share or 0.0)))
    return MetricEffects(
        metric=reason.metric,
        unit=reason.unit,
        ratio=reason.ratio,
        results=figure(analysis.trials, "count", source, computed=_COMPUTED),
        note=analysis.note or "",
        importances=tuple(
            ImportanceLine(
                i.decision, names.get(i.decision, i.decision), _share(i, source), i.note or ""
            )
            for i in ranked
        ),
        rest=None if analysis.rest is None else _share(analysis.rest, source),
        effects=tuple(_effect(e, reason, names, source) for e in analysis.effects),
        ruled_out=reason.ruled_out,
    )


def _source(context: Context, reason: Reason) -> str:
    """SQL for what every trial chose, and its number."""
    name = next((a for a in context.asked if a.name == reason.metric), None)
    metric = reason.metric if name is None else name.metric
    statistic = None if name is None else name.statistic
    columns = (
        "p.number, p.name, p.value, m.value, m.low, m.high, m.ratio, m.ratio_low, m.ratio_high"
    )
    return (
        f"SELECT {columns} FROM tuner_params p JOIN tuner_metrics m "
        f"ON m.study = p.study AND m.number = p.number WHERE p.study = {context.sql.study} "
        f"AND {equals('m.metric', metric)} AND {equals('m.statistic', statistic)} "
        "AND m.split = 'dev' AND p.number >= 0 ORDER BY p.number, p.name"
    )


def _share(found: Importance, source: str) -> Figure | None:
    if found.share is None:
        return None
    ends = (found.low, found.high)
    return figure(found.share, "share", source, ends=ends, computed=_COMPUTED)


def _effect(effect: Effect, reason: Reason, names: Mapping[str, str], source: str) -> EffectLine:
    form = "ratio" if reason.ratio else "points" if reason.unit == "fraction" else "change"
    change = None
    if effect.change is not None:
        ends = (effect.low, effect.high)
        unit = "" if reason.ratio else reason.unit
        change = figure(effect.change, form, source, unit=unit, ends=ends, computed=_COMPUTED)
    return EffectLine(
        decision=effect.decision,
        label=step_text(effect, names),
        reference=value_text(effect.reference),
        value=value_text(effect.value),
        change=change,
        clear=is_clear(effect, ratio=reason.ratio),
        trials=effect.trials,
        pairs=effect.pairs,
        note=effect.note or "",
    )
