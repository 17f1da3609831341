"""Whether a candidate's model is opened with an execution provider that can run it.

Looks across the steps of a pipeline, before anything runs. Knows nothing of what this machine has
(see `evaluators.runtimes.providers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from search_spaces.problems import listed
from search_spaces.vocabulary import PassSpec, Value

PARAMETER = "execution_provider"
"""The parameter by which a pass builds for a provider, or opens with one."""

ASK_NOBODY = "auto"
"""Its value where a step leaves the choice to the others."""

DEFAULT = "cpu"

_ALSO_RUNS_ON = {"cpu": frozenset({"openvino"})}
"""What else can open a graph that was built for a provider."""


class Planned(Protocol):
    """A step with its parameters, as candidates and plans have them."""

    @property
    def spec(self) -> PassSpec:
        """The pass."""
        ...

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Every parameter."""
        ...


@dataclass(frozen=True, slots=True)
class Clash:
    """A step, by its position, whose result cannot be opened as the candidate says."""

    position: int
    message: str


def opened_with(steps: Sequence[Planned]) -> str:
    """The provider with which the last step's model is opened: what the last one asked says."""
    asked = list(_asked(steps))
    return asked[-1][1] if asked else DEFAULT


def clashes(steps: Sequence[Planned]) -> list[Clash]:
    """The steps whose results do not run on the provider that opens them; empty: all do."""
    provider = opened_with(steps)
    found = []
    for position, step in enumerate(steps):
        runs_on = step.spec.providers
        if runs_on and provider not in runs_on:
            found.append(_clash(position, f"runs on {listed(sorted(runs_on))}", provider))
    for position, built_for in _asked(steps):
        if provider != built_for and provider not in _ALSO_RUNS_ON.get(built_for, ()):
            found.append(_clash(position, f"is built for {built_for}", provider))
    return found


def _asked(steps: Sequence[Planned]) -> Iterator[tuple[int, str]]:
    """The positions of the steps that name a provider, and its name."""
    for position, step in enumerate(steps):
        value = step.parameters.get(PARAMETER, ASK_NOBODY)
        if value not in (ASK_NOBODY, None):
            yield position, str(value)


def _clash(position: int, what: str, provider: str) -> Clash:
    message = f"its model {what}, but would be opened with {provider} ({PARAMETER})"
    return Clash(position, message)
