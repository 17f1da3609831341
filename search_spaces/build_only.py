"""What `--build-only` makes of a space: every candidate is built, none is run.

A metric that depends on the runtime can then not be measured, so nothing asks for it; and no
execution provider is refused for what this machine lacks. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import replace

from search_spaces.expressions import parse_objective
from search_spaces.goals_reader import Goals
from search_spaces.problems import Place, Problems, listed
from search_spaces.vocabulary import Aspect, EvaluatorSpec, PassSpec, Vocabulary

OPTION = "--build-only"

_INSTEAD = "minimize size"


def anywhere(spec: PassSpec) -> PassSpec:
    """The pass, with no value that this machine cannot use."""
    return replace(spec, parameters=tuple(replace(p, unavailable=None) for p in spec.parameters))


def without_runtime(goals: Goals, vocabulary: Vocabulary, problems: Problems) -> None:
    """Drop from `goals` what depends on the runtime, each with a notice.

    Where no objective is left, candidates are compared by size.
    """
    specs = [vocabulary.evaluators[name] for name in goals.evaluators]
    for spec in filter(_needs_runtime, specs):
        _drop(spec, goals, problems)
    if goals.objectives or not specs:
        return
    instead = parse_objective(_INSTEAD, vocabulary)
    goals.objectives.append(instead)
    found = vocabulary.metric(instead.metric)
    assert found is not None, "the objective was read"
    size = found[0]
    goals.evaluators.setdefault(size.name, {p.name: p.default for p in size.parameters})
    goals.places.setdefault(size.name, Place(OPTION))
    problems.notice(Place(OPTION), f"no objective is left; the candidates' is: {_INSTEAD}")


def _needs_runtime(spec: EvaluatorSpec) -> bool:
    return any(Aspect.RUNTIME in metric.depends_on for metric in spec.metrics)


def _drop(spec: EvaluatorSpec, goals: Goals, problems: Problems) -> None:
    names = {metric.name for metric in spec.metrics}
    asks = [o.text for o in goals.objectives if o.metric in names]
    asks += [c.text for c in goals.constraints if c.metric in names]
    goals.objectives = [o for o in goals.objectives if o.metric not in names]
    goals.constraints = [c for c in goals.constraints if c.metric not in names]
    del goals.evaluators[spec.name]
    message = f"{spec.name} is not measured, since nothing is run"
    left_out = f"; left out: {listed(asks, 'and')}" if asks else ""
    problems.notice(Place(OPTION), message + left_out)
