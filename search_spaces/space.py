"""A space, read and checked: plain data, in the order of the file.

Knows nothing of YAML (see `reader`), of torch or of Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from search_spaces.conditions import Condition
from search_spaces.constraints import Constraint, Objective
from search_spaces.data import DataSpec
from search_spaces.functions import FunctionMetric
from search_spaces.references import Reference
from search_spaces.vocabulary import PassSpec, Value


@dataclass(frozen=True, slots=True)
class Fixed:
    """A parameter with one value."""

    value: Value
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """A parameter that takes one of several values."""

    values: tuple[Value, ...]
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """A numeric parameter between two bounds, both included. No `step` together with `log`."""

    low: float
    high: float
    integer: bool
    log: bool = False
    step: float | None = None
    when: Condition | None = None


Domain = Fixed | Choices | Range


@dataclass(frozen=True, slots=True)
class Step:
    """A pass in the pipeline. `id` is the pass's name, or name_2, name_3 where it comes again.

    `baseline`: the unoptimised model has it too, such as the fine-tuning that gives an encoder
    its classification head.
    """

    id: str
    spec: PassSpec
    parameters: Mapping[str, Domain]
    optional: bool = False
    when: Condition | None = None
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Alternatives, exactly one of which is used; each a sequence of steps (maybe empty).

    `id` is "one_of", "one_of_2", ...; `labels` name the alternatives (the first step's id, or
    "none" for the empty one, which `optional: true` in the file adds).
    """

    id: str
    labels: tuple[str, ...]
    alternatives: tuple[tuple[Step, ...], ...]


def steps_of(item: Step | OneOf) -> tuple[Step, ...]:
    """The steps that a pipeline's item may use: itself, or those of all alternatives."""
    return (item,) if isinstance(item, Step) else tuple(s for a in item.alternatives for s in a)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """`search:` of the file. `max_time` in seconds; None: no limit. `trials` None: no limit."""

    strategy: str = "auto"
    trials: int | None = 20
    max_time: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """`limits:` of the file, per stage and measurement: seconds, and bytes of private memory.

    `fidelity`: a stage that makes another model than its pass can explain ends its trial.
    `faults`: so does a model whose answers are worth nothing.
    """

    time: float = 3600.0
    memory: int | None = None
    fidelity: bool = True
    faults: bool = True


@dataclass(frozen=True, slots=True)
class Space:
    """A whole space. `evaluators` maps an evaluator's name to its options (every one filled in).

    `build_only`: candidates are built and never run, whatever they are built for.
    `functions`: the metrics of the space's own, by name; their options are under `evaluators`.
    `test_model`: the model is a stand-in with random weights, whose faults are none.
    `files`: (evaluator, option) for every option that names a file or folder, or null.
    """

    name: str
    path: Path | None
    model: Reference
    task: str
    data: DataSpec | None
    pipeline: tuple[Step | OneOf, ...]
    evaluators: Mapping[str, Mapping[str, Value]]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    search: SearchSettings = field(default_factory=SearchSettings)
    limits: Limits = field(default_factory=Limits)
    build_only: bool = False
    files: frozenset[tuple[str, str]] = frozenset()
    functions: Mapping[str, FunctionMetric] = field(default_factory=dict)
    test_model: bool = False
