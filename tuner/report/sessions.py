"""How something was measured, in lines of text: what `tune show` prints of a measurement.

Reads what evaluators kept (`Measurement` as JSON); knows nothing of trials.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search_spaces.units import format_quantity
from tuner.report.words import duration, plural, value_text
from tuner.study.rows import MeasurementRow

Json = Mapping[str, Any]

_PER_SESSION = ("load_before", "load_after", "stolen", "disturbed", "warmup", "steady", "blocks")
_NOT_FOR_PEOPLE = ("measured_at", "baseline")


def measurement_lines(row: MeasurementRow, units: Mapping[str, str], width: int) -> list[str]:
    """A measurement: under which conditions, then every session with its blocks.

    `units`: metric -> its canonical unit.
    """
    conditions = row.detail[0].get("conditions", {}) if row.detail else {}
    times = [d for d in row.detail if d.get("conditions", {}).get("blocks")]
    count = f", {plural(len(times), 'session')}" if times else ""
    took = "reused" if row.cached else duration(row.seconds)
    lines = [f"measured {row.evaluator} ({row.split}){count}: {took}"]
    facts = [f for f in _facts(conditions) if f]
    lines += textwrap.wrap(", ".join(facts), width - 2) if facts else []
    for number, detail in enumerate(times, 1):
        text = f"session {number}: {_session(detail, units)}"
        lines += textwrap.wrap(text, width - 2, subsequent_indent="  ")
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _facts(conditions: Json) -> Iterable[str]:
    for name, value in conditions.items():
        if name in _PER_SESSION or name in _NOT_FOR_PEOPLE or value in (None, {}, []):
            continue
        if isinstance(value, Mapping):
            yield ", ".join(f"{k} {value_text(v)}" for k, v in value.items() if not _deep(v))
        elif not (_deep(value) and any(isinstance(v, Mapping) for v in value)):
            yield f"{name} {value_text(value)}"


def _deep(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))


def _session(detail: Json, units: Mapping[str, str]) -> str:
    """The blocks' medians, beside the baseline's, and what disturbed them."""
    metric = next(iter(detail["samples"]))
    unit = units.get(metric, "s")
    parts = [f"{metric} by block {_medians(detail['samples'][metric], unit)}"]
    anchor = detail.get("anchor", {}).get(metric)
    if anchor:
        parts.append(f"the baseline's {_medians(anchor, unit)}")
    conditions = detail["conditions"]
    blocks = conditions["blocks"]
    repeated = sum(not block["kept"] for block in blocks)
    parts.append(f"{repeated} repeated, {conditions['disturbed']} of those kept disturbed")
    foreign = [block["foreign"] for block in blocks if block["foreign"] is not None]
    if foreign:
        parts.append(f"others had {statistics.median(foreign):.0%} of the cores")
    parts.append(f"load {conditions['load_before']:.1f}")
    if conditions.get("stolen"):
        parts.append(f"{conditions['stolen']:.2g} s stolen by other machines")
    return "; ".join(parts)


def _medians(blocks: Sequence[Sequence[float]], unit: str) -> str:
    texts = [format_quantity(statistics.median(block), unit) for block in blocks]
    suffixes = {text.partition(" ")[2] for text in texts}
    if len(suffixes) > 1:
        return " ".join(texts)
    return " ".join(text.partition(" ")[0] for text in texts) + f" {suffixes.pop()}"
