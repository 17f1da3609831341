"""Nothing is dropped in silence: every key of every pass that Olive has is answered."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from olive_drafts import answered, draft_of

from search_spaces.problems import SpaceError
from tuner.olive.draft import Draft, Kind, StepDraft
from tuner.olive.passes import TRANSLATORS, translate, work_on
from tuner.olive.passes.names import FUSIONS, PASSES, TRAINING_ARGS
from tuner.olive.passes.options import BUILDER_OPTIONS
from tuner.registry import vocabulary

SAMPLES: Mapping[str, Any] = {
    "accuracy_level": 4,
    "activation_type": "uint8",
    "algorithm": "k_quant_last",
    "alpha": 32,
    "approach": "static",
    "axis": 0,
    "bits": 4,
    "block_size": 64,
    "calibrate_method": "Entropy",
    "calibration_sampling_size": [100],
    "compute_dtype": "float16",
    "cpu_cores": 2,
    "damp_percent": 0.02,
    "dim_param": ["batch", "sequence"],
    "dim_value": [1, 64],
    "execution_mode_list": [0, 1],
    "extra_options": {},
    "group_size": 64,
    "input_shape": [[1, 64]],
    "inter_thread_num_list": [2],
    "intra_thread_num_list": [1, 2],
    "int4_accuracy_level": 1,
    "int4_algo_config": "rtn",
    "int4_block_size": 64,
    "int4_nodes_to_exclude": ["/lm_head/MatMul"],
    "int4_op_types_to_quantize": ["MatMul"],
    "lora_alpha": 32,
    "lora_dropout": 0.1,
    "lora_r": 8,
    "max_finite_val": 1000.0,
    "min_positive_val": 1e-6,
    "metadata_only": False,
    "mse": 0.5,
    "opt_level": 1,
    "opt_level_list": [1, 99],
    "optimization_options": {},
    "exclude_embeds": False,
    "exclude_lm_head": False,
    "precision": "int8",
    "providers_list": ["CPUExecutionProvider"],
    "q_group_size": 64,
    "quant_format": "QDQ",
    "quant_mode": "static",
    "quant_type": "fp4",
    "r": 8,
    "seed": 3,
    "surgeries": [{"surgeon": "RenameInputs", "old_names": ["a"], "new_names": ["b"]}],
    "target_opset": 18,
    "torch_dtype": "float16",
    "training_args": {},
    "w_bit": 4,
    "weight_only_config": {"bits": 4},
    "weight_type": "uint8",
    **{
        key: ["one"]
        for key in (
            *("target_modules", "op_block_list", "node_block_list", "nodes_to_exclude"),
            *("op_types_to_quantize", "op_types_to_exclude", "force_fp32_ops"),
            *("force_fp32_nodes", "nodes_to_quantize"),
        )
    },
}
"""Values for keys that are no truth values."""

ENCODERS = frozenset(
    [
        "OnnxConversion",
        "OptimumConversion",
        "OnnxOpVersionConversion",
        "DynamicToFixedShape",
        "OrtTransformersOptimization",
        "OnnxPeepholeOptimizer",
        "OnnxFloatToFloat16",
        "OrtMixedPrecision",
        "OnnxDynamicQuantization",
        "OnnxStaticQuantization",
        "OnnxQuantization",
        "IncQuantization",
        "IncDynamicQuantization",
        "IncStaticQuantization",
        "OrtSessionParamsTuning",
    ]
)


def full(type_: str) -> dict[str, Any]:
    values = {key: SAMPLES.get(key, True) for key in sorted(PASSES[type_])}
    is_of_graphs = {"nodes_to_include", "algorithm"} <= set(values)
    return values | ({"algorithm": "RTN"} if is_of_graphs else {})


def test_every_pass_of_olives_is_answered() -> None:
    assert set(TRANSLATORS) == set(PASSES)


@pytest.mark.parametrize("type_", sorted(PASSES))
@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_every_key_of_a_pass_is_answered(type_: str, kind: str) -> None:
    values = full(type_)
    before: list[Any] = [("OnnxConversion", {})] if kind == "encoder" and type_ in ENCODERS else []
    work = work_on(draft_of(*before, (type_, values), kind=kind))
    wheres = {f"passes.p{len(before)}.{key}" for key in values}
    assert wheres <= answered(work)
    assert not [o.where for o in work.draft.omissions if o.group == "no counterpart"]
    assert all(o.reason and o.group for o in work.draft.omissions)


@pytest.mark.parametrize(
    ("type_", "key", "known"),
    [
        ("LoRA", "training_args", TRAINING_ARGS),
        ("OrtTransformersOptimization", "optimization_options", FUSIONS),
        ("ModelBuilder", "extra_options", BUILDER_OPTIONS),
    ],
)
def test_every_key_inside_a_key_is_answered(type_: str, key: str, known: frozenset[str]) -> None:
    values: dict[str, Any] = dict.fromkeys(sorted(known), 1)
    if key != "extra_options":
        values |= dict.fromkeys((n for n in known if n.startswith(("enable_", "use_"))), True)
    numbers = {"lr_scheduler_type": "cosine", "algo_config": "rtn", "block_size": 32}
    odd: dict[str, Any] = {
        "op_types_to_quantize": "MatMul",
        "nodes_to_exclude": "/lm_head/MatMul",
        "moe_quant_type": "int8",
        "qmoe_block_size": 32,
        "linear_attn_op": "linear_attention",
        "paged_block_size": 64,
        "kv_cache_quant_scheme": "none",
        "kv_cache_scale_file": "scales.json",
        "kv_cache_rotation": "none",
        "exclude_embeds": 0,
        "exclude_lm_head": 0,
    }
    told = {name: value for name, value in (numbers | odd).items() if name in known}
    kind = "encoder" if type_.startswith("Ort") else "causal"
    settings = {"precision": "int4", key: values | told} if kind == "causal" else {key: values}
    if type_ == "LoRA":
        settings = {key: values | told}
    work = work_on(draft_of((type_, settings), kind=kind))
    assert {f"passes.p0.{key}.{name}" for name in known} <= answered(work)
    assert not [o.where for o in work.draft.omissions if o.group == "no counterpart"]


@pytest.mark.parametrize("type_", sorted(PASSES))
def test_only_parameters_that_our_passes_have_are_written(type_: str) -> None:
    specs = vocabulary().passes
    for kind in ("causal", "encoder"):
        draft = work_on(draft_of((type_, full(type_)), kind=kind)).draft
        for step in draft.pipeline:
            assert isinstance(step, StepDraft)
            known = {parameter.name for parameter in specs[step.pass_].parameters}
            assert set(step.parameters) <= known


def is_translated(draft: Draft) -> bool:
    try:
        translate(draft)
    except SpaceError:
        return False
    return True


def test_no_value_whatever_is_more_than_a_problem() -> None:
    """Wrong values of every sort, everywhere: a SpaceError at worst."""
    chance = random.Random(0)
    odd = [
        None,
        True,
        -1,
        2.5,
        1e400,
        "x",
        "",
        [],
        [None],
        [[1]],
        {},
        {"a": 1},
        "SEARCHABLE_VALUES",
    ]
    outcomes = set()
    for type_ in sorted(PASSES):
        for kind in ("causal", "encoder"):
            for _ in range(12):
                values = full(type_)
                for key in chance.sample(sorted(values), min(3, len(values))):
                    values[key] = chance.choice(odd)
                draft = draft_of((type_, values), kind=kind, search={"sampler": "tpe"})
                outcomes.add(is_translated(draft))
    assert outcomes == {True, False}


def test_vendors_and_what_cannot_be_done_have_a_kind() -> None:
    for type_, kind in (
        ("OpenVINOConversion", Kind.ELSEWHERE),
        ("EPContextBinaryGenerator", Kind.ELSEWHERE),
        ("VitisGenerateModelLLM", Kind.ELSEWHERE),
        ("SDLoRA", Kind.CANNOT),
        ("AddOliveMetadata", Kind.ASIDE),
    ):
        draft = work_on(draft_of((type_, {}))).draft
        assert {omission.kind for omission in draft.omissions} == {kind}
