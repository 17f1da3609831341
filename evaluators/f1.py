"""F1 scores of what was predicted for labelled items, with their 95 % intervals.

By the delta method: an F1 is a smooth function of the counts of (label, predicted), so that its
variance is that of the sum of what each item contributes to it. A little is added to the counts
first, as Agresti and Coull do for a proportion: without it, a score of 1 would have no interval.
Pure Python; knows nothing of models.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from evaluators.base import Interval, Json, NotEnoughSamples
from evaluators.statistics import NORMAL, wilson

Counts = Mapping[tuple[str, str], float]
"""(label, predicted) -> how many items."""

Score = Callable[[Counts], tuple[float, dict[tuple[str, str], float]]]
"""Counts -> the score, and what one more item of each kind contributes to it (its influence)."""

_ADDED = 2.0  # items, over all kinds


def f1_of(positive: str) -> Score:
    """The F1 of one label against all others: 2 TP / (2 TP + FP + FN); 0 where it never comes."""

    def score(counts: Counts) -> tuple[float, dict[tuple[str, str], float]]:
        value, influence = _single(counts, positive)
        return value, {kind: influence(kind) for kind in counts}

    return score


def macro(counts: Counts) -> tuple[float, dict[tuple[str, str], float]]:
    """The mean of the F1 of every label that is an item's or was predicted."""
    names = sorted({name for kind in counts for name in kind})
    singles = [_single(counts, name) for name in names]
    value = sum(single for single, _ in singles) / len(names)
    influences = {k: sum(f(k) for _, f in singles) / len(names) for k in counts}
    return value, influences


def weighted(counts: Counts) -> tuple[float, dict[tuple[str, str], float]]:
    """The mean of the F1 of every label, weighted by how many items have it."""
    total = sum(counts.values())
    support: Counter[str] = Counter()
    for (label, _), count in counts.items():
        support[label] += count  # type: ignore[assignment]  # a count may be a fraction
    singles = {name: _single(counts, name) for name in support}
    shares = {name: support[name] / total for name in support}
    value = sum(shares[name] * single for name, (single, _) in singles.items())
    influences = {
        kind: sum(shares[name] * f(kind) for name, (_, f) in singles.items())
        + singles[kind[0]][0]
        - value
        for kind in counts
    }
    return value, influences


def _single(counts: Counts, name: str) -> tuple[float, Callable[[tuple[str, str]], float]]:
    """The F1 of one label, and what one more item of a kind adds to it, times the items."""
    total = sum(counts.values())
    hits = counts.get((name, name), 0.0)
    # Items with the label and items predicted to have it: 2 TP + FN + FP.
    named = sum(count * kind.count(name) for kind, count in counts.items())
    if not named:
        return 0.0, lambda kind: 0.0
    value = 2 * hits / named

    def influence(kind: tuple[str, str]) -> float:
        return (2 * (kind == (name, name)) - value * kind.count(name)) * total / named

    return value, influence


def interval(items: Sequence[Json], score: Score) -> Interval:
    """A score of items ({"label", "predicted"}) with its interval. NotEnoughSamples for none."""
    counts = Counter((item["label"], item["predicted"]) for item in items)
    if not counts:
        raise NotEnoughSamples("an F1 needs 1 item or more, found none")
    value, _ = score(counts)
    smooth = _smoothed(counts)
    centre, influences = score(smooth)
    found = _around(value, centre, [(smooth[kind], influences[kind]) for kind in smooth])
    return Interval(value, max(0.0, found.low), min(1.0, found.high))


def binary_interval(items: Sequence[Json], positive: str) -> Interval:
    """The F1 of one label, with its interval.

    TP of the items that have the label or were predicted to have it are a proportion J, and the
    F1 is 2 J / (1 + J): Wilson's interval of J, turned into F1.
    """
    labels = [(item["label"], item["predicted"]) for item in items]
    named = [pair for pair in labels if positive in pair]
    if not named:
        return Interval(0.0, 0.0, 1.0)  # nothing was asked that could tell
    found = wilson(named.count((positive, positive)), len(named))
    value, low, high = (2 * j / (1 + j) for j in (found.value, found.low, found.high))
    return Interval(value, low, high)


def paired_difference(
    items: Sequence[Json], baseline_items: Sequence[Json], score: Score, factor: float
) -> Interval:
    """A score - factor x the baseline's, from what both did on the same items."""
    triples = Counter(
        (now["label"], now["predicted"], before["predicted"])
        for now, before in zip(items, baseline_items, strict=True)
    )
    names = sorted({name for triple in triples for name in triple})
    value = _paired(triples, score, factor)[0]
    smooth: dict[tuple[str, str, str], float] = dict(triples)
    for name in names:
        wrong = _next(names, name)
        for triple in ((name, a, b) for a in (name, wrong) for b in (name, wrong)):
            smooth[triple] = smooth.get(triple, 0.0) + _ADDED / (4 * len(names))
    centre, parts = _paired(smooth, score, factor)
    return _around(value, centre, parts)


def _paired(
    triples: Mapping[tuple[str, str, str], float], score: Score, factor: float
) -> tuple[float, list[tuple[float, float]]]:
    """The difference, and for every kind of item how many there are and what one contributes."""
    now: Counter[tuple[str, str]] = Counter()
    before: Counter[tuple[str, str]] = Counter()
    for (label, a, b), count in triples.items():
        now[label, a] += count  # type: ignore[assignment]  # a count may be a fraction
        before[label, b] += count  # type: ignore[assignment]
    value, influences = score(now)
    other, others = score(before)
    parts = [
        (count, influences[label, a] - factor * others[label, b])
        for (label, a, b), count in triples.items()
    ]
    return value - factor * other, parts


def _smoothed(counts: Counts) -> dict[tuple[str, str], float]:
    """The counts with `_ADDED` items more, half of them right, spread over the labels."""
    names = sorted({name for kind in counts for name in kind})
    smooth: dict[tuple[str, str], float] = dict(counts)
    for name in names:
        for kind in ((name, name), (name, _next(names, name))):
            smooth[kind] = smooth.get(kind, 0.0) + _ADDED / (2 * len(names))
    return smooth


def _next(names: Sequence[str], name: str) -> str:
    return names[(names.index(name) + 1) % len(names)]


def _around(value: float, centre: float, parts: Sequence[tuple[float, float]]) -> Interval:
    """The normal interval around `centre`, from (items, contribution of one); it holds `value`."""
    total = sum(count for count, _ in parts)
    mean = sum(count * part for count, part in parts) / total
    squares = sum(count * (part - mean) ** 2 for count, part in parts)
    half = NORMAL * math.sqrt(squares) / total
    return Interval(value, min(value, centre - half), max(value, centre + half))
