"""The evaluators of an Olive config: metrics with their sub-types, priorities and goals.

Knows nothing of what measures them here.
"""

from __future__ import annotations

from collections.abc import Iterator

from tuner.olive import reading_words as words
from tuner.olive.config import OliveMetric, Setting
from tuner.olive.reading_tables import Table

LM_EVALUATOR = "LMEvaluator"


def read_evaluators(table: Table) -> dict[str, tuple[OliveMetric, ...]]:
    """The entries of `evaluators`, by name."""
    return {name: read_evaluator(found, name) for name, found in table.tables("evaluators")}


def read_evaluator(table: Table, name: str) -> tuple[OliveMetric, ...]:
    """The metrics of an evaluator, one for each sub-type.

    One with a `type`, such as LMEvaluator, gives one metric of that type for what it is told
    (`settings`: tasks, limit ...), beside its list of metrics where it has one.
    """
    table.dissolve("type_args")
    kind = table.text("type", f"the type of an evaluator, such as {LM_EVALUATOR}")
    table.text("name")
    table.known(words.EVALUATOR | (words.TYPED_EVALUATOR if kind else set()), "an evaluator")
    metrics: list[OliveMetric] = []
    for item in table.items("metrics", "metrics") or ():
        metrics += _metric(item, name)
    if kind is not None:
        if kind.value.casefold() == LM_EVALUATOR.casefold() and "tasks" not in table:
            table.missing("tasks", "expected a list of tasks of lm-evaluation-harness")
        settings = table.rest()
        metrics.append(
            OliveMetric(
                evaluator=name,
                name=kind.value,
                type=kind.value,
                sub_type="",
                where=table.where,
                line=table.line,
                priority=None,
                higher_is_better=None,
                goal=None,
                data=None,
                settings=settings,
            )
        )
    return tuple(metrics)


def _metric(table: Table, evaluator: str) -> Iterator[OliveMetric]:
    name = table.text("name", required=True)
    kind = table.choice("type", words.METRIC_TYPES, required=True)
    data = table.text("data_config", "the name of a data config")
    user = table.table("user_config")
    table.known(words.METRIC, "a metric")
    shared = {} if user is None else _user_settings(user)
    subs = _sub_types(table)
    shared = table.rest() | shared
    if name is None or kind is None:
        return
    for sub in subs:
        found = _sub_metric(sub, kind.value)
        if found is None:
            continue
        sub_type, priority, higher, goal, settings = found
        yield OliveMetric(
            evaluator=evaluator,
            name=name.value,
            type=kind.value,
            sub_type=sub_type,
            where=sub.where,
            line=sub.line,
            priority=priority,
            higher_is_better=higher,
            goal=goal,
            data=None if data is None else data.value,
            settings=shared | settings,
        )


def _user_settings(user: Table) -> dict[str, Setting]:
    user.known(words.USER_CONFIG, "a metric's user_config")
    return user.rest()


def _sub_types(table: Table) -> list[Table]:
    """The sub-types of a metric; the metric itself where it has one by the name `sub_type`."""
    if "sub_types" in table or "sub_type" not in table:
        items = table.items("sub_types", "sub-types")
        if not items and items is not None:
            table.missing("sub_types", "expected a list of sub-types that is not empty")
        elif items is None:
            table.missing("sub_types", "expected a list of sub-types, such as [{name: avg}]")
        return items or []
    return [table]


def _sub_metric(
    table: Table, metric: str
) -> tuple[str, int | None, bool | None, tuple[str, float] | None, dict[str, Setting]] | None:
    old = "sub_type" in table
    key = "sub_type" if old else "name"
    if metric in ("latency", "throughput"):
        name = table.choice(key, words.LATENCY_SUB_TYPES, required=True)
    else:
        name = table.text(key, "a sub-type's name", required=True)
    priority = _priority(table)
    higher = table.checked("higher_is_better", (bool,), "true or false")
    goal = _goal(table)
    if not old:
        table.known(words.SUB_TYPE, "a sub-type of a metric")
    settings = table.rest()
    if name is None:
        return None
    return name.value, priority, None if higher is None else higher.value, goal, settings


def _priority(table: Table) -> int | None:
    """The rank; none where it is only reported (-1, and 0 in nobody's documentation)."""
    key = "priority_rank" if "priority_rank" in table else "priority"
    found = table.checked(key, (int,), "a whole number")
    return None if found is None or found.value < 1 else found.value


def _goal(table: Table) -> tuple[str, float] | None:
    inner = table.table("goal")
    if inner is None:
        return None
    kind = inner.choice("type", words.GOAL_TYPES, required=True)
    value = inner.checked("value", (int, float), "a number", required=True)
    inner.known({"type", "value"}, "a goal")
    if kind is None or value is None:
        return None
    if value.value < 0 and kind.value != "threshold":
        inner.bad(value, f"found {value.value}, expected a number that is not negative")
    return kind.value, float(value.value)
