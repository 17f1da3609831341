"""Objectives, constraints and quantities as regular expressions, for the schema of a space.

They say the same as `expressions` and `units`, as far as a pattern can, in the syntax that
JavaScript and Python have in common.
"""

from __future__ import annotations

from collections.abc import Iterable

from search_spaces.units import NUMBER, duration_units, needs_unit, unit_names
from search_spaces.vocabulary import MetricSpec, Vocabulary

_SIGN = r"\s*(<=|>=|<|>)\s*"
_FACTOR = rf"{NUMBER}\s*%?"
_ANY_METRIC = r"[A-Za-z_]\w*(\s*\.\s*\w+)?"

ANY_OBJECTIVE = rf"^\s*(minimize|maximize)\s+{_ANY_METRIC}\s*$"
"""An objective on a metric of whatever name."""

ANY_CONSTRAINT = rf"^\s*{_ANY_METRIC}{_SIGN}\S.*$"
"""A constraint on a metric of whatever name."""


def objective_pattern(vocabulary: Vocabulary) -> str:
    """`minimize METRIC[.STATISTIC]` or `maximize ...`, each metric in its better direction."""
    metrics = list(_metrics(vocabulary))
    better = (
        rf"{verb}\s+({'|'.join(_named(m, '') for m in metrics if m.lower_is_better is lower)})"
        for verb, lower in (("minimize", True), ("maximize", False))
        if any(m.lower_is_better is lower for m in metrics)
    )
    return rf"^\s*({'|'.join(better)})\s*$"


def constraint_pattern(vocabulary: Vocabulary) -> str:
    """`METRIC[.STATISTIC] OP LIMIT`, with the units that the metric can have."""
    by_unit: dict[str, list[str]] = {}
    for metric in _metrics(vocabulary):
        by_unit.setdefault(metric.unit, []).append(_named(metric, r"\s*"))
    kinds = (
        rf"({'|'.join(names)}){_SIGN}({_absolute(unit)}|{_relative(unit)})"
        for unit, names in by_unit.items()
    )
    return rf"^\s*({'|'.join(kinds)})\s*$"


def quantity_pattern(units: Iterable[str]) -> str:
    """A number and one of the units."""
    return rf"^\s*{NUMBER}\s*({'|'.join(units)})\s*$"


def duration_pattern() -> str:
    """`90s`, `8m`, `1h30m`, or a bare number of seconds."""
    part = rf"{NUMBER}\s*({'|'.join(duration_units())})\s*"
    return rf"^\s*({NUMBER}\s*|({part})+)$"


def _metrics(vocabulary: Vocabulary) -> Iterable[MetricSpec]:
    return (metric for e in vocabulary.evaluators.values() for metric in e.metrics)


def _named(metric: MetricSpec, space: str) -> str:
    if not metric.statistics:
        return metric.name
    return rf"{metric.name}({space}\.{space}({'|'.join(metric.statistics)}))?"


def _absolute(unit: str) -> str:
    units = "|".join(_written(unit))
    if not units:
        return NUMBER
    return rf"{NUMBER}\s*({units})" + ("" if needs_unit(unit) else "?")


def _relative(unit: str) -> str:
    units = "|".join(dict.fromkeys([*_written(unit), "%"]))
    offset = rf"{NUMBER}\s*({units})" + ("" if needs_unit(unit) else "?")
    return rf"({_FACTOR}\s*\*\s*)?baseline(\s*\*\s*{_FACTOR})?(\s*[-+]\s*{offset})?"


def _written(unit: str) -> list[str]:
    """The units as people write them: the Greek letter counts for `us`."""
    return [*unit_names(unit), *(("µs", "μs") if unit == "s" else ())]
