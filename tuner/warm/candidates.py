"""Finds the candidate of an earlier study again in another space, or says why it is not there.

What was run counts, not how it was chosen: a pass that had no choices before and has some now is
the same pass. Knows nothing of results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.candidates import Candidate, Decision, build, is_continuous, plain
from search_spaces.space import Choices, OneOf, Range, Space
from search_spaces.vocabulary import Value
from tuner.report.words import value_text

Json = Mapping[str, Any]


class NotInSpace(Exception):
    """The candidate is not in the space; the message says why, for a person."""


def carry_over(space: Space, decisions: Json, steps: Sequence[Json]) -> Candidate:
    """The space's candidate that runs just these steps; NotInSpace where it has none.

    `decisions` and `steps` as a study stores them: the latter with the value of every parameter.
    A parameter that the study did not know yet must have its default.
    """
    recorded = _Recorded(
        {item.id: item for item in space.pipeline if isinstance(item, OneOf)},
        decisions,
        {step["id"]: step for step in steps},
    )
    candidate = build(space, recorded.choose)
    difference = _difference(candidate, steps)
    if difference is not None:
        raise NotInSpace(difference)
    return candidate


@dataclass(frozen=True, slots=True)
class _Recorded:
    """Answers a space's questions as an earlier candidate would have."""

    alternatives: Mapping[str, OneOf]
    decisions: Json
    steps: Mapping[str, Json]

    def choose(self, decision: Decision) -> Value:
        if decision.name in self.alternatives:
            return self._alternative(self.alternatives[decision.name])
        step, dot, parameter = decision.name.rpartition(".")
        if not dot:
            return decision.name in self.steps
        parameters = self.steps.get(step, {"parameters": {}})["parameters"]
        if parameter not in parameters:
            return decision.default
        return _value_of(decision, parameters[parameter])

    def _alternative(self, item: OneOf) -> str:
        """The alternative whose steps were run; as it was chosen where none of them were."""
        for label, steps in zip(item.labels, item.alternatives, strict=True):
            if any(step.id in self.steps for step in steps):
                return label
        empty = [
            label
            for label, steps in zip(item.labels, item.alternatives, strict=True)
            if all(step.optional for step in steps)
        ]
        chosen = self.decisions.get(item.id)
        return str(chosen) if chosen in item.labels else (*empty, item.labels[0])[0]


def _value_of(decision: Decision, value: Any) -> Value:
    """The domain's own form of a stored value; NotInSpace where it does not have it."""
    found = _in_choices if isinstance(decision.domain, Choices) else _in_range
    known = found(decision.domain, value)  # type: ignore[arg-type]  # each gets its own kind
    if known is None:
        raise NotInSpace(f"{decision.name}={value_text(value)} is no longer in the space")
    return known[0]


def _in_choices(domain: Choices, value: Any) -> tuple[Value] | None:
    for choice in domain.values:
        same = isinstance(choice, bool) == isinstance(value, bool)
        if same and plain(choice) == value:
            return (choice,)
    return None


def _in_range(domain: Range, value: Any) -> tuple[Value] | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not domain.low <= value <= domain.high:
        return None
    if is_continuous(domain) or (domain.log and domain.integer):
        return (value,)
    steps = (value - domain.low) / (domain.step or 1)
    return (value,) if abs(steps - round(steps)) < 1e-9 else None


def _difference(candidate: Candidate, steps: Sequence[Json]) -> str | None:
    """What the candidate runs otherwise than these steps, in words; None where it is the same."""
    ours = [step.spec.name for step in candidate.steps]
    theirs = [step["pass"] for step in steps]
    if ours != theirs:
        return _other_passes(candidate, steps)
    for mine, step in zip(candidate.steps, steps, strict=True):
        found = _other_value(mine.id, plain(mine.parameters), step["parameters"], mine.spec)
        if found is not None:
            return found
    return None


def _other_passes(candidate: Candidate, steps: Sequence[Json]) -> str:
    ours, theirs = [s.id for s in candidate.steps], [s["id"] for s in steps]
    gone = [name for name in theirs if name not in ours]
    if gone:
        return f"{gone[0]} is no longer in the pipeline"
    new = [name for name in ours if name not in theirs]
    return f"{new[0]} is always in the pipeline" if new else "the passes come in another order"


def _other_value(step: str, ours: Json, theirs: Json, spec: Any) -> str | None:
    for name, value in theirs.items():
        if name not in ours:
            return f"{step} no longer has a parameter {name}"
        if ours[name] != value:
            return f"{step}.{name}={value_text(value)} is no longer in the space"
    for name in ours.keys() - theirs.keys():
        if ours[name] != plain(spec.parameter(name).default):
            return f"{step}.{name} is new in the space"
    return None
