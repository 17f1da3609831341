"""Which candidates cannot work, told before anything of them runs.

A pass refuses combinations of its own parameters; across passes, the provider that opens the model
must be able to run it. Knows nothing of what the model is: that is seen when a stage runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from search_spaces.candidates import enumerate_candidates
from search_spaces.space import Choices, Domain, OneOf, Range, Space, Step
from tuner.passes.base import Pass
from tuner.pipeline.providers import Clash, Planned, clashes

_MANY = 2000


def refusal(steps: Sequence[Planned], passes: Mapping[str, Pass]) -> Clash | None:
    """The first step of a candidate that cannot work, and why; None where all can."""
    for position, step in enumerate(steps):
        problems = passes[step.spec.name].check(step.parameters)
        if problems:
            return Clash(position, "; ".join(problems))
    return next(iter(clashes(steps)), None)


def hopeless(space: Space, passes: Mapping[str, Pass]) -> str | None:
    """Why no candidate of a space can run, or None.

    None too where there are too many candidates to look at; those are refused when they come up.
    """
    first = None
    few = enumerate_candidates(_coarse(space))
    for number, candidate in enumerate(islice(few, _MANY + 1)):
        found = refusal(candidate.steps, passes)
        if found is None or number == _MANY:
            return None
        first = first or f"{candidate.steps[found.position].id}: {found.message}"
    return first


def _coarse(space: Space) -> Space:
    """The space with the two ends of every range in its place."""
    items = [_coarse_item(item) for item in space.pipeline]
    return replace(space, pipeline=tuple(items))


def _coarse_item(item: Step | OneOf) -> Step | OneOf:
    if isinstance(item, Step):
        return _coarse_step(item)
    alternatives = tuple(tuple(map(_coarse_step, steps)) for steps in item.alternatives)
    return replace(item, alternatives=alternatives)


def _coarse_step(step: Step) -> Step:
    return replace(step, parameters={n: _ends(d) for n, d in step.parameters.items()})


def _ends(domain: Domain) -> Domain:
    return Choices((domain.low, domain.high), domain.when) if isinstance(domain, Range) else domain
