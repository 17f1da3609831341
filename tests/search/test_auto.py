"""The strategy that counts seconds: what it learns, what it prefers, what it costs itself."""

from __future__ import annotations

import math
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from toy_spaces import CONTINUOUS, HEAD, STAGED, VOCABULARY, space_of

from search_spaces.candidates import Candidate, build
from search_spaces.space import Space
from tuner.search.strategies import Known, Result, Strategy, make_strategy
from tuner.search.strategies.base import uniform

Outcome = Callable[[Candidate], Result]

WIDE = (
    HEAD
    + """
constraints: ["time<60ms"]
pipeline:
  - tune_weights: {x: {range: [0, 60]}, y: {range: [0, 60]}}
  - fold
  - convert: {kind: {choices: [full, half, tiny]}}
  - settings: {threads: {choices: [1, 2, 4, 8]}}
"""
)


def values(candidate: Candidate) -> dict[str, object]:
    """Every parameter of a candidate by its name."""
    return {k: v for step in candidate.steps for k, v in step.parameters.items()}


def number(candidate: Candidate, name: str) -> float:
    """A numeric parameter; 0 where the candidate has none."""
    return float(str(values(candidate).get(name, 0)))


def whole(time: float, quality: float) -> Result:
    """The result of a candidate that was measured in full."""
    return Result((time, quality), {"time<60ms": (time - 0.06) / 0.006})


def outcome(candidate: Candidate) -> Result:
    """Better quality takes more time; a smaller kind is faster and a little worse."""
    x, y = number(candidate, "x"), number(candidate, "y")
    kind = {"full": 4, "half": 2, "tiny": 1}[str(values(candidate)["kind"])]
    return whole(0.01 * (1 + x / 10 + kind), 1 - 1 / (2 + x + y / 2) - 0.02 / kind)


class Prices:
    """An outlook for which everything that was told already costs little when it comes again."""

    def __init__(self, tuning: float = 100.0, rest: float = 1.0) -> None:
        self._tuning, self._rest = tuning, rest
        self.made: set[str] = set()

    def seconds(self, candidate: Candidate) -> float:
        """The seconds of the steps; of a training that was paid for nothing."""
        return self._rest + (0.0 if self.training(candidate) in self.made else self._tuning)

    def training(self, candidate: Candidate) -> str:
        """What the training of a candidate is called; empty where it has none."""
        first = candidate.steps[0]
        return str(first.parameters) if first.id == "tune_weights" else ""


def go(
    space: Space,
    trials: int,
    result: Outcome = outcome,
    told: Sequence[Candidate] = (),
    prices: Prices | None = None,
) -> list[Candidate]:
    """The candidates of a study that goes on after `told`, up to `trials` in all."""
    strategy = make_strategy(space, VOCABULARY, prices)
    for candidate in told:
        strategy.tell(candidate, result(candidate))
    tried, seen = list(told), {c.key for c in told}
    while len(tried) < trials:
        proposed = strategy.propose(len(tried), Known(seen))
        if proposed is None:
            break
        candidate = proposed
        strategy.tell(candidate, result(candidate))
        if prices is not None:
            prices.made.add(prices.training(candidate))
        tried.append(candidate)
        seen.add(candidate.key)
    return tried


def auto(text: str, **overrides: str) -> Space:
    """The space, searched by `auto`."""
    return space_of(text, strategy="auto", **overrides)


def random_ones(space: Space, count: int, seed: int = 0) -> list[Candidate]:
    """Uniform draws."""
    rng = random.Random(seed)
    return [build(space, uniform(rng)) for _ in range(count)]


def test_it_learns_where_constraints_hold() -> None:
    found = go(auto(WIDE), 40)
    later = [outcome(c).violations["time<60ms"] <= 0 for c in found[10:]]
    by_chance = [outcome(c).violations["time<60ms"] <= 0 for c in random_ones(auto(WIDE), 200)]
    assert sum(later) / len(later) > 1.5 * sum(by_chance) / len(by_chance)


def test_it_finds_a_better_front_than_chance_does() -> None:
    space = auto(WIDE)

    def best(candidates: Sequence[Candidate]) -> float:
        kept = [r for r in map(outcome, candidates) if r.violations["time<60ms"] <= 0]
        return max((r.objectives[1] for r in kept if r.objectives), default=0.0)

    assert best(go(space, 30)) > best(random_ones(space, 30))


def test_of_equal_promise_the_cheaper_is_preferred() -> None:
    class Dear:
        def seconds(self, candidate: Candidate) -> float:
            return 1000.0 if values(candidate)["threads"] == 8 else 1.0

    strategy = make_strategy(replaced(auto(WIDE), max_time=100.0), VOCABULARY, Dear())
    tried: list[Candidate] = []
    for n in range(20):
        candidate = strategy.propose(n, Known({c.key for c in tried}))
        assert candidate is not None
        strategy.tell(candidate, outcome(candidate))
        tried.append(candidate)
    assert sum(values(c)["threads"] == 8 for c in tried) <= 2


def replaced(space: Space, max_time: float | None) -> Space:
    """The space with a limit of time."""
    return replace(space, search=replace(space.search, max_time=max_time))


def test_late_choices_are_tried_under_a_training_that_is_paid_for() -> None:
    space = replaced(auto(WIDE), max_time=3600.0)
    prices = Prices()
    found = go(space, 40, prices=prices)
    trainings = {prices.training(c) for c in found}
    assert len(trainings) < 25  # 12 late choices under each
    drawn = {prices.training(c) for c in random_ones(space, 40)}
    assert len(trainings) < len(drawn)


def test_what_a_partial_result_shows_is_learned() -> None:
    """Candidates are screened by their time alone: those that follow keep the limit."""

    def screened(candidate: Candidate) -> Result:
        result = outcome(candidate)
        assert result.objectives is not None
        if result.violations["time<60ms"] > 0:
            return Result(None, result.violations, known=(result.objectives[0], None))
        return result

    found = go(auto(WIDE), 40, screened)
    held = [outcome(c).violations["time<60ms"] <= 0 for c in found[20:]]
    assert sum(held) >= 15


def test_what_was_seen_after_a_part_of_the_training_is_never_on_the_front() -> None:
    """Of a share of the training everything looks perfect; nothing is feasible before a whole."""
    space = auto(WIDE)
    strategy = make_strategy(space, VOCABULARY)
    seen = set()
    for candidate in random_ones(space, 12):
        result = Result(None, {"time<60ms": -5.0}, known=(0.0, 1.0), share=0.3)
        strategy.tell(candidate, result)
        seen.add(candidate.key)
    proposed = strategy.propose(12, Known(seen))
    assert proposed is not None
    strategy.tell(proposed, outcome(proposed))
    assert strategy.propose(13, Known(seen | {proposed.key})) is not None


def test_candidates_that_fail_are_left_alone() -> None:
    def failing(candidate: Candidate) -> Result:
        if values(candidate)["kind"] == "half":
            return Result(None, {"time<60ms": 10.0})
        return outcome(candidate)

    found = go(auto(WIDE), 40, failing)
    assert sum(values(c)["kind"] == "half" for c in found[15:]) <= 4


def test_where_everything_fails_it_goes_on_with_what_is_unlike() -> None:
    found = go(auto(WIDE), 20, lambda _: Result(None, {"time<60ms": 10.0}))
    assert len({c.key for c in found}) == 20
    assert len({values(c)["kind"] for c in found}) == 3


def test_transient_failures_teach_nothing() -> None:
    assert len(go(auto(WIDE), 15, lambda _: Result(None, {}, transient=True))) == 15


@pytest.mark.parametrize("text", [STAGED, CONTINUOUS, WIDE])
def test_the_same_seed_and_history_give_the_same_candidates(text: str) -> None:
    undisturbed = go(auto(text, seed="4"), 15)
    for stopped in (4, 12):
        resumed = go(auto(text, seed="4"), 15, told=undisturbed[:stopped])
        assert [c.key for c in resumed] == [c.key for c in undisturbed]


def test_conditional_decisions_are_taken_where_they_are_open() -> None:
    for candidate in go(auto(CONTINUOUS), 30):
        decisions = candidate.decisions
        assert ("convert.block" in decisions) == (decisions["convert.kind"] == "tiny")
        assert ("tune_weights.rate" in decisions) == bool(decisions["tune_weights"])


def test_numbers_of_a_continuous_space_close_in_on_the_best() -> None:
    text = HEAD.replace(
        "objectives: [minimize time, maximize quality]", "objectives: [minimize time]"
    )
    space = auto(
        text
        + "pipeline:\n  - tune_weights: {x: 1, y: 1, rate: {range: [0.0, 10.0]}}\n"
        + "  - fold\n  - convert\n"
    )

    def bowl(candidate: Candidate) -> Result:
        return Result((1.0 + (number(candidate, "rate") - 7.3) ** 2,), {})

    rates = [number(c, "rate") for c in go(space, 20, bowl)]
    assert min(abs(rate - 7.3) for rate in rates) < 0.1


@pytest.mark.parametrize(
    "objectives",
    [
        "[minimize time]",
        "[minimize time, maximize quality]",
        "[minimize time, minimize time.p95, maximize quality]",
    ],
)
def test_any_number_of_objectives_without_constraints(objectives: str) -> None:
    text = WIDE.replace('constraints: ["time<60ms"]\n', "")
    text = text.replace("[minimize time, maximize quality]", objectives)
    space = auto(text)

    def result(candidate: Candidate) -> Result:
        found = outcome(candidate).objectives
        assert found is not None
        first, last = found[0], found[-1]
        return Result([first, 10 / first, last][: len(space.objectives)], {})

    found = [result(c).objectives for c in go(space, 30, result)]
    fastest = min(f[0] for f in found if f is not None)
    assert fastest < 0.025  # few candidates are: x below 5, of the smallest kind


def test_what_is_under_way_is_not_proposed_again_nor_all_that_is_like_it() -> None:
    space = auto(WIDE)
    strategy = make_strategy(space, VOCABULARY)
    tried = go(space, 15)
    for candidate in tried:
        strategy.tell(candidate, outcome(candidate))
    keys = {c.key for c in tried}
    pending: list[Candidate] = []
    for n in range(15, 19):
        proposed = strategy.propose(n, Known(keys, pending=tuple(pending)))
        assert proposed is not None
        pending.append(proposed)
        keys.add(proposed.key)
    assert len({c.key for c in pending}) == 4


def test_what_another_study_found_is_a_head_start() -> None:
    space = auto(WIDE)

    def shifted(candidate: Candidate) -> Result:
        found = outcome(candidate).objectives
        assert found is not None
        return whole(1.1 * found[0], found[1] - 0.05)

    def feasible_of_first(helped: bool, seed: str) -> int:
        space = auto(WIDE, seed=seed)
        strategy: Strategy = make_strategy(space, VOCABULARY)
        for candidate in random_ones(space, 40, seed=9) if helped else ():
            strategy.recall(candidate, shifted(candidate), "earlier#1")
        seen: set[str] = set()
        held = 0
        for n in range(8):
            proposed = strategy.propose(n, Known(seen))
            assert proposed is not None
            result = outcome(proposed)
            strategy.tell(proposed, result)
            seen.add(proposed.key)
            held += result.violations["time<60ms"] <= 0
        return held

    assert space.constraints
    helped = sum(feasible_of_first(True, s) for s in "123")
    alone = sum(feasible_of_first(False, s) for s in "123")
    assert helped > alone


def test_numbers_that_are_none_do_no_harm() -> None:
    def odd(candidate: Candidate) -> Result:
        result = outcome(candidate)
        if number(candidate, "y") > 30:
            return Result((math.inf, math.nan), {"time<60ms": math.nan})
        return result

    assert len(go(auto(WIDE), 20, odd)) == 20


def _huge() -> Space:
    """Two trainings with 101 x 101 x 101 numbers each: 10^12 candidates."""
    step = "  - tune_weights: {x: {range: [0, 100]}, y: {range: [0, 100]}, z: {range: [0, 100]}}\n"
    return auto(HEAD + f"pipeline:\n{step}  - fold\n{step}  - fold\n  - convert\n")


def test_an_ask_costs_the_same_however_large_the_space_is() -> None:
    """Candidates that are built, and memory, are bounded by the pool, not by the space."""
    space = _huge()
    tracemalloc.start()
    try:
        found = go(space, 11, lambda c: Result((1 + number(c, "x"), number(c, "y")), {}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 11
    assert peak < 30e6


def test_asking_takes_milliseconds_after_many_trials() -> None:
    """Measured 40 ms at 1,000 trials on one core; the test admits a machine that is busy."""
    space = auto(WIDE)
    strategy = make_strategy(space, VOCABULARY)
    keys = set()
    for candidate in random_ones(space, 400):
        strategy.tell(candidate, outcome(candidate))
        keys.add(candidate.key)
    strategy.propose(400, Known(keys))  # fits the weights
    started = time.process_time()
    for n in range(401, 404):
        assert strategy.propose(n, Known(keys)) is not None
    assert (time.process_time() - started) / 3 < 0.3
