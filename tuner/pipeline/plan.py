"""From a candidate to its stages, each with the key under which its result is stored.

A key covers all that the result depends on: the pass and its version, every parameter, the key of
what comes in, the content of the data, the versions of the libraries that matter and what else the
pass names. Knows nothing of how stages run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from evaluators.base import Evaluator
from evaluators.parts import parts_of
from search_spaces.candidates import Candidate, digest, plain, told
from search_spaces.paths import content_digest
from search_spaces.vocabulary import ADAPTER, Aspect, EvaluatorSpec, PassSpec, Value, format_of
from tuner.passes.base import Pass

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The model that comes in: its content's key, and the data's key and rows by split.

    `format`: what it is, as `Reference.flow` tells.
    """

    key: str
    task: str
    data_keys: Mapping[str, str]
    rows: Mapping[str, int] = field(default_factory=dict)
    format: str = "hf"


@dataclass(frozen=True, slots=True)
class Stage:
    """One pass applied to one input. `description` is what the key is the digest of.

    `input_format`, `output_format`: of the model that comes in, and of the one that goes out.
    `share`: how much of its training is done (1: all, as of every pass that does not train).
    """

    key: str
    step: str
    spec: PassSpec
    parameters: Mapping[str, Value]
    description: Json
    input_format: str
    output_format: str
    share: float = 1.0


def plan(
    candidate: Candidate,
    source: Source,
    passes: Mapping[str, Pass],
    shares: Mapping[str, float] | None = None,
) -> tuple[Stage, ...]:
    """The stages of a candidate, in order. `shares`: step -> how much of its training to do."""
    stages: list[Stage] = []
    key, flow = source.key, source.format
    for step in candidate.steps:
        spec = step.spec
        description = _description(passes[spec.name], step.parameters, source) | {"input": key}
        share = 1.0 if spec.budget is None else (shares or {}).get(step.id, 1.0)
        description |= {} if share == 1.0 else {"share": share}
        key, given = digest(description), spec.after(flow)
        formats = (format_of(flow), format_of(given))
        stages.append(Stage(key, step.id, spec, step.parameters, description, *formats, share))
        flow = given
    return tuple(stages)


def key_at(stage: Stage, share: float) -> str:
    """The key of the same stage after this share of its training."""
    description = {name: value for name, value in stage.description.items() if name != "share"}
    return digest(description if share == 1.0 else description | {"share": share})


def _description(pass_: Pass, parameters: Mapping[str, Value], source: Source) -> Json:
    spec = pass_.spec
    return {
        "kind": "stage",
        "pass": spec.name,
        "version": spec.version,
        "parameters": told(spec, parameters),
        "data": source.data_keys.get("train") if spec.uses_data else None,
        "task": source.task,
        "libraries": library_versions(spec.libraries),
        "environment": dict(pass_.environment(parameters)),
    }


@dataclass(frozen=True, slots=True)
class MeasurementPlan:
    """What an evaluator has to measure for a candidate.

    `position`: the stage whose output it measures (-1: the source). `description`, with the
    number of the process added, is what a measurement's key is the digest of.
    """

    evaluator: str
    position: int
    split: str
    description: Json

    def key(self, process: int) -> str:
        """The key of what one process measured."""
        return digest(self.description | {"process": process})


def measurement_plan(
    evaluator: Evaluator,
    options: Mapping[str, Value],
    stages: tuple[Stage, ...],
    passes: Mapping[str, Pass],
    source: Source,
    split: str,
    machine: Mapping[str, str],
    reference: MeasurementPlan | None = None,
    *,
    own: bool = False,
    night: str | None = None,
) -> MeasurementPlan:
    """Where in a candidate's pipeline a metric is fixed, and under which key it is known.

    `reference`: the same evaluator's plan for the baseline, where it measures against that.
    `own`: of this very model, and shared with none of other weights. `night`: known only to what
    measures for the same night; what was measured before it is measured again.

    What changes nothing that the evaluator's metrics depend on is left out of the key: two thread
    counts share one accuracy, two fine-tunings of one architecture share one latency.
    """
    spec = evaluator.spec
    aspects: frozenset[Aspect] = frozenset().union(*(m.depends_on for m in spec.metrics))
    relevance = aspects | {Aspect.WEIGHTS} if own else aspects
    changes = [_change(stage, passes[stage.spec.name], relevance) for stage in stages]
    changes = [c or _shape(stages[i : i + 2], relevance) for i, c in enumerate(changes)]
    relevant = [i for i, change in enumerate(changes) if change is not None]
    model = [source.key, *(changes[i] for i in relevant)]
    description = {
        "kind": "measurement",
        "evaluator": spec.name,
        "version": spec.version,
        "options": _contents(spec, options),
        "model": digest(model),
        "data": source.data_keys.get(split) if spec.reads_rows(options) else None,
        "libraries": library_versions(spec.libraries),
        "machine": dict(machine) if Aspect.RUNTIME in aspects else None,
    }
    environment = dict(evaluator.environment(options))
    if environment:
        description["environment"] = environment
    parts = parts_of(evaluator, options, source.rows.get(split, 0))
    if parts > 1:
        description["parts"] = parts
    if night is not None:
        description["night"] = night
    if reference is not None:
        description["reference"] = reference.description["model"]
    return MeasurementPlan(spec.name, _measured_position(relevant, stages), split, description)


def _contents(spec: EvaluatorSpec, options: Mapping[str, Value]) -> Json:
    """The options; in place of a path the content of what lies there."""
    files = {p.name for p in spec.parameters if p.type is Path}
    return {n: content_digest(v) if n in files else plain(v) for n, v in options.items()}


def _change(stage: Stage, pass_: Pass, aspects: frozenset[Aspect]) -> Json | None:
    """What a stage changes of these aspects, whatever comes in; None where it changes nothing."""
    found = pass_.relevant(stage.parameters, aspects, stage.input_format)
    if found is None:
        return None
    description = {**stage.description, "input": None}
    if found == stage.parameters:
        return description
    environment = dict(pass_.environment(found))
    return description | {"parameters": told(stage.spec, found), "environment": environment}


def _shape(stages: Sequence[Stage], aspects: frozenset[Aspect]) -> Json | None:
    """The first stage, where the next one keeps its adapter apart: rank and targets are shapes.

    What merging does leaves no trace of an adapter but in the weights.
    """
    kept = len(stages) == 2 and stages[0].output_format == ADAPTER
    if not kept or not stages[1].spec.changes & aspects:
        return None
    return {**stages[0].description, "input": None}


def _measured_position(relevant: list[int], stages: tuple[Stage, ...]) -> int:
    """The last relevant stage; what follows it changes nothing that is measured."""
    return relevant[-1] if relevant else len(stages) - 1


@cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def library_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Installed versions by distribution name; "absent" for one that is not installed."""
    return {name: _version(name) for name in distributions}
