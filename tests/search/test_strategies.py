"""The contract of strategies: every one goes through the same tests."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec

import pytest
from toy_spaces import CONTINUOUS, HEAD, STAGED, space_of

import search_spaces.candidates as candidates_module
from search_spaces.candidates import Candidate, default_candidate, enumerate_candidates
from search_spaces.space import Space
from tuner.search.strategies import NAMES, Known, Result, Strategy, make_strategy

NEEDS_SCIPY = pytest.mark.skipif(find_spec("scipy") is None, reason="gp needs SciPy")


def every(*names: str) -> list[object]:
    """The strategies, each as a case of its own; those that lack a library are skipped."""
    return [pytest.param(n, marks=NEEDS_SCIPY) if n == "gp" else n for n in names]


SEEDED = tuple(name for name in NAMES if name != "grid")
LEARNING = tuple(name for name in SEEDED if name != "random")
OPTUNA = ("tpe", "nsga2", "gp")


def length(name: str, usual: int) -> int:
    """How many trials a test takes: of gp, which fits several models for each, few."""
    return min(usual, 6) if name == "gp" else usual


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


Outcome = Callable[[Candidate], Result]


def go(
    space: Space, trials: int, told: Sequence[Candidate] = (), becomes: Outcome = outcome
) -> list[Candidate]:
    """Candidates of a study that goes on after `told`, up to `trials` in all."""
    strategy = make_strategy(space)
    for past in told:
        strategy.tell(past, becomes(past))
    tried, seen = list(told), {c.key for c in told}
    while len(tried) < trials:
        candidate = strategy.propose(len(tried), Known(seen))
        if candidate is None:
            break
        strategy.tell(candidate, becomes(candidate))
        tried.append(candidate)
        seen.add(candidate.key)
    return tried


def cases(*names: str) -> Sequence[object]:
    """Strategies with spaces that they can search: grid none without an end, slow ones one."""
    staged = [pytest.param(n, STAGED, id=f"{n}-staged") for n in names if n != "gp"]
    marks = {"gp": NEEDS_SCIPY}
    return staged + [
        pytest.param(n, CONTINUOUS, marks=marks.get(n, ()), id=f"{n}-continuous")
        for n in names
        if n != "grid"
    ]


@pytest.mark.parametrize(("name", "text"), cases(*NAMES))
def test_a_seed_gives_the_same_candidates(name: str, text: str) -> None:
    trials = length(name, 16)
    space = space_of(text, strategy=name, seed="5", trials=str(trials))
    one, two = (go(space, trials) for _ in range(2))
    assert [c.key for c in one] == [c.key for c in two]


@pytest.mark.parametrize("name", every(*SEEDED))
def test_another_seed_gives_other_candidates(name: str) -> None:
    one, two = (go(space_of(STAGED, strategy=name, seed=s, trials="5"), 5) for s in ("5", "6"))
    assert [c.key for c in one] != [c.key for c in two]


@pytest.mark.parametrize(("name", "text"), cases(*NAMES))
def test_nothing_is_proposed_twice_and_every_trial_has_a_candidate(name: str, text: str) -> None:
    trials = length(name, 40)
    tried = go(space_of(text, strategy=name, trials=str(trials)), trials)
    assert len({c.key for c in tried}) == trials


@pytest.mark.parametrize(("name", "text"), cases(*NAMES))
@pytest.mark.parametrize("stopped", [1, 5])
def test_a_study_that_goes_on_tries_what_an_undisturbed_one_would(
    name: str, text: str, stopped: int
) -> None:
    trials = length(name, 18)
    space = space_of(text, strategy=name, seed="3", trials=str(trials))
    whole = go(space, trials)
    continued = go(space, trials, told=whole[:stopped])
    assert [c.key for c in continued] == [c.key for c in whole]


SMALL = STAGED.replace("x: {choices: [1, 4, 16]}\n      y: {range: [0, 2]}", "x: {range: [1, 2]}")
"""(1 + 2) x (2 + 2) x 2 = 24 candidates."""


@pytest.mark.parametrize("name", [n for n in NAMES if n != "gp"])  # see the barred rest below
def test_a_discrete_space_is_exhausted_and_then_there_is_no_proposal(name: str) -> None:
    space = space_of(STAGED, strategy=name)
    tried = go(space, 1000)
    assert {c.key for c in tried} == {c.key for c in enumerate_candidates(space)}


@pytest.mark.parametrize("name", every(*SEEDED))
def test_the_defaults_come_first(name: str) -> None:
    [first] = go(space_of(STAGED, strategy=name), 1)
    assert first.decisions["tune_weights.y"] == 2
    assert first.decisions["convert.kind"] == "full"


@pytest.mark.parametrize(("name", "text"), cases(*NAMES))
def test_decisions_are_of_the_space(name: str, text: str) -> None:
    trials = length(name, 30)
    for candidate in go(space_of(text, strategy=name, trials=str(trials)), trials):
        decisions = candidate.decisions
        assert decisions["convert.kind"] in ("full", "half", "tiny")
        assert ("convert.block" in decisions) == (decisions["convert.kind"] == "tiny")
        rate = decisions.get("tune_weights.rate", 0.5)
        assert isinstance(rate, float)
        assert 0.1 <= rate <= 1.0


# What is barred, and what is under way


def is_tiny(candidate: Candidate) -> bool:
    return candidate.decisions["convert.kind"] == "tiny"


@pytest.mark.parametrize("name", every(*NAMES))
def test_what_is_barred_is_never_proposed_and_a_space_whose_rest_is_barred_is_over(
    name: str,
) -> None:
    space = space_of(SMALL, strategy=name, trials="30")
    strategy, seen = make_strategy(space), set[str]()
    while (candidate := strategy.propose(len(seen), Known(seen, is_tiny))) is not None:
        assert not is_tiny(candidate)
        strategy.tell(candidate, outcome(candidate))
        seen.add(candidate.key)
    assert len(seen) == sum(not is_tiny(c) for c in enumerate_candidates(space)) == 12


@pytest.mark.parametrize("name", every(*NAMES))
def test_barred_defaults_are_not_proposed_either(name: str) -> None:
    space = space_of(STAGED, strategy=name)
    default = default_candidate(space).key
    candidate = make_strategy(space).propose(0, Known((), lambda c: c.key == default))
    assert candidate is not None
    assert candidate.key != default


@pytest.mark.parametrize(("name", "text"), cases(*NAMES))
def test_three_workers_never_get_the_same_candidate(name: str, text: str) -> None:
    trials = length(name, 24)
    strategy = make_strategy(space_of(text, strategy=name, trials=str(trials)))
    seen: set[str] = set()
    pending: list[Candidate] = []
    for number in range(trials):
        candidate = strategy.propose(number, Known(seen, pending=tuple(pending)))
        assert candidate is not None
        assert candidate.key not in seen
        seen.add(candidate.key)
        pending.append(candidate)
        if len(pending) == 3:  # the second was the quickest
            strategy.tell(done := pending.pop(1), outcome(done))


# What became of candidates


WIDE = (
    HEAD
    + """
constraints: ["time<60ms"]
pipeline:
  - tune_weights: {x: {range: [0, 60]}, y: {range: [0, 60]}}
  - fold
  - convert
"""
)


@pytest.mark.parametrize("name", every(*LEARNING))
def test_it_learns_to_stay_where_constraints_hold(name: str) -> None:
    trials, seeds = (12, "1") if name == "gp" else (40, "12")

    def feasible(strategy: str) -> float:
        spaces = [space_of(WIDE, strategy=strategy, seed=s, trials=str(trials)) for s in seeds]
        tried = [c for space in spaces for c in go(space, trials)]
        return sum(outcome(c).violations["time<60ms"] <= 0 for c in tried) / len(tried)

    assert feasible(name) > 2 * feasible("random")


@pytest.mark.parametrize("name", every("auto", "tpe", "gp"))
def test_it_learns_to_stay_away_from_what_fails_for_certain(name: str) -> None:
    text = HEAD + (
        "pipeline:\n  - tune_weights: {x: {range: [0, 60]}, y: {range: [0, 60]}}\n"
        "  - fold\n  - convert\n"
    )

    def becomes(candidate: Candidate) -> Result:
        x, y = (int(str(candidate.decisions[f"tune_weights.{n}"])) for n in ("x", "y"))
        return Result(None, {}) if x > 20 else Result([0.01 * (20 + y), 0.5 + 0.01 * y], {})

    trials = 18 if name == "gp" else 40
    tried = go(space_of(text, strategy=name, trials=str(trials)), trials, becomes=becomes)
    late = tried[trials // 2 :]
    assert sum(becomes(c).failed for c in late) < len(late) / 2  # by chance two of three


@pytest.mark.parametrize("name", every(*NAMES))
@pytest.mark.parametrize(
    "result",
    [Result(None, {"time<60ms": 10.0}), Result(None, {}, transient=True), Result(None, {})],
    ids=["for certain", "transiently", "without constraints"],
)
def test_it_goes_on_where_everything_fails(name: str, result: Result) -> None:
    trials = length(name, 15)
    space = space_of(STAGED, strategy=name, trials=str(trials))
    assert len(go(space, trials, becomes=lambda _: result)) == trials


def ended_early(candidate: Candidate) -> Result:
    """Screened by its twin, or stopped at a rung, or whole."""
    whole = outcome(candidate)
    if whole.objectives is None:
        return whole
    time, quality = whole.objectives
    if time > 0.06:
        return Result(None, whole.violations, known=(None, time))
    return (
        whole
        if quality > 0.6
        else replace(whole, objectives=None, known=(time, quality), share=0.3)
    )


@pytest.mark.parametrize(("name", "text"), cases(*NAMES))
def test_results_of_candidates_that_ended_early_are_accepted(name: str, text: str) -> None:
    trials = length(name, 20)
    space = space_of(text, strategy=name, trials=str(trials))
    whole = go(space, trials, becomes=ended_early)
    assert len({c.key for c in whole}) == trials
    again = go(space, trials, told=whole[:5], becomes=ended_early)
    assert [c.key for c in again] == [c.key for c in whole]


OBJECTIVES = {
    1: ["maximize quality"],
    2: ["minimize time", "maximize quality"],
    3: ["minimize time", "maximize quality", "minimize time.p95"],
}


@pytest.mark.parametrize("name", every(*NAMES))
@pytest.mark.parametrize("count", OBJECTIVES)
@pytest.mark.parametrize("limited", [True, False], ids=["limited", "free"])
def test_one_two_and_three_objectives_with_and_without_constraints(
    name: str, count: int, limited: bool
) -> None:
    def becomes(candidate: Candidate) -> Result:
        result = outcome(candidate)
        if result.objectives is None:
            return result if limited else replace(result, violations={})
        time, quality = result.objectives
        values = {1: [quality], 2: [time, quality], 3: [time, quality, 2 * time - quality]}[count]
        return Result(values, result.violations if limited else {})

    trials = 6 if name == "gp" else 14
    text: str = STAGED.replace(
        "[minimize time, maximize quality]", f"[{', '.join(OBJECTIVES[count])}]"
    )
    text = text if limited else text.replace('constraints: ["time<60ms"]', "")
    space = space_of(text, strategy=name, trials=str(trials))
    assert len(go(space, trials, becomes=becomes)) == trials


# The size of the space


def vast(levels: int) -> str:
    """A space of levels ** 6 candidates."""
    number = f"{{range: [1, {levels}]}}"
    steps = f"  - tune_weights: {{x: {number}, y: {number}, z: {number}}}\n  - fold\n"
    return f"{HEAD}pipeline:\n{steps}{steps}  - convert\n"


def effort(name: str, levels: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Candidates built and the peak of memory (bytes), while ten trials are proposed."""
    walks = 0
    add = candidates_module._Builder.add

    def counted(self: object, item: object) -> None:
        nonlocal walks
        walks += 1
        add(self, item)  # type: ignore[arg-type]

    space = space_of(vast(levels), strategy=name, trials="10")
    go(space, 10)  # what is imported and cached is not counted
    with monkeypatch.context() as patch:
        patch.setattr(candidates_module._Builder, "add", counted)
        tracemalloc.start()
        try:
            assert len(go(space, 10)) == 10
            return walks // len(space.pipeline), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("name", every(*(n for n in NAMES if n != "gp")))
def test_effort_does_not_grow_with_the_space(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    walks, memory = effort(name, 10, monkeypatch)  # a million candidates
    more_walks, more_memory = effort(name, 100, monkeypatch)  # a million million
    assert more_walks < 1.5 * walks + 100
    assert more_memory < 1.5 * memory + 2**20


# Those of Optuna


def optuna_strategy(name: str, text: str, trials: int) -> Strategy:
    return make_strategy(space_of(text, strategy=name, trials=str(trials)))


@pytest.mark.parametrize("name", every(*OPTUNA))
def test_the_best_of_similar_studies_are_tried_after_the_defaults(name: str) -> None:
    strategy = optuna_strategy(name, STAGED, 30)
    tried = [c for c in enumerate_candidates(strategy.space) if outcome(c).objectives]
    for past in tried:
        strategy.recall(past, outcome(past), "older study")
    seen = {default_candidate(strategy.space).key}
    for number in range(1, 4):
        candidate = strategy.propose(number, Known(seen))
        assert candidate is not None
        assert outcome(candidate).violations["time<60ms"] <= 0
        values = outcome(candidate).objectives
        assert values is not None
        feasible = [r for c in tried if max((r := outcome(c)).violations.values()) <= 0]
        assert not any(
            r.objectives and r.objectives[0] < values[0] and r.objectives[1] > values[1]
            for r in feasible
        )
        seen.add(candidate.key)


def test_after_every_generation_nsga2_makes_children_of_the_best() -> None:
    text = HEAD + (
        "pipeline:\n  - tune_weights: {x: {range: [0, 99]}, y: {range: [0, 99]}, "
        "z: {range: [0, 99]}}\n  - fold\n  - convert\n"
    )

    def total(candidate: Candidate) -> int:
        return sum(int(str(candidate.decisions[f"tune_weights.{n}"])) for n in "xyz")

    def becomes(candidate: Candidate) -> Result:
        return Result([float(total(candidate)), -abs(total(candidate) - 30.0)], {})

    first = last = inherited = 0
    for seed in "0123":
        space = space_of(text, strategy="nsga2", seed=seed, trials="60")  # five of twelve
        tried = go(space, 60, becomes=becomes)
        first += sum(map(total, tried[:12]))
        last += sum(map(total, tried[48:]))
        for number, child in enumerate(tried[12:], 12):
            before = [candidate.decisions for candidate in tried[:number]]
            inherited += sum(any(d[n] == v for d in before) for n, v in child.decisions.items())
    assert inherited > 0.6 * 4 * 48 * 3  # of the decisions; by chance every sixth
    assert last < 0.75 * first
