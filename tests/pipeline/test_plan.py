"""Which candidates share a measurement, and which model is measured for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluators import all_evaluators
from evaluators.latency import Latency
from search_spaces.candidates import Candidate, CandidateStep, complete
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.passes import Pass, StageContext, all_passes
from tuner.pipeline.plan import MeasurementPlan, Source, measurement_plan, plan

SOURCE = Source("a" * 64, "text-classification", {"train": "b" * 64, "dev": "c" * 64})


class Toy(Pass):
    """A pass that is never run."""

    def __init__(self, spec: PassSpec) -> None:
        self.spec = spec  # type: ignore[misc]

    def run(self, context: StageContext) -> None:
        raise NotImplementedError


def toy(name: str, accepts: str, gives: str, *changes: Aspect) -> Toy:
    formats = frozenset({accepts})
    return Toy(PassSpec(name, 1, "A toy.", (), formats, gives, frozenset(changes)))


PASSES: Mapping[str, Pass] = {
    "tune": toy("tune", "hf", "hf", Aspect.WEIGHTS),
    "export": toy("export", "hf", "onnx", Aspect.STRUCTURE),
    "build": toy("build", "hf", "genai", Aspect.STRUCTURE),
    "session": all_passes()["session"],
}


def measured(
    metric: str, built: str, /, session: dict[str, Value] | None = None, tune: bool = False
) -> MeasurementPlan:
    """Where and under which key a metric of tune (if so), export or build, and session is known."""
    steps = [CandidateStep("tune", PASSES["tune"].spec, {})] if tune else []
    steps.append(CandidateStep(built, PASSES[built].spec, {}))
    if session is not None:
        spec = PASSES["session"].spec
        model_format = str(PASSES[built].spec.gives)
        steps.append(CandidateStep("session", spec, complete(spec, session, model_format)))
    evaluator = all_evaluators()[metric]
    options: dict[str, Any] = {p.name: p.default for p in evaluator.spec.parameters}
    stages = plan(Candidate({}, tuple(steps)), SOURCE, PASSES)
    return measurement_plan(evaluator, options, stages, PASSES, SOURCE, "dev", {"cpu": "one"})


class Reader(Latency):
    """An evaluator with an option that names a file."""

    spec = replace(Latency.spec, parameters=(ParameterSpec("text", Path, None, "what to read"),))


def key_of_reading(path: Path | None) -> str:
    """The key of what `Reader` measures with that file."""
    step = CandidateStep("build", PASSES["build"].spec, {})
    stages = plan(Candidate({}, (step,)), SOURCE, PASSES)
    options: dict[str, Value] = {"text": None if path is None else str(path)}
    return measurement_plan(Reader(), options, stages, PASSES, SOURCE, "dev", {}).key(0)


def test_the_content_of_an_option_s_file_is_in_the_key_and_its_place_is_not(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    for path in (one, two):
        path.write_text("Once upon a time.")
    assert key_of_reading(one) == key_of_reading(two) != key_of_reading(None)
    two.write_text("Twice upon a time.")
    assert key_of_reading(one) != key_of_reading(two)


class Environment(Latency):
    """An evaluator whose numbers depend on something else."""

    def __init__(self, found: Mapping[str, str]) -> None:
        self.found = found

    def environment(self, options: Mapping[str, Value]) -> Mapping[str, str]:
        return self.found


def test_what_else_an_evaluator_depends_on_is_in_the_key() -> None:
    stages = plan(
        Candidate({}, (CandidateStep("build", PASSES["build"].spec, {}),)), SOURCE, PASSES
    )
    keys = {
        measurement_plan(Environment(found), {}, stages, PASSES, SOURCE, "dev", {}).key(0)
        for found in ({}, {"function": "a"}, {"function": "b"})
    }
    assert len(keys) == 3


@pytest.mark.parametrize("name", ["accuracy", "perplexity", "divergence"])
def test_other_rows_are_another_measurement_of_what_is_read_from_them(name: str) -> None:
    def key(rows: str, **changes: Value) -> str:
        evaluator = all_evaluators()[name]
        options: dict[str, Any] = {p.name: p.default for p in evaluator.spec.parameters}
        source = replace(SOURCE, data_keys={"train": "t", "dev": rows})
        step = CandidateStep("build", PASSES["build"].spec, {})
        stages = plan(Candidate({}, (step,)), source, PASSES)
        known = options | changes
        return measurement_plan(evaluator, known, stages, PASSES, source, "dev", {}).key(0)

    assert key("one") != key("another")
    if name != "accuracy":
        assert key("one", file=__file__) == key("another", file=__file__)


OPENVINO: dict[str, Value] = {"execution_provider": "openvino"}


def test_stages_know_the_formats_between_them() -> None:
    spec = PASSES["session"].spec
    steps = (
        CandidateStep("tune", PASSES["tune"].spec, {}),
        CandidateStep("export", PASSES["export"].spec, {}),
        CandidateStep("session", spec, complete(spec, {}, "onnx")),
    )
    stages = plan(Candidate({}, steps), SOURCE, PASSES)
    formats = [(stage.input_format, stage.output_format) for stage in stages]
    assert formats == [("hf", "hf"), ("hf", "onnx"), ("onnx", "onnx")]


def test_two_thread_counts_share_an_accuracy_and_no_latency() -> None:
    one, two = ({"intra_op_num_threads": n} for n in (1, 2))
    assert measured("accuracy", "export", one) == measured("accuracy", "export", two)
    assert measured("accuracy", "export", one) == measured("accuracy", "export")
    assert measured("latency", "export", one) != measured("latency", "export", two)


def test_two_fine_tunings_share_a_latency_and_no_accuracy() -> None:
    for built in ("export", "build"):
        tuned, plain = (measured("latency", built, tune=tune) for tune in (True, False))
        assert tuned.key(0) == plain.key(0)
        tuned, plain = (measured("accuracy", built, tune=tune) for tune in (True, False))
        assert tuned.key(0) != plain.key(0)


def test_accuracy_is_measured_before_a_session_that_computes_as_ever() -> None:
    assert measured("accuracy", "export", {"intra_op_num_threads": 1}).position == 0
    assert measured("latency", "export", {"intra_op_num_threads": 1}).position == 1


def test_accuracy_is_measured_on_the_provider_that_computes_differently() -> None:
    found = measured("accuracy", "export", OPENVINO)
    assert found.position == 1
    assert found.key(0) != measured("accuracy", "export").key(0)
    precise = OPENVINO | {"inference_precision": "fp32"}
    assert measured("accuracy", "export", precise).key(0) != found.key(0)


@pytest.mark.parametrize("built", ["export", "build"])
@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads_share_an_accuracy_on_openvino_too(built: str, threads: int) -> None:
    found = measured("accuracy", built, OPENVINO | {"intra_op_num_threads": threads})
    assert found == measured("accuracy", built, OPENVINO | {"intra_op_num_threads": 5})


def test_accuracy_of_a_generating_model_is_measured_once_for_all_levels_of_optimisation() -> None:
    level: dict[str, Value] = {"graph_optimization_level": "basic"}
    assert measured("accuracy", "build", level) == measured("accuracy", "build")
    assert measured("accuracy", "export", level) != measured("accuracy", "export")
    assert measured("accuracy", "build", OPENVINO) != measured("accuracy", "build")


def test_size_is_measured_once_for_all_sessions() -> None:
    assert measured("size", "export", OPENVINO).key(0) == measured("size", "export").key(0)


def test_what_a_pass_changes_decides_where_it_does_not_say_more() -> None:
    pass_ = PASSES["tune"]
    assert pass_.relevant({"a": 1}, frozenset({Aspect.WEIGHTS}), "hf") == {"a": 1}
    aspects = frozenset().union(*(m.depends_on for m in Latency.spec.metrics))
    assert pass_.relevant({"a": 1}, aspects, "hf") is None


def test_a_night_measures_again_and_knows_what_it_measured() -> None:
    step = CandidateStep("build", PASSES["build"].spec, {})
    stages = plan(Candidate({}, (step,)), SOURCE, PASSES)

    def key(night: str | None) -> str:
        found = measurement_plan(Latency(), {}, stages, PASSES, SOURCE, "dev", {}, night=night)
        return found.key(0)

    assert key("monday") == key("monday")
    assert len({key(None), key("monday"), key("tuesday")}) == 3


def test_a_parameter_that_came_later_changes_keys_only_where_it_is_used() -> None:
    spec = replace(
        PASSES["tune"].spec,
        parameters=(ParameterSpec("packing", bool, False, "Came later.", later=True),),
    )
    passes = {"tune": Toy(spec)}

    def keys(parameters: dict[str, Value], of: PassSpec) -> tuple[str, str]:
        steps = (CandidateStep("tune", of, parameters),)
        candidate = Candidate({}, steps)
        [stage] = plan(candidate, SOURCE, passes)
        return stage.key, candidate.key

    before = keys({}, PASSES["tune"].spec)
    assert keys({"packing": False}, spec) == before
    assert not set(keys({"packing": True}, spec)) & set(before)
