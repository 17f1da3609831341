"""What is opened with what: across the steps of a candidate, and over a whole space."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from search_spaces import Overrides, parse_space
from search_spaces.space import Space
from search_spaces.vocabulary import PassSpec, Value
from tuner.passes import all_passes
from tuner.pipeline.providers import clashes, opened_with
from tuner.pipeline.refusals import hopeless
from tuner.registry import vocabulary


@dataclass
class Planned:
    spec: PassSpec
    parameters: dict[str, Value] = field(default_factory=dict)


def step(name: str, provider: str | None = None) -> Planned:
    chosen: dict[str, Value] = {} if provider is None else {"execution_provider": provider}
    return Planned(all_passes()[name].spec, chosen)


def only_on(*providers: str) -> Planned:
    """A pass whose result runs on some providers only."""
    spec = PassSpec("picky", 1, ".", (), frozenset(), None, frozenset())
    return Planned(PassSpec(**{**_fields(spec), "providers": frozenset(providers)}))


def _fields(spec: PassSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in PassSpec.__dataclass_fields__}


@pytest.mark.parametrize(
    ("steps", "provider"),
    [
        ([], "cpu"),
        ([step("lora")], "cpu"),
        ([step("genai_builder", "cuda")], "cuda"),
        ([step("genai_builder", "cuda"), step("session", "auto")], "cuda"),
        ([step("genai_builder", "cpu"), step("session", "openvino")], "openvino"),
    ],
)
def test_last_provider_that_is_named_opens_the_model(steps: list[Planned], provider: str) -> None:
    assert opened_with(steps) == provider


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_model_built_for_the_cpu_runs_there_and_on_openvino(provider: str) -> None:
    assert clashes([step("genai_builder", "cpu"), step("session", provider)]) == []


def test_model_built_for_one_provider_is_not_opened_with_another() -> None:
    [clash] = clashes([step("lora"), step("genai_builder", "cuda"), step("session", "cpu")])
    assert clash.position == 1
    assert clash.message == (
        "its model is built for cuda, but would be opened with cpu (execution_provider)"
    )


def test_result_that_runs_on_some_providers_is_opened_with_one_of_them() -> None:
    assert clashes([only_on("cpu", "cuda")]) == []
    assert clashes([only_on("cuda"), step("session", "cuda")]) == []
    [clash] = clashes([step("lora"), only_on("cuda", "dml"), step("session", "cpu")])
    assert clash.position == 1
    assert "runs on cuda or dml, but would be opened with cpu" in clash.message


def space_of(pipeline: str, model: Path) -> Space:
    text = f"""
model: {model}
task: text-generation
pipeline: {pipeline}
objectives: [minimize size]
"""
    return parse_space(text, None, vocabulary(), Overrides(build_only=True)).space


BUILT = "{genai_builder: {precision: int4, execution_provider: cuda}}"


def test_fixed_pipeline_that_cannot_be_opened_is_hopeless(tiny_llama: Path) -> None:
    space = space_of(f"[{BUILT}, {{session: {{execution_provider: cpu}}}}]", tiny_llama)
    assert hopeless(space, all_passes()) == (
        "genai_builder: its model is built for cuda, but would be opened with cpu "
        "(execution_provider)"
    )


@pytest.mark.parametrize(
    "session",
    [
        "{session: {execution_provider: {choices: [cpu, auto]}}}",
        "{session: {execution_provider: cpu}, optional: true}",
        "{session: {execution_provider: cuda, intra_op_num_threads: {range: [1, 64]}}}",
    ],
)
def test_one_candidate_that_can_be_opened_is_hope(session: str, tiny_llama: Path) -> None:
    assert hopeless(space_of(f"[{BUILT}, {session}]", tiny_llama), all_passes()) is None


def test_space_too_large_to_look_at_is_given_the_benefit_of_the_doubt(tiny_llama: Path) -> None:
    many = "{session: {execution_provider: cpu, intra_op_num_threads: {choices: [%s]}}}"
    large = many % ", ".join(map(str, range(200)))
    wide = BUILT.replace("int4", "int4, block_size: {choices: [16, 32, 64, 128, 256]}")
    twice = wide.replace("int4,", "int4, accuracy_level: {choices: [0, 1, 2, 3, 4]},", 1)
    assert hopeless(space_of(f"[{twice}, {large}]", tiny_llama), all_passes()) is None


def test_a_fixed_combination_that_a_pass_refuses_is_hopeless(tiny_llama: Path) -> None:
    text = "[{genai_builder: {precision: fp16, execution_provider: cpu}}]"
    said = hopeless(space_of(text, tiny_llama), all_passes())
    assert said is not None
    assert said.startswith("genai_builder: precision fp16 cannot run on cpu")
