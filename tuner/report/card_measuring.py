"""How a model was measured, in sentences for its card. Reads what evaluators kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tuner.report.words import plural, value_text
from tuner.study.api import Study, Trial
from tuner.study.rows import MeasurementRow

Json = Mapping[str, Any]

_OF_NOTE = ("device", "provider", "threads", "governor", "cpu", "cores")
_SPLITS = {"dev": "in the search", "test": "on held-out data", "verify": "on the trained model"}


def measuring_lines(study: Study, trial: Trial) -> Iterator[str]:
    """A line for each thing that was measured, then the options of the evaluators."""
    for row in study.measurements.get(trial.number, ()):
        yield _line(row)
    question = study.info.space.get("question")
    options = question.get("metrics") if isinstance(question, Mapping) else None
    for name, values in options.items() if isinstance(options, Mapping) else ():
        told = ", ".join(f"{k} {value_text(v)}" for k, v in _known(values))
        if told:
            yield f"{name}: {told}"
    if any(_blocks(row) for row in study.measurements.get(trial.number, ())):
        yield (
            "Times were taken in fresh processes, in turn with the unoptimised model; blocks that "
            "something disturbed were repeated. Ratios to the unoptimised model are of pairs."
        )


def _known(values: Any) -> Iterator[tuple[str, Any]]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if value is not None and not isinstance(value, Mapping):
            yield str(key), value


def _line(row: MeasurementRow) -> str:
    conditions = row.detail[0].get("conditions") or {} if row.detail else {}
    facts = [
        f"{name} {value_text(conditions[name])}"
        for name in _OF_NOTE
        if conditions.get(name) not in (None, "", [], {})
    ]
    items = sum(len(detail.get("items") or ()) for detail in row.detail)
    counts = [plural(len(row.detail), "process").replace("processs", "processes")]
    counts += [plural(items, "item")] if items else []
    blocks = sum(map(len, _blocks(row)))
    counts += [plural(blocks, "block")] if blocks else []
    where = _SPLITS.get(row.split, row.split)
    return f"{row.evaluator} {where}: {', '.join([*counts, *facts])}"


def _blocks(row: MeasurementRow) -> list[Any]:
    found = (detail.get("conditions", {}).get("blocks") for detail in row.detail)
    return [blocks for blocks in found if blocks]
