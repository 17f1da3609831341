"""What holds for every pass of this package."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest
from pass_support import Runner, filled_in, hashes, next_logits
from safetensors import safe_open

from evaluators.base import Artifact
from search_spaces.vocabulary import Aspect, ParameterSpec, SearchRange, Value
from tuner.passes import all_passes

# Not those of other distributions, such as the tests' own toys, which transform no models.
PASSES = sorted(n for n, p in all_passes().items() if type(p).__module__.startswith("tuner."))
PARAMETERS = [
    pytest.param(spec, id=f"{name}.{spec.name}")
    for name in PASSES
    for spec in all_passes()[name].spec.parameters
]
FORMATS = {"hf", "quantized", "adapter", "onnx", "genai"}

Models = Callable[[str], Artifact]


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


def any_input(name: str, models: Models) -> Artifact:
    return models(min(all_passes()[name].spec.accepts))


def tensors(folder: Path) -> dict[str, tuple[list[int], str]]:
    """Shape and data type of every tensor of a checkpoint."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            found |= {k: (s.get_shape(), s.get_dtype()) for k, s in slices.items()}
    return found


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
    assert len({p.name for p in spec.parameters}) == len(spec.parameters)
    if spec.libraries:
        assert any(list(distributions(name=library)) for library in spec.libraries)


@pytest.mark.parametrize("spec", PARAMETERS)
def test_parameter_declares_legal_default_and_search_values(spec: ParameterSpec) -> None:
    assert is_legal(spec, spec.default)
    for value in searched(spec):
        assert is_legal(spec, value)
    assert spec.help
    assert len(spec.help.splitlines()) == 1
    assert spec.low is None or spec.high is None or spec.low < spec.high


@pytest.mark.parametrize("name", PASSES)
def test_defaults_and_neutral_parameters_pass_the_check(name: str) -> None:
    pass_ = all_passes()[name]
    assert pass_.check(filled_in(pass_, {})) == []
    if pass_.spec.neutral is not None:
        assert pass_.check(filled_in(pass_, dict(pass_.spec.neutral))) == []
        for key, value in pass_.spec.neutral.items():
            assert is_legal(pass_.spec.parameter(key), value)


@pytest.mark.parametrize("name", PASSES)
def test_output_loads_on_its_own_and_runs(name: str, models: Models, run_pass: Runner) -> None:
    made = run_pass(name, any_input(name, models))
    assert np.isfinite(next_logits(made)).all()


@pytest.mark.parametrize("name", PASSES)
def test_input_is_left_as_it_was(name: str, models: Models, run_pass: Runner) -> None:
    given = any_input(name, models)
    before = hashes(given.path)
    run_pass(name, given)
    assert hashes(given.path) == before


@pytest.mark.parametrize("name", [p for p in PASSES if all_passes()[p].spec.deterministic])
def test_same_input_and_parameters_give_the_same_bytes(
    name: str, models: Models, run_pass: Runner
) -> None:
    given = any_input(name, models)
    assert hashes(run_pass(name, given).path) == hashes(run_pass(name, given).path)


@pytest.mark.parametrize("name", PASSES)
def test_model_changes_only_as_declared(name: str, models: Models, run_pass: Runner) -> None:
    spec = all_passes()[name].spec
    given = any_input(name, models)
    made = run_pass(name, given)
    if spec.changes == {Aspect.RUNTIME}:
        after, before = hashes(made.path), hashes(given.path)
        changed = {file for file in before if after.get(file) != before[file]}
        assert after.keys() == before.keys()
        assert changed <= {"genai_config.json"}
    elif Aspect.STRUCTURE not in spec.changes and made.format == "hf":
        like = given.base or given
        assert tensors(made.path) == tensors(like.path)
        assert hashes(made.path).keys() == hashes(like.path).keys()
        assert (made.path / "config.json").read_text() == (like.path / "config.json").read_text()
    elif Aspect.STRUCTURE not in spec.changes:
        assert made.base == given
    else:
        assert made.format != given.format


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
