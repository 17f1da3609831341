"""The space of a study as its database holds it, on whatever machine the database is read.

Its model, its files and its plug-ins need not be here: what a study tells of passes and evaluators
that are not installed stands in for their declarations. Runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import yaml

from evaluators import all_evaluators
from evaluators.base import Artifact, Estimate, Evaluator, Measurement, MeasurementError
from evaluators.function import function_evaluators
from search_spaces import Overrides, parse_space
from search_spaces.data import DataSpec
from search_spaces.problems import SpaceError
from search_spaces.space import Space
from search_spaces.vocabulary import (
    Aspect,
    EvaluatorSpec,
    MetricSpec,
    ParameterSpec,
    PassSpec,
    Value,
    Vocabulary,
)
from tuner.registry import vocabulary
from tuner.study.api import Study, Trial
from tuner.study.rows import MetricRow

_LESS_IS_BETTER = ("s", "B", "J", "bits/B")  # where neither objective nor constraint says it


@dataclass(frozen=True)
class StoredSpace:
    """A study's space, and the words in which it is written.

    `space`: without what a command line changed in it; None where it cannot be read any more, for
    the reason that `problem` gives. `words`: with the metrics of the space's own. `lacking`: the
    passes and evaluators that are not installed here.
    """

    space: Space | None
    problem: str | None
    words: Vocabulary
    evaluators: Mapping[str, Evaluator]
    lacking: tuple[str, ...] = ()


_known: WeakKeyDictionary[Study, StoredSpace] = WeakKeyDictionary()


def stored_space(study: Study) -> StoredSpace:
    """The space of a study, first as this machine has it, then with what it lacks stood in for.

    Read once for each `Study`.
    """
    if study not in _known:
        _known[study] = _stored_space(study)
    return _known[study]


def _stored_space(study: Study) -> StoredSpace:
    installed = vocabulary()
    space, problem = _read(study, installed, elsewhere=False)
    words, absent = installed, dict[str, Evaluator]()
    if space is None:
        space, _ = _read(study, installed, elsewhere=True)
    if space is None:
        words, absent = _with_stand_ins(study, installed)
        space, _ = _read(study, words, elsewhere=True)
    own = {} if space is None else function_evaluators(space)
    specs = {name: found.spec for name, found in own.items()}
    words = Vocabulary(words.passes, {**words.evaluators, **specs})
    engines = {**absent, **all_evaluators(), **own}
    lacking = {*words.passes, *absent} - installed.passes.keys()
    return StoredSpace(
        space, problem if space is None else None, words, engines, tuple(sorted(lacking))
    )


def _read(study: Study, words: Vocabulary, *, elsewhere: bool) -> tuple[Space | None, str | None]:
    info = study.info.space
    text, path = str(info.get("text") or ""), info.get("path")
    place = None if path is None else Path(path)
    problem = None
    for way in (Overrides(), Overrides(model=info.get("model")), Overrides(build_only=True)):
        try:
            return parse_space(text, place, words, way, elsewhere=elsewhere).space, None
        except SpaceError as error:
            problem = problem or str(error.problems[0])
    return None, problem


# What is not installed


class _Absent(Evaluator):
    """Stands for an evaluator that is not installed: its numbers are known, and no more."""

    def __init__(self, spec: EvaluatorSpec) -> None:
        self.spec = spec  # type: ignore[misc]  # an evaluator of its own for every study

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        raise MeasurementError(f"the evaluator {self.spec.name!r} is not installed here")

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        raise MeasurementError(f"the evaluator {self.spec.name!r} is not installed here")


def _with_stand_ins(study: Study, installed: Vocabulary) -> tuple[Vocabulary, dict[str, Evaluator]]:
    trials = [*filter(None, [study.baseline]), *study.trials]  # its values are the defaults
    passes = dict(_passes(trials, study.info.space.get("question")))
    own = set(_functions(str(study.info.space.get("text") or "")))
    specs = {
        name: _evaluator(name, rows, study)
        for name, rows in _by_evaluator(trials).items()
        if name not in installed.evaluators and name not in own
    }
    absent: dict[str, Evaluator] = {name: _Absent(spec) for name, spec in specs.items()}
    words = Vocabulary({**passes, **installed.passes}, {**specs, **installed.evaluators})
    return words, absent


def _functions(text: str) -> Iterator[str]:
    """The metrics that the space measures with functions of its own."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    metrics = found.get("metrics") if isinstance(found, Mapping) else None
    for name, options in metrics.items() if isinstance(metrics, Mapping) else ():
        if isinstance(options, Mapping) and "function" in options:
            yield name


def _passes(trials: Iterable[Trial], question: Any) -> Iterator[tuple[str, PassSpec]]:
    """Every pass with the parameters that the question names, or a trial had."""
    found: dict[str, dict[str, list[Any]]] = {}
    for trial in trials:
        for step in trial.row.steps:
            values = found.setdefault(step["pass"], {})
            for name, value in step["parameters"].items():
                values.setdefault(name, []).append(value)
    for declared in _declared(question):
        values = found.setdefault(declared["pass"], {})
        for name, domain in declared["parameters"].items():
            values.setdefault(name, []).extend(_values(domain))
    for name, parameters in found.items():
        specs = tuple(_parameter(parameter, values) for parameter, values in parameters.items())
        about = "not installed here"
        everything = frozenset(Aspect)
        yield name, PassSpec(name, 0, about, specs, frozenset(), None, everything, neutral={})


def _declared(question: Any) -> Iterator[Mapping[str, Any]]:
    """The steps within what identifies a space, alternatives too."""
    if isinstance(question, Mapping):
        if isinstance(question.get("pass"), str) and isinstance(
            question.get("parameters"), Mapping
        ):
            yield question
            return
        question = list(question.values())
    for part in question if isinstance(question, list) else ():
        yield from _declared(part)


def _values(domain: Any) -> list[Any]:
    if not isinstance(domain, Mapping):
        return []
    ends = [domain[end] for end in ("low", "high", "value") if end in domain]
    return [*(domain.get("choices") or ()), *ends]


def _parameter(name: str, values: Sequence[Any]) -> ParameterSpec:
    known = [v for v in values if v is not None]
    kinds = {type(v) for v in known}
    kind = float if kinds == {int, float} else kinds.pop() if len(kinds) == 1 else str
    default = next(iter(known), None)
    plain = tuple(default) if isinstance(default, list) else default
    return ParameterSpec(name, kind, plain, "not known here", nullable=True)


def _by_evaluator(trials: Iterable[Trial]) -> dict[str, list[MetricRow]]:
    found: dict[str, list[MetricRow]] = {}
    for row in (row for trial in trials for row in trial.metrics.values()):
        if row.evaluator is not None:
            found.setdefault(row.evaluator, []).append(row)
    return found


def _evaluator(name: str, rows: Sequence[MetricRow], study: Study) -> EvaluatorSpec:
    statistics: dict[str, dict[str, None]] = {}
    units: dict[str, str] = {}
    for row in rows:
        units[row.metric] = row.unit
        seen = statistics.setdefault(row.metric, {})
        if row.statistic is not None:
            seen[row.statistic] = None
    metrics = tuple(
        MetricSpec(
            metric,
            unit,
            _less_is_better(study, metric, unit),
            frozenset(Aspect),
            "not installed here",
            tuple(sorted(statistics[metric], key=lambda s: s != "p50")),
        )
        for metric, unit in units.items()
    )
    return EvaluatorSpec(name, 0, "not installed here", (), metrics, frozenset())


def _less_is_better(study: Study, metric: str, unit: str) -> bool:
    for objective in study.info.objectives:
        if objective["metric"] == metric:
            return bool(objective["minimize"])
    for constraint in study.info.constraints:
        if constraint["metric"] == metric:
            return str(constraint["operator"]).startswith("<")
    return unit in _LESS_IS_BETTER
