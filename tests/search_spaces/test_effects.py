"""Parameters that have an effect only beside others, formats that fix values, kinds and tasks."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from sample_space import ACCURACY, GENAI, LORA, MERGE, SESSION, SIZE, SPACE, STRUCTURE, write_data

from search_spaces.candidates import (
    Candidate,
    baseline_candidate,
    build,
    default_candidate,
    enumerate_candidates,
)
from search_spaces.counting import measure
from search_spaces.problems import SpaceError
from search_spaces.reader import parse_space
from search_spaces.space import Space
from search_spaces.vocabulary import INPUT, ParameterSpec, PassSpec, Vocabulary

ROUNDED = {"precision": ("int8", "int4"), INPUT: ("hf",)}
BUILDER = replace(
    GENAI,
    accepts=frozenset({"hf", "quantized"}),
    kinds=frozenset({"causal"}),
    fixes={"quantized": {"precision": "int4"}},
    parameters=(
        GENAI.parameters[0],
        replace(GENAI.parameters[1], applies=ROUNDED),
        ParameterSpec("symmetric", bool, True, "around zero", applies={"block_size": (32,)}),
    ),
)
ROUND = PassSpec(
    name="rtn",
    version=1,
    help="Round weights.",
    parameters=(ParameterSpec("group_size", int, 32, "weights to a scale", low=1),),
    accepts=frozenset({"hf"}),
    gives="quantized",
    changes=STRUCTURE,
    kinds=frozenset({"causal"}),
)
EXPORT = PassSpec(
    name="onnx_export",
    version=1,
    help="Export an encoder.",
    parameters=(),
    accepts=frozenset({"hf"}),
    gives="onnx",
    changes=STRUCTURE,
    kinds=frozenset({"encoder"}),
    tasks=("text-classification",),
    neutral={},
)
TUNE = replace(LORA, name="full_finetune", gives="hf")
PASSES = (LORA, MERGE, BUILDER, SESSION, ROUND, EXPORT, TUNE)
WORDS = Vocabulary(
    {spec.name: spec for spec in PASSES},
    {
        "size": replace(SIZE, formats=frozenset({"genai", "onnx"})),
        "accuracy": replace(ACCURACY, formats=frozenset({"genai", "onnx"})),
    },
)
HEAD = SPACE.split("pipeline:")[0]
TAIL = "objectives: [minimize size]\nsearch: {trials: 3}\n"


def read(folder: Path, pipeline: str, *, head: str = HEAD, words: Vocabulary = WORDS) -> Space:
    text = head + "pipeline:\n" + pipeline + TAIL
    return parse_space(text, write_data(folder), words).space


def problems(folder: Path, pipeline: str, **how: str) -> str:
    with pytest.raises(SpaceError) as caught:
        read(folder, pipeline, **how)  # type: ignore[arg-type]
    return str(caught.value)


def every(space: Space) -> list[Candidate]:
    return list(enumerate_candidates(space))


def test_a_parameter_without_effect_is_not_asked_for(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "  - genai_builder:\n"
        "      precision: {choices: [fp32, int4]}\n"
        "      block_size: {choices: [32, 64]}\n"
        "      symmetric: {choices: [true, false]}\n",
    )
    assert [dict(c.decisions) for c in every(space)] == [
        {"genai_builder.precision": "fp32"},
        {
            "genai_builder.precision": "int4",
            "genai_builder.block_size": 32,
            "genai_builder.symmetric": True,
        },
        {
            "genai_builder.precision": "int4",
            "genai_builder.block_size": 32,
            "genai_builder.symmetric": False,
        },
        {"genai_builder.precision": "int4", "genai_builder.block_size": 64},
    ]


def test_the_count_of_a_space_knows_what_has_no_effect(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "  - rtn:\n    optional: true\n"
        "  - genai_builder:\n"
        "      precision: {choices: [fp32, int8, int4]}\n"
        "      block_size: {choices: [32, 64, 128]}\n"
        "  - session:\n      threads: {choices: [1, 2]}\n",
    )
    assert measure(space).candidates == len(every(space)) == 2 * (1 + 1 + 3 + 3)


def test_what_was_set_without_effect_does_not_make_another_candidate(tmp_path: Path) -> None:
    plain = read(tmp_path, "  - genai_builder: {precision: fp32}\n")
    idle = read(tmp_path, "  - genai_builder: {block_size: 128, precision: fp32}\n")
    assert default_candidate(plain).key == default_candidate(idle).key


def test_a_parameter_that_stands_before_what_decides_its_effect_is_dropped_too(
    tmp_path: Path,
) -> None:
    space = read(
        tmp_path,
        "  - genai_builder:\n"
        "      block_size: {choices: [32, 64]}\n"
        "      precision: {choices: [fp32, int4]}\n",
    )
    assert len({c.key for c in every(space)}) == 3


def test_a_format_fixes_a_parameter(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "  - rtn:\n    optional: true\n"
        "  - genai_builder:\n      precision: {choices: [fp32, int4]}\n",
    )
    rounded = build(space, lambda decision: decision.default)
    assert "genai_builder.precision" not in rounded.decisions
    assert rounded.steps[-1].parameters["precision"] == "int4"
    plain = build(space, lambda d: False if d.name == "rtn" else d.default)
    assert plain.steps[-1].parameters["precision"] == "fp32"


def test_a_value_against_what_the_format_fixes_is_refused(tmp_path: Path) -> None:
    said = problems(tmp_path, "  - rtn\n  - genai_builder: {precision: fp32}\n")
    assert "precision is fp32, but of a quantized model it can only be int4" in said


def test_passes_for_different_kinds_of_model_do_not_go_together(tmp_path: Path) -> None:
    tuned_for_generation = replace(TUNE, kinds=frozenset({"causal"}))
    words = replace(WORDS, passes={**WORDS.passes, "full_finetune": tuned_for_generation})
    with pytest.raises(SpaceError) as caught:
        read(tmp_path, "  - full_finetune\n  - onnx_export\n", words=words)
    said = str(caught.value)
    assert "onnx_export takes encoders, not language models that generate" in said
    assert "(full_finetune takes only those)" in said
    assert "genai_builder would take it" in said


def test_the_kind_of_a_local_model_is_known_before_anything_runs(
    tiny_bert: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    encoder = HEAD.replace("org/tiny", str(tiny_bert))
    causal = HEAD.replace("org/tiny", str(tiny_llama))
    said = problems(tmp_path, "  - genai_builder\n", head=encoder)
    assert "genai_builder takes language models that generate, not encoders" in said
    assert "the model is one" in said
    assert "onnx_export would take it" in said
    assert "takes encoders" in problems(tmp_path, "  - onnx_export\n", head=causal)
    assert read(tmp_path, "  - onnx_export\n", head=encoder).name == "space"


def test_a_pass_for_another_task_is_refused(tmp_path: Path) -> None:
    head = "model: org/tiny\ntask: text-generation\n"
    said = problems(tmp_path, "  - onnx_export\n", head=head)
    assert "onnx_export is for text-classification, not text-generation" in said


def test_a_pass_whose_library_is_missing_names_the_extra_that_brings_it(tmp_path: Path) -> None:
    def words(distribution: str) -> Vocabulary:
        needy = replace(BUILDER, requires={distribution: "rare"})
        return replace(WORDS, passes={**WORDS.passes, "genai_builder": needy})

    assert version("pyyaml")
    read(tmp_path, "  - genai_builder\n", words=words("pyyaml"))
    with pytest.raises(SpaceError, match="needs no-such-thing, which is not installed") as caught:
        read(tmp_path, "  - genai_builder\n", words=words("no-such-thing"))
    assert "`rare`" in str(caught.value)


def test_a_metric_whose_library_is_missing_names_the_extra_that_brings_it(tmp_path: Path) -> None:
    def words(distribution: str) -> Vocabulary:
        needy = replace(SIZE, requires={distribution: "rare"})
        return replace(WORDS, evaluators={**WORDS.evaluators, "size": needy})

    read(tmp_path, "  - genai_builder\n", words=words("pyyaml"))
    with pytest.raises(SpaceError, match="size needs no-such-thing, which is not") as caught:
        read(tmp_path, "  - genai_builder\n", words=words("no-such-thing"))
    assert "the extra `rare` of this program" in str(caught.value)


ENCODER = (
    "  - full_finetune:\n"
    "      learning_rate: {range: [1e-4, 1e-3], log: true}\n"
    "      max_steps: 50\n"
    "      r: {choices: [1, 2], when: max_steps == 50}\n"
    "    baseline: true\n"
    "  - onnx_export\n"
)


def test_the_baseline_has_the_steps_that_the_space_counts_to_it(tmp_path: Path) -> None:
    first, second = baseline_candidate(read(tmp_path, ENCODER)).steps
    assert (first.id, second.id) == ("full_finetune", "onnx_export")
    values = first.parameters
    assert (values["learning_rate"], values["max_steps"], values["r"]) == (2e-4, 50, 1)


def test_the_baseline_takes_the_alternative_that_is_counted_to_it(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "  - one_of:\n    - none\n    - full_finetune: {max_steps: 7}\n      baseline: true\n"
        "  - onnx_export\n",
    )
    assert [s.id for s in baseline_candidate(space).steps] == ["full_finetune", "onnx_export"]


def test_another_baseline_is_another_question(tmp_path: Path) -> None:
    from search_spaces.identity import describe

    with_it, without = ENCODER, ENCODER.replace("    baseline: true\n", "")
    assert describe(read(tmp_path, with_it)) != describe(read(tmp_path, without))
