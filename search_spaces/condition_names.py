"""Which names a condition may ask about: what is decided above it in the pipeline.

Knows nothing of how a pipeline is written down.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from search_spaces.conditions import Condition, compared_values
from search_spaces.problems import Place, Problems, hint, listed
from search_spaces.vocabulary import ParameterSpec, PassSpec, Value


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A name that was not known where a condition asked about it."""

    name: str
    place: Place
    what: str  # the step or parameter that the condition belongs to
    step: str
    own: tuple[str, ...]  # the step's parameters that could be asked about by their bare names


@dataclass(slots=True)
class Names:
    """The names decided so far. `broken`: some condition cannot be relied on."""

    broken: bool = False
    _steps: dict[str, PassSpec] = field(default_factory=dict)
    _parameters: dict[str, ParameterSpec] = field(default_factory=dict)
    _labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _unknown: list[_Unknown] = field(default_factory=list)

    def add_step(self, step: str, spec: PassSpec) -> None:
        """From here on conditions may ask whether a step is used."""
        self._steps[step] = spec

    def add_parameter(self, step: str, spec: ParameterSpec) -> None:
        """From here on conditions may ask about a parameter."""
        self._parameters[f"{step}.{spec.name}"] = spec

    def add_one_of(self, name: str, labels: tuple[str, ...]) -> None:
        """From here on conditions may ask which alternative is used."""
        self._labels[name] = labels

    def check(
        self,
        condition: Condition,
        place: Place,
        step: str,
        parameter: str | None,
        problems: Problems,
    ) -> None:
        """Note names that are not decided yet, and values that a name never has.

        `parameter`: the one that the condition belongs to; None when it belongs to the step.
        """
        what = step if parameter is None else f"{step}.{parameter}"
        for name in sorted(condition.names):
            if self._full(name, step, parameter) is None:
                own = () if parameter is None else self._own(step)
                self._unknown.append(_Unknown(name, place, what, step, own))
                self.broken = True
        for name, value in compared_values(condition):
            full = self._full(name, step, parameter)
            if full is not None and (message := self._never(full, value)):
                problems.add(place, f"{what}: when: {message}")

    def settle(self, problems: Problems) -> None:
        """Note the names that were not known where a condition asked, now that all are."""
        for unknown in self._unknown:
            problems.add(unknown.place, f"{unknown.what}: when: {self._why(unknown)}")

    def _all(self) -> list[str]:
        return [*self._steps, *self._parameters, *self._labels]

    def _own(self, step: str) -> tuple[str, ...]:
        prefix = f"{step}."
        return tuple(n.removeprefix(prefix) for n in self._parameters if n.startswith(prefix))

    def _full(self, name: str, step: str, parameter: str | None) -> str | None:
        """The full name of what a name means in a condition of `step`, or None."""
        own = f"{step}.{name}"
        if parameter is not None and own in self._parameters:
            return own
        known = name in self._steps or name in self._parameters or name in self._labels
        return name if known else None

    def _why(self, unknown: _Unknown) -> str:
        name, full = unknown.name, f"{unknown.step}.{unknown.name}"
        if unknown.what in (name, full):
            return f"a condition cannot ask about {name}, which it decides"
        for later in (full, name):
            if later in self._parameters or later in self._steps or later in self._labels:
                return f"{later} is decided later; a condition asks about what stands above it"
        if self._is_unset(name, unknown.step):
            return f"{name} is not in the space; give it a value above this line"
        if any(name in (spec.choices or ()) for spec in self._parameters.values()):
            return f"unknown name {name!r}; if the text is meant, write it in quotes"
        near = [n for n in self._parameters if n.endswith(f".{name}")]
        did_you_mean = f"; did you mean {near[0]!r}?" if near else ""
        known = [*unknown.own, *self._all()]
        return f"unknown name {name!r}{did_you_mean or hint(name, known)}"

    def _is_unset(self, name: str, step: str) -> bool:
        """Whether a pass has such a parameter, which the file leaves at its default."""
        owner, dot, parameter = name.rpartition(".")
        spec = self._steps.get(owner if dot else step)
        return spec is not None and any(p.name == parameter for p in spec.parameters)

    def _never(self, full: str, value: Value) -> str | None:
        """Why a name never has a value, or None where it may."""
        if full in self._labels:
            return _not_among(full, value, self._labels[full])
        spec = self._parameters.get(full)
        if spec is None or value is None or spec.type is list:
            return None
        if spec.choices is not None:
            return _not_among(full, value, spec.choices)
        numbers = spec.type in (int, float)
        if isinstance(value, bool) != (spec.type is bool) or isinstance(value, str) == numbers:
            return f"{full} is never {value!r}"
        return None


def _not_among(name: str, value: Value, values: tuple[Value, ...]) -> str | None:
    if value in values:
        return None
    words = [str(v) for v in values]
    return f"{name} is never {value!r}, only {listed(words)}{hint(str(value), words)}"
