"""What holds for every pass of this package, on every kind of model and format that it claims."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import onnx
import pytest
from pass_support import ARCHITECTURES, MAKERS, QUICK, Runner, Zoo, filled_in, hashes, next_logits
from safetensors import safe_open

from evaluators.base import Artifact
from evaluators.fidelity import compare
from search_spaces.data import DataSpec
from search_spaces.parameter_values import read_domain
from search_spaces.problems import Problems
from search_spaces.vocabulary import (
    INPUT,
    KINDS,
    TASKS,
    Aspect,
    ParameterSpec,
    SearchRange,
    Value,
)
from search_spaces.yaml_nodes import compose
from tuner.execution.job import Job, Reason
from tuner.execution.stage_job import RUN_STAGE
from tuner.execution.workers import Workers
from tuner.passes import all_passes
from tuner.pipeline.store import Store

# Not those of other distributions, such as the tests' own toys, which transform no models.
PASSES = sorted(n for n, p in all_passes().items() if type(p).__module__.startswith("tuner."))
PARAMETERS = [
    pytest.param(spec, id=f"{name}.{spec.name}")
    for name in PASSES
    for spec in all_passes()[name].spec.parameters
]
FORMATS = {"hf", "quantized", "adapter", "onnx", "genai"}


def _cases() -> Iterator[tuple[str, str, str]]:
    """Every pass on every architecture of its kinds, in every format that it takes."""
    for name in PASSES:
        spec = all_passes()[name].spec
        for architecture, kind in ARCHITECTURES.items():
            formats = spec.accepts & {"hf", *MAKERS[kind]} if kind in spec.kinds else set()
            yield from ((name, architecture, format_) for format_ in sorted(formats))


CASES = list(_cases())


def is_legal(spec: ParameterSpec, value: Value) -> bool:
    """Whether a value has the parameter's type and is within its bounds."""
    if value is None:
        return spec.nullable
    if spec.type is list:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if type(value) is not spec.type or (spec.choices is not None and value not in spec.choices):
        return False
    if isinstance(value, int | float):
        return (spec.low is None or value >= spec.low) and (spec.high is None or value <= spec.high)
    return True


def searched(spec: ParameterSpec) -> tuple[Value, ...]:
    """The values, or the ends of the range, that a generated space would search."""
    if isinstance(spec.search, SearchRange):
        return (spec.type(spec.search.low), spec.type(spec.search.high))
    return spec.search or ()


def tensors(folder: Path) -> dict[str, tuple[list[int], str]]:
    """Shape and data type of every tensor of a checkpoint."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            found |= {k: (s.get_shape(), s.get_dtype()) for k, s in slices.items()}
    return found


def backbone(folder: Path) -> dict[str, tuple[list[int], str]]:
    """`tensors` without a classification head, and by names that a head does not change."""
    found = tensors(folder)
    prefixes = ("bert.", "model.")
    heads = ("classifier.", "pooler.", "lm_head.")
    bare = {name: value for name, value in found.items() if not name.startswith(heads)}
    for prefix in prefixes:
        bare = {name.removeprefix(prefix): value for name, value in bare.items()}
    return {name: value for name, value in bare.items() if not name.startswith(heads)}


def graph_shape(folder: Path) -> list[tuple[str, tuple[str, ...]]]:
    """The operators of a graph and what they read, without the weights."""
    nodes = onnx.load(folder / "model.onnx", load_external_data=False).graph.node
    return [(node.op_type, tuple(node.input)) for node in nodes]


# Declarations


@pytest.mark.parametrize("name", PASSES)
def test_declaration_names_the_pass_its_formats_and_what_it_changes(name: str) -> None:
    spec = all_passes()[name].spec
    assert spec.name == name
    assert spec.version >= 1
    assert spec.help.endswith(".")
    assert "\n" not in spec.help
    assert spec.accepts
    assert spec.accepts | spec.passes_through <= FORMATS
    assert spec.gives is None or spec.gives in FORMATS
    assert spec.changes
    assert spec.kinds
    assert spec.kinds <= KINDS
    assert set(spec.tasks) <= set(TASKS)
    assert len({p.name for p in spec.parameters}) == len(spec.parameters)
    if spec.libraries:
        assert any(list(distributions(name=library)) for library in spec.libraries)


@pytest.mark.parametrize("name", PASSES)
def test_what_a_format_fixes_is_a_legal_value_of_a_format_that_is_taken(name: str) -> None:
    spec = all_passes()[name].spec
    assert all(spec.takes(flow) for flow in spec.fixes)
    for fixed in spec.fixes.values():
        assert all(is_legal(spec.parameter(key), value) for key, value in fixed.items())


@pytest.mark.parametrize("name", PASSES)
def test_effects_depend_on_parameters_declared_before_with_values_they_can_have(name: str) -> None:
    spec = all_passes()[name].spec
    before: dict[str, ParameterSpec] = {}
    for parameter in spec.parameters:
        for other, values in parameter.applies.items():
            assert values
            if other == INPUT:
                assert set(values) <= FORMATS
                assert set(values) & spec.accepts
            else:
                assert all(is_legal(before[other], value) for value in values)
        before[parameter.name] = parameter


@pytest.mark.parametrize("spec", PARAMETERS)
def test_parameter_declares_legal_default_and_search_values(spec: ParameterSpec) -> None:
    assert spec.name != INPUT
    assert is_legal(spec, spec.default)
    for value in searched(spec):
        assert is_legal(spec, value)
    assert spec.help
    assert len(spec.help.splitlines()) == 1
    assert spec.low is None or spec.high is None or spec.low < spec.high


@pytest.mark.parametrize("spec", PARAMETERS)
def test_a_bad_value_is_refused_when_a_space_is_read(spec: ParameterSpec) -> None:
    bad = "{}" if spec.type is list else "[1, [2]]"
    texts = [bad]
    if spec.choices is not None or spec.type is bool:
        texts.append("neither")
    if spec.low is not None:
        texts.append(repr(spec.low - 1))
    if spec.high is not None:
        texts.append(repr(spec.high + 1))
    for text in texts:
        node = compose(text, "the test", Problems())
        assert node is not None
        problems = Problems()
        assert read_domain(spec, node, spec.name, problems) is None
        assert problems.found


@pytest.mark.parametrize("name", PASSES)
def test_defaults_and_neutral_parameters_pass_the_check(name: str) -> None:
    pass_ = all_passes()[name]
    for format_ in pass_.spec.accepts:
        assert pass_.check(filled_in(pass_, {}, format_)) == []
    if pass_.spec.neutral is not None:
        assert pass_.check(filled_in(pass_, dict(pass_.spec.neutral))) == []
        for key, value in pass_.spec.neutral.items():
            assert is_legal(pass_.spec.parameter(key), value)


# Behaviour


@pytest.mark.parametrize(("name", "architecture", "format_"), CASES)
def test_output_loads_on_its_own_and_runs(
    name: str, architecture: str, format_: str, zoo: Zoo
) -> None:
    given = zoo.model(architecture, format_)
    before = hashes(given.path)
    made = zoo.made(name, architecture, format_)
    logits = next_logits(made)
    assert np.isfinite(logits).all()
    assert logits.std() > 0
    assert hashes(given.path) == before, "the input is left as it was"


@pytest.mark.parametrize(
    ("name", "architecture", "format_"),
    [case for case in CASES if all_passes()[case[0]].spec.deterministic],
)
def test_same_input_and_parameters_give_the_same_bytes(
    name: str, architecture: str, format_: str, zoo: Zoo, run_pass: Runner
) -> None:
    first = zoo.made(name, architecture, format_)
    again = run_pass(name, zoo.model(architecture, format_))
    assert hashes(again.path) == hashes(first.path)


@pytest.mark.parametrize(("name", "architecture", "format_"), CASES)
def test_model_changes_only_as_declared(
    name: str, architecture: str, format_: str, zoo: Zoo
) -> None:
    given, made = zoo.model(architecture, format_), zoo.made(name, architecture, format_)
    changes = all_passes()[name].spec.changes
    if changes == {Aspect.RUNTIME}:
        _assert_only_configuration_differs(given, made)
    elif Aspect.STRUCTURE in changes:
        assert hashes(made.path) != hashes(given.path)
    elif made.format == "adapter":
        assert made.base == given
    else:
        like = given if given.base is None else given.base
        if like.format == "hf":
            assert backbone(made.path) == backbone(like.path)
        assert "quantization_config" not in json.loads((made.path / "config.json").read_text())


def _assert_only_configuration_differs(given: Artifact, made: Artifact) -> None:
    after, before = hashes(made.path), hashes(given.path)
    changed = {file for file in after if after[file] != before.get(file)}
    assert before.keys() <= after.keys()
    assert changed <= {"genai_config.json", "session.json"}
    if made.format == "onnx":
        assert graph_shape(made.path) == graph_shape(given.path)


@pytest.mark.parametrize(("name", "architecture", "format_"), CASES)
def test_output_lies_as_near_to_the_input_as_the_pass_can_explain(
    name: str, architecture: str, format_: str, zoo: Zoo, run_pass: Runner, tones: DataSpec
) -> None:
    pass_ = all_passes()[name]
    parameters = filled_in(pass_, QUICK.get(name, {}), format_)
    tolerance = pass_.tolerance(parameters, format_)
    if tolerance is None:  # training, or what cannot change a number
        return
    given, made = zoo.model(architecture, format_), zoo.made(name, architecture, format_)
    if architecture == "bert" and format_ == "hf":  # which has no head that could say anything
        given = zoo.made("full_finetune", architecture, format_)
        made = run_pass(name, given)
    assert 0 <= compare(given, made, tones).drift.kl < tolerance / 2


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    with Workers(["torch", "transformers", "evaluators.measure"]) as started:
        yield started


@pytest.mark.parametrize(("name", "architecture", "format_"), CASES)
def test_killed_in_the_middle_it_leaves_nothing_half(
    name: str,
    architecture: str,
    format_: str,
    zoo: Zoo,
    tones: DataSpec,
    workers: Workers,
    tmp_path: Path,
) -> None:
    model, pass_ = zoo.model(architecture, format_), all_passes()[name]
    before = hashes(model.path)
    store, key = Store(tmp_path), "a" * 64
    with store.draft(key) as draft:
        payload = {
            "pass": name,
            "parameters": _plain(filled_in(pass_, QUICK.get(name, {}), format_)),
            "model": model.to_json(),
            "output": str(draft.output),
            "task": "text-classification",
            "data": tones.to_json(),
        }
        outcome = workers.run(Job(RUN_STAGE, payload, draft.log, time_limit=0.05))
        ended = outcome.failure is None
        if ended:  # quicker than the limit: then it is whole
            draft.commit({})
    entry = store.get(key)
    assert (entry is not None) == ended
    if entry is not None:
        assert hashes(entry.output) == hashes(zoo.made(name, architecture, format_).path)
    else:
        assert outcome.failure is not None
        assert outcome.failure.reason is Reason.TIMEOUT
    assert not [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    assert hashes(model.path) == before


def _plain(parameters: dict[str, Value]) -> dict[str, object]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("lora", {"target_modules": ()}, "empty"),
        ("lora", {"target_modules": ("all-linear", "q_proj")}, "all-linear"),
        ("genai_builder", {"precision": "bf16"}, "bf16"),
        ("genai_builder", {"precision": "fp16"}, "fp16"),
    ],
)
def test_impossible_combinations_are_refused_before_they_run(
    name: str, changes: dict[str, Value], said: str
) -> None:
    pass_ = all_passes()[name]
    (problem,) = pass_.check(filled_in(pass_, changes))
    assert said in problem
