"""Decisions as Optuna knows them. Imports Optuna, so only what runs a search loads this."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection

from search_spaces.candidates import Candidate, Decision, build, plain
from search_spaces.constraints import Objective
from search_spaces.space import Choices, Space
from search_spaces.vocabulary import Value


def directions(objectives: Sequence[Objective]) -> list[StudyDirection]:
    """Optuna's directions of the objectives."""
    return [StudyDirection.MINIMIZE if o.minimize else StudyDirection.MAXIMIZE for o in objectives]


def label(value: Value) -> bool | int | float | str | None:
    """A value as a categorical choice: a list becomes its JSON text."""
    return json.dumps(plain(value)) if isinstance(value, tuple) else value


def distribution(decision: Decision) -> BaseDistribution:
    """The Optuna distribution of a decision."""
    domain = decision.domain
    if isinstance(domain, Choices):
        return CategoricalDistribution([label(v) for v in domain.values])
    if domain.integer:
        step = 1 if domain.log else round(domain.step or 1)
        return IntDistribution(round(domain.low), round(domain.high), log=domain.log, step=step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def external(decisions: Mapping[str, Value]) -> dict[str, Any]:
    """A candidate's decisions as Optuna's parameter values."""
    return {name: label(value) for name, value in decisions.items()}


def candidate_distributions(space: Space, candidate: Candidate) -> dict[str, BaseDistribution]:
    """The distribution of every decision that a candidate took, by name."""
    found: dict[str, BaseDistribution] = {}

    def choose(decision: Decision) -> Value:
        found[decision.name] = distribution(decision)
        return candidate.decisions[decision.name]

    build(space, choose)
    return found
