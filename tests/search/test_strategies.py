"""The contract of strategies: every one goes through the same tests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from toy_spaces import CONTINUOUS, HEAD, STAGED, space_of

from search_spaces.candidates import Candidate, enumerate_candidates
from search_spaces.space import Space
from tuner.search.strategies import NAMES, Known, Result, make_strategy

DISCRETE = [(name, STAGED) for name in NAMES]
CASES = [*DISCRETE, ("tpe", CONTINUOUS), ("random", CONTINUOUS)]


def outcome(candidate: Candidate) -> Result:
    """A made-up result: violations, certain failures and transient ones all occur."""
    values = {k: v for step in candidate.steps for k, v in step.parameters.items()}
    x, y, block = (int(str(values.get(n, 0))) for n in ("x", "y", "block"))
    if block == 128 and y == 1:
        return Result(None, {"time<60ms": 10.0})
    if block == 128 and y == 2:
        return Result(None, {}, transient=True)
    time = 0.01 * (1 + x + {"full": 4, "half": 2, "tiny": 1}[str(values["kind"])])
    return Result([time, 1 - 1 / (2 + x + y)], {"time<60ms": (time - 0.06) / 0.006})


def go(space: Space, trials: int, told: Sequence[Candidate] = ()) -> list[Candidate]:
    """Candidates of a study that goes on after `told`, up to `trials` in all."""
    strategy = make_strategy(space)
    for candidate in told:
        strategy.tell(candidate, outcome(candidate))
    tried, seen = list(told), {c.key for c in told}
    while len(tried) < trials:
        candidate = strategy.propose(len(tried), Known(seen))
        if candidate is None:
            break
        strategy.tell(candidate, outcome(candidate))
        tried.append(candidate)
        seen.add(candidate.key)
    return tried


@pytest.mark.parametrize(("name", "text"), CASES)
def test_a_seed_gives_the_same_candidates(name: str, text: str) -> None:
    one, two = (go(space_of(text, strategy=name, seed="5"), 20) for _ in range(2))
    assert [c.key for c in one] == [c.key for c in two]


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_another_seed_gives_other_candidates(name: str) -> None:
    one, two = (go(space_of(STAGED, strategy=name, seed=s), 20) for s in ("5", "6"))
    assert [c.key for c in one] != [c.key for c in two]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_nothing_is_proposed_twice(name: str, text: str) -> None:
    tried = go(space_of(text, strategy=name), 40)
    assert len({c.key for c in tried}) == 40


@pytest.mark.parametrize(("name", "text"), CASES)
@pytest.mark.parametrize("stopped", [0, 1, 7, 19])
def test_a_study_that_goes_on_tries_what_an_undisturbed_one_would(
    name: str, text: str, stopped: int
) -> None:
    space = space_of(text, strategy=name, seed="3")
    whole = go(space, 20)
    continued = go(space, 20, told=whole[:stopped])
    assert [c.key for c in continued] == [c.key for c in whole]


@pytest.mark.parametrize(("name", "text"), DISCRETE)
def test_a_discrete_space_is_exhausted_and_then_there_is_no_proposal(name: str, text: str) -> None:
    space = space_of(text, strategy=name)
    tried = go(space, 1000)
    assert {c.key for c in tried} == {c.key for c in enumerate_candidates(space)}


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_the_defaults_come_first(name: str) -> None:
    [first] = go(space_of(STAGED, strategy=name), 1)
    assert first.decisions["tune_weights.y"] == 2
    assert first.decisions["convert.kind"] == "full"


@pytest.mark.parametrize(("name", "text"), CASES)
def test_decisions_are_of_the_space(name: str, text: str) -> None:
    for candidate in go(space_of(text, strategy=name), 30):
        decisions = candidate.decisions
        assert decisions["convert.kind"] in ("full", "half", "tiny")
        assert ("convert.block" in decisions) == (decisions["convert.kind"] == "tiny")
        rate = decisions.get("tune_weights.rate", 0.5)
        assert isinstance(rate, float)
        assert 0.1 <= rate <= 1.0


def test_tpe_learns_to_stay_where_constraints_hold() -> None:
    text = (
        HEAD
        + """
constraints: ["time<60ms"]
pipeline:
  - tune_weights: {x: {range: [0, 60]}, y: {range: [0, 60]}}
  - fold
  - convert
"""
    )
    feasible = {
        name: sum(
            outcome(c).violations["time<60ms"] <= 0
            for seed in "123"
            for c in go(space_of(text, strategy=name, seed=seed, trials="40"), 40)
        )
        for name in ("tpe", "random")
    }
    assert feasible["tpe"] > 2 * feasible["random"]


def test_grid_starts_at_once_in_a_space_that_could_never_be_listed() -> None:
    wide = "{range: [0, 99]}"
    passes = f"  - tune_weights: {{x: {wide}, y: {wide}, z: {wide}}}\n  - fold\n"
    text = HEAD + f"pipeline:\n{passes}{passes}  - convert\n"
    for name in NAMES:
        assert len(go(space_of(text, strategy=name), 5)) == 5
