"""How candidates and numbers are put into words, the same in every table and on every line.

Knows nothing of where they come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search_spaces.units import format_quantity

Json = Mapping[str, Any]


def duration(seconds: float) -> str:
    """Seconds for a person: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def value_text(value: Any) -> str:
    """A parameter's value: numbers short, lists joined by +."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return "+".join(str(v) for v in value)
    return str(value)


def parameter_texts(
    candidates: Sequence[Mapping[str, Any]], *, all_of_them: bool = False
) -> list[list[str]]:
    """For each candidate's decisions, those that differ between the candidates, in short.

    A parameter is named without its pass where that is clear. A pass that can be left out shows
    as `no lora` where it is.
    """
    names = list(dict.fromkeys(name for decisions in candidates for name in decisions))
    missing = object()
    differing = [
        name
        for name in names
        if all_of_them or len({repr(d.get(name, missing)) for d in candidates}) > 1
    ]
    short = short_names(names)
    return [
        [t for name in differing if name in d and (t := _one(short[name], name, d[name]))]
        for d in candidates
    ]


def _one(short: str, name: str, value: Any) -> str:
    if "." not in name and isinstance(value, bool):
        return "" if value else f"no {name}"
    return f"{short}={value_text(value)}"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Decisions without their pass, where that leaves no doubt which is meant."""
    names = list(dict.fromkeys(names))
    last = Counter(name.rsplit(".", 1)[-1] for name in names)
    return {n: n.rsplit(".", 1)[-1] if last[n.rsplit(".", 1)[-1]] == 1 else n for n in names}


def metric_name(metric: str, statistic: str | None) -> str:
    """`latency` for the median, else `latency.p95`."""
    return metric if statistic in (None, "", "p50") else f"{metric}.{statistic}"


def ending(state: str, verdict: str | None) -> str:
    """How a trial ended: its verdict, and where its model was built only, that first."""
    if state != "built":
        return verdict or state
    return state if verdict in (None, "feasible") else f"{state}, {verdict}"


def estimate_text(estimate: Json) -> str:
    """`tpot 5.87 ms`."""
    name = metric_name(estimate["metric"], estimate["statistic"])
    return f"{name} {format_quantity(estimate['value'], estimate['unit'])}"


def interval_text(estimate: Json) -> str:
    """`5.87 ms (5.71-6.02)`; without the interval where it is a point."""
    unit = estimate["unit"]
    text = format_quantity(estimate["value"], unit)
    if estimate["low"] == estimate["high"]:
        return text
    low, high = (format_quantity(estimate[k], unit) for k in ("low", "high"))
    suffix = text.partition(" ")[2]
    if all(t.partition(" ")[2] == suffix for t in (low, high)):
        low, high = (t.partition(" ")[0] for t in (low, high))
    return f"{text} ({low}-{high})"


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
