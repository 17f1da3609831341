from __future__ import annotations

import random
from itertools import islice

import pytest
from toy_spaces import CONTINUOUS, HEAD, STAGED, space_of

from search_spaces.candidates import (
    Candidate,
    Decision,
    baseline_candidate,
    build,
    default_candidate,
    enumerate_candidates,
)
from search_spaces.counting import measure
from search_spaces.vocabulary import Value


def names(candidate: Candidate) -> list[str]:
    return [step.id for step in candidate.steps]


def test_the_whole_list_has_every_candidate_once() -> None:
    candidates = list(enumerate_candidates(space_of(STAGED)))
    assert len(candidates) == 80
    assert len({c.key for c in candidates}) == 80


def test_late_decisions_vary_fastest() -> None:
    first, second = islice(enumerate_candidates(space_of(STAGED)), 2)
    different = {k for k in first.decisions if first.decisions[k] != second.decisions[k]}
    assert different == {"settings.threads"}


def test_a_pass_with_nothing_to_do_is_left_out() -> None:
    space = space_of(STAGED)
    with_tuning = default_candidate(space)
    without = build(space, lambda d: False if d.name == "tune_weights" else d.default)
    assert names(with_tuning) == ["tune_weights", "fold", "convert", "settings"]
    assert names(without) == ["convert", "settings"]


def test_only_open_decisions_are_asked() -> None:
    asked: list[str] = []

    def choose(decision: Decision) -> Value:
        asked.append(decision.name)
        return "half" if decision.name == "convert.kind" else decision.default

    candidate = build(space_of(STAGED), choose)
    assert "convert.block" not in asked
    assert candidate.steps[2].parameters["block"] == 32, "an inactive parameter has its default"


def test_candidates_that_run_the_same_have_the_same_key() -> None:
    text = STAGED.replace("{choices: [32, 128], when: \"kind == 'tiny'\"}", "{choices: [32, 128]}")
    space = space_of(text)

    def half(block: int) -> Candidate:
        wanted: dict[str, Value] = {"convert.kind": "half", "convert.block": block}
        return build(space, lambda d: wanted.get(d.name, d.default))

    assert half(32).key != half(128).key
    assert half(32).key == build(space_of(STAGED), _half).key


def _half(decision: Decision) -> Value:
    return "half" if decision.name == "convert.kind" else decision.default


def test_the_default_candidate_takes_the_passes_defaults_where_the_space_has_them() -> None:
    decisions = default_candidate(space_of(STAGED)).decisions
    assert decisions["tune_weights"] is True
    assert decisions["tune_weights.x"] == 1, "2 is no choice: the first one"
    assert decisions["tune_weights.y"] == 2
    assert decisions["settings.threads"] == 1


def test_the_baseline_only_converts() -> None:
    baseline = baseline_candidate(space_of(STAGED))
    assert names(baseline) == ["convert", "settings"]
    assert baseline.steps[0].parameters == {"kind": "full", "block": 32}


def test_alternatives_are_decided_and_each_leads_to_its_own_steps() -> None:
    text = (
        HEAD
        + """
pipeline:
  - one_of:
      - tune_weights: {x: {choices: [1, 2]}}
      - none
  - fold
  - convert:
      kind: {choices: [half, tiny], when: "tune_weights"}
"""
    )
    candidates = list(enumerate_candidates(space_of(text)))
    assert [names(c) for c in candidates] == [["tune_weights", "fold", "convert"]] * 4 + [
        ["convert"]
    ]
    assert measure(space_of(text)).candidates == 5


def test_a_step_that_comes_twice_has_its_own_decisions() -> None:
    text = (
        HEAD
        + """
pipeline:
  - convert
  - settings: {threads: {choices: [1, 2]}}
  - settings: {threads: {choices: [1, 2, 3], when: "settings.threads == 1"}}
"""
    )
    candidates = list(enumerate_candidates(space_of(text)))
    assert len(candidates) == 4
    assert set(candidates[0].decisions) == {"settings.threads", "settings_2.threads"}


def test_a_continuous_range_cannot_be_listed() -> None:
    with pytest.raises(ValueError, match="continuous"):
        list(enumerate_candidates(space_of(CONTINUOUS)))


def test_counting_agrees_with_listing() -> None:
    space = space_of(STAGED)
    candidates = list(enumerate_candidates(space))
    size = measure(space)
    prefixes: dict[str, set[str]] = {}
    for candidate in candidates:
        for position, step in enumerate(candidate.steps):
            prefix = Candidate({}, candidate.steps[: position + 1]).key
            prefixes.setdefault(step.id, set()).add(prefix)
    assert size.candidates == len(candidates)
    assert size.unshared == sum(len(c.steps) for c in candidates)
    assert size.stages == {step: len(keys) for step, keys in prefixes.items()}
    assert size.shared < size.unshared


def test_counting_agrees_with_listing_on_random_spaces() -> None:
    rng = random.Random(1)
    for _ in range(30):
        space = space_of(_random_space(rng))
        candidates = list(enumerate_candidates(space))
        assert measure(space).candidates == len(candidates)
        assert measure(space).unshared == sum(len(c.steps) for c in candidates)


def _random_space(rng: random.Random) -> str:
    def domain() -> str:
        low = rng.randrange(3)
        return rng.choice(
            [f"choices: {list(range(rng.randint(1, 3)))}", f"range: [{low}, {low + 2}]"]
        )

    when = rng.choice(["", ", when: 'x == 1'", ", when: 'x > 0'"])
    late = rng.choice(["", ", when: 'tune_weights'", ", when: 'tune_weights.x in [0, 2]'"])
    return (
        HEAD
        + f"""
pipeline:
  - tune_weights:
      x: {{{domain()}}}
      y: {{{domain()}{when}}}
    optional: {rng.choice(["true", "false"])}
  - fold
  - convert:
      block: {{choices: [32, 64]{late}}}
  - settings
"""
    )


def test_counting_a_huge_space_takes_no_time_that_depends_on_its_size() -> None:
    hundred = "{range: [0, 99]}"
    text = (
        HEAD
        + f"""
pipeline:
  - tune_weights: {{x: {hundred}, y: {hundred}, z: {hundred}}}
  - fold
  - tune_weights: {{x: {hundred}, y: {hundred}, z: {hundred}}}
  - fold
  - convert
"""
    )
    size = measure(space_of(text))
    assert size.candidates == 10**12
    assert size.stages["fold_2"] == 10**12


def test_a_continuous_space_has_no_number_of_candidates() -> None:
    assert measure(space_of(CONTINUOUS)).candidates is None
