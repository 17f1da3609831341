"""Whether the passes of a pipeline fit one another, in every combination that can come up.

Follows the model's format and kind through optional steps, alternatives and conditions, before
anything runs. Knows nothing of files and lines: a misfit names its step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from search_spaces.candidates import (
    effect_names,
    holds,
    is_continuous,
    is_open,
    option,
    option_count,
)
from search_spaces.conditions import Condition
from search_spaces.kinds import kind_words
from search_spaces.problems import listed
from search_spaces.space import Choices, Domain, Fixed, OneOf, Range, Step
from search_spaces.vocabulary import (
    KINDS,
    EvaluatorSpec,
    MetricSpec,
    PassSpec,
    Value,
    format_of,
)

_MAX_STATES = 500
_MAX_VALUES = 64
_MODEL = "the model"  # in place of a step: what comes in


@dataclass(frozen=True, slots=True)
class Misfit:
    """A step that cannot take what comes in, or an evaluator or metric not of what goes out."""

    name: str
    message: str
    is_step: bool


@dataclass(frozen=True, slots=True)
class _State:
    """What a combination of decisions has led to. `skipped`: what was left out since `giver`.

    `kinds`: of which kind the model may be; `narrower`: the step that last made them fewer.
    """

    model_format: str
    giver: str
    skipped: tuple[str, ...]
    scope: tuple[tuple[str, Value], ...]
    kinds: frozenset[str] = KINDS
    narrower: str = _MODEL

    def knowing(self, name: str, value: Value) -> _State:
        known = tuple(item for item in self.scope if item[0] != name)
        return replace(self, scope=tuple(sorted((*known, (name, value)), key=lambda i: i[0])))


def misfits(
    items: Iterable[Step | OneOf],
    evaluators: Iterable[EvaluatorSpec],
    passes: Mapping[str, PassSpec],
    task: str | None = None,
    kind: str | None = None,
    asked: Iterable[tuple[EvaluatorSpec, MetricSpec]] = (),
    source: str = "hf",
) -> list[Misfit]:
    """What does not fit, each step or evaluator with each format once.

    `task`: what the model is for, `kind`: "causal" or "encoder", None where that is not known.
    `asked`: the metrics that objectives and constraints name, each with its evaluator. `source`:
    the format of the model that comes in (`Reference.flow`).
    Every misfit can come up. Where conditions ask about more combinations than can be looked at
    in a moment, some may be missed; those candidates are refused when they come up.
    """
    walk = _Walk(tuple(items), passes, task, KINDS if kind is None else frozenset({kind}))
    states = walk.run(source)
    found = dict.fromkeys(walk.found)
    for evaluator in evaluators:
        for state in states:
            if format_of(state.model_format) not in evaluator.formats:
                found.setdefault(_unmeasurable(evaluator, state, passes))
    for evaluator, metric in asked:
        for state in states:
            found_format = format_of(state.model_format)
            if found_format in evaluator.formats and not metric.is_of(found_format):
                found.setdefault(_without(evaluator, metric, state))
    return list(found)


def _unmeasurable(
    evaluator: EvaluatorSpec, state: _State, passes: Mapping[str, PassSpec]
) -> Misfit:
    takes = listed(sorted(evaluator.formats))
    cure = _cure(state, evaluator.formats, passes, "at the end")
    return Misfit(evaluator.name, f"measures {takes}, not {_given(state)}{cure}", is_step=False)


def _without(evaluator: EvaluatorSpec, metric: MetricSpec, state: _State) -> Misfit:
    """A model that the evaluator measures, but that has no such metric."""
    others = [m.name for m in evaluator.metrics if m.is_of(format_of(state.model_format))]
    given = f"{_given(state)}; that has {listed(others, 'and')}"
    message = f"is a metric of {listed(sorted(metric.formats))}, not of {given}"
    return Misfit(metric.name, message, is_step=False)


def _given(state: _State) -> str:
    """The format of what comes in, and where it comes from."""
    verb = "is" if state.giver == _MODEL else "gives"
    return f"{state.model_format}, which {state.giver} {verb}"


class _Walk:
    def __init__(
        self,
        items: tuple[Step | OneOf, ...],
        passes: Mapping[str, PassSpec],
        task: str | None,
        kinds: frozenset[str],
    ) -> None:
        self._items = items
        self._passes = passes
        self._task = task
        self._kinds = kinds
        self._asked = frozenset(_names_asked(items))
        self.found: list[Misfit] = []

    def run(self, source: str) -> list[_State]:
        states = [_State(source, _MODEL, (), (), self._kinds)]
        for item in self._items:
            states = self._item(item, states)
        return states

    def _item(self, item: Step | OneOf, states: list[_State]) -> list[_State]:
        if isinstance(item, Step):
            return self._step(item, states)
        for step in (s for alternative in item.alternatives for s in alternative):
            states = [self._noted(state, step.id, False) for state in states]
        result: list[_State] = []
        for label, alternative in zip(item.labels, item.alternatives, strict=True):
            branch = [self._noted(state, item.id, label) for state in states]
            for step in alternative:
                branch = self._step(step, branch)
            result += branch
        return _distinct(result)

    def _step(self, step: Step, states: list[_State]) -> list[_State]:
        result: list[_State] = []
        used: list[_State] = []
        for state in states:
            unused = self._noted(state, step.id, False)
            if step.spec.skips(state.model_format):
                result.append(unused)
                continue
            applies = holds(step.when, dict(state.scope), "")
            if step.optional or not applies:
                result.append(replace(unused, skipped=(*state.skipped, step.id)))
            if applies and self._fits(step, state) and self._is_for(step, state):
                self._check_fixed(step, state.model_format)
                kinds = state.kinds & step.spec.kinds
                narrower = state.narrower if kinds == state.kinds else step.id
                grown = replace(state, kinds=kinds, narrower=narrower)
                used.append(self._noted(grown, step.id, True))
        return _distinct([*result, *self._used(step, used)])

    def _fits(self, step: Step, state: _State) -> bool:
        """Whether a step takes what comes in; noted when it does not."""
        accepts = step.spec.accepts
        if step.spec.takes(state.model_format):
            return True
        takes, given = listed(sorted(accepts)), _given(state)
        cure = _cure(state, accepts, self._passes, f"before {step.id}")
        self.found.append(Misfit(step.id, f"takes {takes}, not {given}{cure}", is_step=True))
        return False

    def _is_for(self, step: Step, state: _State) -> bool:
        """Whether a step is made for such a model and task; noted when it is not."""
        spec = step.spec
        if self._task is not None and self._task not in spec.tasks:
            message = f"is for {listed(sorted(spec.tasks))}, not {self._task}"
            self.found.append(Misfit(step.id, message, is_step=True))
            return False
        if state.kinds & spec.kinds:
            return True
        is_model = state.narrower == _MODEL
        has = "the model is one" if is_model else f"{state.narrower} takes only those"
        takes, given = kind_words(spec.kinds), kind_words(state.kinds)
        message = f"takes {takes}, not {given} ({has}){self._sibling(step, state)}"
        self.found.append(Misfit(step.id, message, is_step=True))
        return False

    def _sibling(self, step: Step, state: _State) -> str:
        """Which passes do take such a model and give what this one gives."""
        fitting = [
            spec.name
            for spec in self._passes.values()
            if state.kinds & spec.kinds
            and spec.takes(state.model_format)
            and spec.gives not in (None, state.model_format)
            and (spec.neutral is None) == (step.spec.neutral is None)
        ]
        return f"; {listed(fitting)} would take it" if fitting else ""

    def _check_fixed(self, step: Step, model_format: str) -> None:
        """Note a parameter that cannot have the only value that this format leaves."""
        for name, only in step.spec.fixes.get(model_format, {}).items():
            domain = step.parameters.get(name)
            if domain is None or not isinstance(domain, (Fixed, Choices)):
                continue
            values = (domain.value,) if isinstance(domain, Fixed) else domain.values
            if only not in values:
                found = listed(str(value) for value in values)
                message = f"{name} is {found}, but of a {model_format} model it can only be {only}"
                self.found.append(Misfit(step.id, message, is_step=True))

    def _used(self, step: Step, states: list[_State]) -> list[_State]:
        for name, domain in step.parameters.items():
            grown = (s for state in states for s in self._values(step, name, domain, state))
            states = _distinct(grown)
        if step.spec.gives is None:
            return states
        after = step.spec.after
        return [
            replace(s, model_format=after(s.model_format), giver=step.id, skipped=())
            for s in states
        ]

    def _values(self, step: Step, name: str, domain: Domain, state: _State) -> Iterator[_State]:
        full = f"{step.id}.{name}"
        scope = dict(state.scope)
        if full not in self._asked or not is_open(step, name, scope, state.model_format):
            yield state
            return
        for value in _some_values(domain):
            yield state.knowing(full, value)

    def _noted(self, state: _State, name: str, value: Value) -> _State:
        return state.knowing(name, value) if name in self._asked else state


def _distinct(states: Iterable[_State]) -> list[_State]:
    """One state for each format, giver and scope; at most so many that it takes no time."""
    found: dict[tuple[object, ...], _State] = {}
    for state in states:
        found.setdefault((state.model_format, state.giver, state.scope, state.kinds), state)
        if len(found) == _MAX_STATES:
            break
    return list(found.values())


def _some_values(domain: Domain) -> list[Value]:
    """The values of a domain; of very many, or of a continuous range, the two ends."""
    if isinstance(domain, Fixed):
        return [domain.value]
    if isinstance(domain, Range) and (is_continuous(domain) or option_count(domain) > _MAX_VALUES):
        return [domain.low, domain.high]
    if isinstance(domain, Choices):
        return list(domain.values)[:_MAX_VALUES]
    return [option(domain, i) for i in range(option_count(domain))]


def _cure(state: _State, wanted: frozenset[str], passes: Mapping[str, PassSpec], where: str) -> str:
    """Which pass would make the model fit, and whether it is there but can be left out."""
    fitting = [
        spec.name
        for spec in passes.values()
        if spec.takes(state.model_format) and spec.gives in wanted
    ]
    for step in state.skipped:
        if any(step == name or step.startswith(f"{name}_") for name in fitting):
            return f"; {step} would give what fits, so it must not be left out"
    return f"; {listed(fitting)} {where} would give what fits" if fitting else ""


def _names_asked(items: Iterable[Step | OneOf]) -> Iterator[str]:
    """The full names of all that some condition asks about."""
    for item in items:
        steps = (item,) if isinstance(item, Step) else [s for a in item.alternatives for s in a]
        for step in steps:
            yield from _full_names(step.when, step)
            yield from effect_names(step)
            for domain in step.parameters.values():
                yield from _full_names(domain.when, step)


def _full_names(condition: Condition | None, step: Step) -> Iterator[str]:
    for name in () if condition is None else condition.names:
        yield name
        yield f"{step.id}.{name}"
