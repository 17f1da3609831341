"""What makes two spaces the same question: everything but the budget.

Knows nothing of the content of models and data; their keys are added by who knows them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from search_spaces.candidates import plain
from search_spaces.space import Choices, Domain, Fixed, OneOf, Space, Step

Json = dict[str, Any]


def describe(space: Space) -> Json:
    """The space as plain data, without its name, its place on disk, its budget and its limits."""
    return {
        "model": space.model.text,
        "task": space.task,
        "data": None if space.data is None else _data(space),
        "pipeline": [_item(item) for item in space.pipeline],
        "metrics": {name: plain(options) for name, options in space.evaluators.items()},
        "objectives": [o.text for o in space.objectives],
        "constraints": [[c.text, c.tolerance] for c in space.constraints],
        "search": {"strategy": space.search.strategy, "seed": space.search.seed},
    } | ({"build_only": True} if space.build_only else {})


def _data(space: Space) -> Json:
    assert space.data is not None
    data = space.data.to_json()
    del data["files"]  # their content counts, not where they lie
    return data


def _item(item: Step | OneOf) -> Json:
    if isinstance(item, OneOf):
        return {"one_of": [[_step(s) for s in a] for a in item.alternatives]}
    return _step(item)


def _step(step: Step) -> Json:
    return {
        "id": step.id,
        "pass": step.spec.name,
        "parameters": {name: _domain(d) for name, d in step.parameters.items()},
        "optional": step.optional,
        "when": step.when.text if step.when else None,
    } | ({"baseline": True} if step.baseline else {})


def _domain(domain: Domain) -> Json:
    when = domain.when.text if domain.when else None
    if isinstance(domain, Fixed):
        return {"value": plain(domain.value), "when": when}
    if isinstance(domain, Choices):
        return {"choices": plain(domain.values), "when": when}
    return asdict(domain) | {"when": when}
