from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

import pytest

from tuner.search.effects import Analysis, Data, Effect, Importance, analyse
from tuner.search.factors import Factor
from tuner.search.gates import descendants

Row = Mapping[str, Any]

LORA = Factor("lora", (True, False))
RANK = Factor("lora.r", (4, 16))
PRECISION = Factor("precision", ("fp32", "int8", "int4"))
THREADS = Factor("threads", (1, 2))
COLOUR = Factor("colour", ("red", "green", "blue"))
FACTORS = (LORA, RANK, PRECISION, THREADS, COLOUR)

EFFECTS: Mapping[str, Mapping[Any, float]] = {
    "lora": {True: 2.0, False: 0.0},
    "lora.r": {4: 0.0, 16: 0.5},
    "precision": {"fp32": 0.0, "int8": -0.4, "int4": -1.5},
    "threads": {1: 0.0, 2: 1.0},
}


def truth(row: Row) -> float:
    """What a row's number is without noise; the colour does nothing."""
    return sum(EFFECTS[name][value] for name, value in row.items() if name in EFFECTS)


def any_row(rng: random.Random) -> dict[str, Any]:
    row = {f.name: rng.choice(f.levels) for f in FACTORS}
    if not row["lora"]:
        del row["lora.r"]
    return row


def space(count: int = 300) -> list[dict[str, Any]]:
    rng = random.Random(99)
    return [any_row(rng) for _ in range(count)]


def climbed(
    count: int, seed: int, noise: float, of: Callable[[Row], float] = truth
) -> tuple[list[Row], list[float]]:
    """Rows as a greedy search picks them: mostly one step from one of the best so far."""
    rng = random.Random(seed)
    rows: list[Row] = []
    values: list[float] = []
    while len(rows) < count:
        row = any_row(rng)
        if len(rows) > 4 and rng.random() < 0.8:
            best = sorted(range(len(rows)), key=lambda i: -values[i])[:3]
            name = rng.choice(list(row))
            row = {**row, **rows[rng.choice(best)], name: row[name]}
            if not row["lora"]:
                row.pop("lora.r", None)
        rows.append(row)
        values.append(of(row) + rng.gauss(0, noise))
    return rows, values


def analysis(rows: Sequence[Row], values: Sequence[float], **changes: Any) -> Analysis:
    fields: dict[str, Any] = {"factors": FACTORS, "errors": [0.0] * len(rows), "space": space()}
    return analyse(Data(rows=rows, values=values, **(fields | changes)))


def effect(found: Analysis, decision: str, value: Any) -> Effect:
    return next(e for e in found.effects if e.decision == decision and e.value == value)


def interval(found: Effect) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def importance(found: Analysis, decision: str) -> Importance:
    return next(i for i in found.importances if i.decision == decision)


def test_effects_are_told_where_means_per_value_mix_them_up() -> None:
    rng = random.Random(1)
    rows = [
        {"precision": p, "threads": t, "colour": rng.choice(COLOUR.levels), "lora": False}
        for p, t, times in [("fp32", 2, 9), ("int8", 1, 9), ("fp32", 1, 2), ("int8", 2, 2)]
        for _ in range(times)
    ]
    values = [truth(row) + rng.gauss(0, 0.05) for row in rows]
    means = [
        mean(v for r, v in zip(rows, values, strict=True) if r["precision"] == p)
        for p in ("fp32", "int8")
    ]
    assert means[1] - means[0] < -0.9
    found = effect(analysis(rows, values, references={"precision": "fp32"}), "precision", "int8")
    assert found.change == pytest.approx(-0.4, abs=0.12)
    low, high = interval(found)
    assert low < -0.4 < high
    assert found.trials == (11, 11)


def test_shares_of_all_decisions_and_of_the_rest_make_a_whole() -> None:
    rows, values = climbed(60, 0, 0.1)
    found = analysis(rows, values)
    assert found.rest is not None
    shares = [i.share or 0.0 for i in (*found.importances, found.rest)]
    assert sum(shares) == pytest.approx(1.0, abs=0.03)
    ranked = sorted(found.importances, key=lambda i: -(i.share or 0.0))
    assert [i.decision for i in ranked[:2]] == ["lora", "precision"]


@pytest.mark.parametrize("count", [20, 60])
def test_what_does_nothing_has_next_to_no_share_and_an_interval_from_0(count: int) -> None:
    rows, values = climbed(count, 3, 0.2)
    colour = importance(analysis(rows, values), "colour")
    assert colour.share is not None
    assert colour.share < 0.06
    assert colour.low == 0.0


def test_intervals_cover_the_truth_although_a_search_chose_the_trials() -> None:
    covered = []
    for seed in range(14):
        rows, values = climbed(20, seed, 0.3)
        for found in analysis(rows, values).effects:
            if found.low is not None and found.high is not None:
                known = EFFECTS.get(found.decision, {})
                before, after = (known.get(v, 0.0) for v in (found.reference, found.value))
                rank = 0.25 * (bool(found.value) - bool(found.reference))  # lora's mean over r
                change = after - before + (rank if found.decision == "lora" else 0.0)
                covered.append(found.low <= change <= found.high)
    assert len(covered) > 80
    assert mean(covered) > 0.88


def test_an_interval_is_as_wide_as_what_was_measured_coarsely() -> None:
    rows, values = climbed(30, 5, 0.0)
    sure, unsure = (analysis(rows, values, errors=[e] * 30) for e in (0.01, 1.0))
    widths = []
    for found in (sure, unsure):
        [told] = [e for e in found.effects if e.decision == "threads"]
        low, high = interval(told)
        widths.append(high - low)
    assert widths[1] > 4 * widths[0]


def test_two_choices_that_always_changed_together_are_not_told_apart() -> None:
    rng = random.Random(0)
    rows = [
        {"lora": False, "precision": p, "threads": t, "colour": rng.choice(COLOUR.levels)}
        for p, t in [("fp32", 1), ("int8", 2)] * 6
    ]
    found = analysis(rows, [truth(row) for row in rows])
    for decision, other in (("precision", "threads"), ("threads", "precision")):
        assert importance(found, decision).share is None
        [told] = [e for e in found.effects if e.decision == decision]
        assert told.note == f"not tried apart from {other}"
        assert told.change is None


def test_a_value_tried_once_gets_no_number_unless_the_number_is_exact() -> None:
    rows = [
        {"lora": False, "precision": "fp32", "threads": t, "colour": c}
        for t in (1, 2)
        for c in COLOUR.levels
    ]
    rows.append({**rows[0], "precision": "int4"})
    values = [truth(row) for row in rows]
    told = effect(analysis(rows, values), "precision", "int4")
    assert (told.note, told.trials, told.pairs) == ("tried once", (6, 1), 1)
    exact = effect(analysis(rows, values, exact=True), "precision", "int4")
    assert exact.change == pytest.approx(-1.5, abs=0.2)


def test_a_value_that_was_never_tried_is_left_out_and_one_value_alone_says_so() -> None:
    rows, values = climbed(30, 2, 0.1)
    kept = [(r, v) for r, v in zip(rows, values, strict=True) if r["threads"] == 2]
    found = analysis([r for r, _ in kept], [v for _, v in kept])
    assert importance(found, "threads").note == "one value tried"
    assert not [e for e in found.effects if e.decision == "threads"]


@pytest.mark.parametrize(
    ("values", "note"),
    [([], "too few trials to tell"), ([1.0, 2.0], "too few trials to tell"),
     ([3.0] * 8, "the same in every trial"), ([0.0] * 8, "the same in every trial")],
)  # fmt: skip
def test_where_nothing_can_be_told_a_note_says_why(values: list[float], note: str) -> None:
    rows, _ = climbed(len(values), 0, 0.0) if values else ([], [])
    found = analysis(rows, values)
    assert (found.note, found.effects, found.importances) == (note, (), ())


def test_one_candidate_measured_again_and_again_tells_nothing() -> None:
    row = {"lora": False, "precision": "fp32", "threads": 1, "colour": "red"}
    found = analysis([row] * 6, [1.0, 1.1, 0.9, 1.0, 1.2, 1.1])
    assert found.note == "no choice was tried in two ways"


@pytest.mark.parametrize("count", range(5, 10))
def test_few_trials_give_numbers_or_notes_and_never_an_error(count: int) -> None:
    for seed in range(2):
        rows, values = climbed(count, seed, 0.2)
        for found in analysis(rows, values, space=[]).effects:
            assert (found.change is None) == (found.note is not None)


def test_an_interaction_widens_what_is_said_of_its_decisions() -> None:
    def crossed(row: Row) -> float:
        return (2.0 if row["precision"] == "int4" else -1.0) * float(row["threads"] - 1.5)

    rows, values = climbed(40, 1, 0.1, crossed)
    found = analysis(rows, values)
    both = [importance(found, name).share or 0.0 for name in ("precision", "threads")]
    others = [importance(found, name).share or 0.0 for name in ("lora", "colour", "lora.r")]
    assert min(both) > 0.3
    assert max(others) < 0.1
    [told] = [e for e in found.effects if e.decision == "threads"]
    low, high = interval(told)
    assert low < 0 < high


@pytest.mark.parametrize("log", [False, True])
def test_a_range_is_told_by_its_ends_and_middle(log: bool) -> None:
    rate = Factor("rate", (), 1.0, 100.0, log=log)
    rng = random.Random(4)
    rows = [{"rate": rng.uniform(1, 100), "threads": rng.choice((1, 2))} for _ in range(40)]
    values = [2.0 * rate.position(r["rate"]) + rng.gauss(0, 0.05) for r in rows]
    found = analysis(
        rows, values, factors=(rate, THREADS), space=[], references={"rate": rows[0]["rate"]}
    )
    told = {e.value: e for e in found.effects if e.decision == "rate"}
    assert set(told) <= {1.0, 10.0 if log else 50.5, 100.0}
    at = rate.position(rows[0]["rate"])
    for value, change in told.items():
        wanted = 2.0 * (rate.position(value) - at)
        assert change.change == pytest.approx(wanted, abs=0.35 if log else 0.15)


def test_values_may_be_lists_and_the_same_trials_give_the_same_answer() -> None:
    modules = Factor("modules", (["q", "v"], ["q"]))
    rows = [{"modules": m, "threads": t} for m in modules.levels for t in (1, 2)] * 3
    values = [len(r["modules"]) + r["threads"] + 0.01 * i for i, r in enumerate(rows)]
    told = [analysis(rows, values, factors=(modules, THREADS), space=[]) for _ in range(2)]
    assert told[0] == told[1]
    assert effect(told[0], "modules", ["q"]).change == pytest.approx(-1.0, abs=0.2)


def test_the_reference_is_the_value_asked_for_or_the_one_tried_most() -> None:
    rows, values = climbed(30, 6, 0.1)
    asked = analysis(rows, values, references={"precision": "int8"})
    assert {e.reference for e in asked.effects if e.decision == "precision"} == {"int8"}
    counts = {p: sum(r["precision"] == p for r in rows) for p in PRECISION.levels}
    free = analysis(rows, values)
    most = max(counts, key=lambda p: counts[p])
    assert {e.reference for e in free.effects if e.decision == "precision"} == {most}


def test_what_is_only_open_under_another_choice_descends_from_it() -> None:
    named = [Factor(n, (1, 2)) for n in ("one_of", "bits", "bits.block", "threads")]
    rows = [
        {"one_of": 1, "threads": 1},
        {"one_of": 1, "threads": 2},
        {"one_of": 2, "bits": 8, "threads": 1},
        {"one_of": 2, "bits": 4, "bits.block": 32, "threads": 2},
        {"one_of": 2, "bits": 4, "bits.block": 64, "threads": 1},
    ]
    found = descendants(named, rows)
    assert found["one_of"] == {"bits", "bits.block"}
    assert found["bits"] == {"bits.block"}
    assert not found["threads"]
