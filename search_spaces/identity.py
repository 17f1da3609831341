"""What makes two spaces the same question: everything but the budget.

Knows nothing of the content of models and data; their keys are added by who knows them. Of files
that options name the content counts, not where they lie.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from search_spaces.candidates import plain
from search_spaces.paths import content_digest
from search_spaces.space import Choices, Domain, Fixed, OneOf, Space, Step

Json = dict[str, Any]


def describe(space: Space) -> Json:
    """The space as plain data, without its name, its place on disk, its budget and its limits."""
    return {
        "model": space.model.text,
        "task": space.task,
        "data": None if space.data is None else _data(space),
        "pipeline": [_item(item) for item in space.pipeline],
        "metrics": {name: _options(name, space) for name in space.evaluators},
        "objectives": [o.text for o in space.objectives],
        "constraints": [[c.text, c.tolerance] for c in space.constraints],
        "search": {"strategy": space.search.strategy, "seed": space.search.seed},
    } | _more(space)


def _more(space: Space) -> Json:
    """What few spaces have; where it is not there, nothing tells that it could be."""
    functions = {
        name: [metric.content(), metric.unit, metric.lower_is_better]
        for name, metric in space.functions.items()
    }
    found: Json = {"functions": functions} if functions else {}
    base = space.model.base
    found |= {} if base is None else {"base": base.text}
    found |= {"build_only": True} if space.build_only else {}
    found |= {"test_model": True} if space.test_model else {}
    return (
        found
        | ({} if space.limits.fidelity else {"fidelity": False})
        | ({} if space.limits.faults else {"faults": False})
    )


def _data(space: Space) -> Json:
    assert space.data is not None
    data = replace(space.data, files=()).to_json()
    del data["files"]  # their content counts, not where they lie
    return data


def _options(evaluator: str, space: Space) -> Json:
    return {
        name: content_digest(value) if (evaluator, name) in space.files else plain(value)
        for name, value in space.evaluators[evaluator].items()
    }


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
