"""What Olive's passes become: one small config a family, with its exact values."""

from __future__ import annotations

from typing import Any

import pytest
from olive_drafts import draft_of, kinds, omitted, steps

from search_spaces.problems import SpaceError
from tuner.olive.draft import Draft, Kind
from tuner.olive.passes import translate

RECIPE_2024: dict[str, Any] = {
    "target_modules": ["o_proj", "qkv_proj"],
    "double_quant": True,
    "lora_r": 64,
    "lora_alpha": 64,
    "lora_dropout": 0.1,
    "train_data_config": "rows",
    "eval_dataset_size": 0.3,
    "training_args": {
        "seed": 0,
        "data_seed": 42,
        "per_device_train_batch_size": 1,
        "per_device_eval_batch_size": 1,
        "gradient_accumulation_steps": 4,
        "gradient_checkpointing": False,
        "learning_rate": 0.0001,
        "num_train_epochs": 3,
        "max_steps": 10,
        "logging_steps": 10,
        "evaluation_strategy": "steps",
        "eval_steps": 187,
        "group_by_length": True,
        "adam_beta2": 0.999,
        "max_grad_norm": 0.3,
    },
}
TRAINED: dict[str, Any] = {
    "r": 64,
    "alpha": 64.0,
    "dropout": 0.1,
    "target_modules": ["o_proj", "qkv_proj"],
    "learning_rate": 0.0001,
    "batch_size": 1,
    "gradient_accumulation": 4,
    "max_steps": 10,
    "scheduler": "constant",
    "max_grad_norm": 0.3,
    "loss": "full",
    "packing": True,
    "max_length": 2048,
    "seed": 0,
}
CORPUS = {"corpus_strategy": "join", "source_max_len": 2048, "text_template": "{text}"}


def translated(*passes: Any, **options: Any) -> Draft:
    draft = draft_of(*passes, **options)
    translate(draft)
    return draft


def problems(*passes: Any, **options: Any) -> str:
    with pytest.raises(SpaceError) as caught:
        translate(draft_of(*passes, **options))
    return str(caught.value)


class TestTraining:
    def test_the_recipe_of_2024_keeps_every_value(self) -> None:
        draft = translated(
            ("LoRA", RECIPE_2024),
            ("MergeAdapterWeights", {}),
            ("ModelBuilder", {"precision": "int4"}),
            rows=CORPUS,
        )
        assert steps(draft) == [
            ("lora", TRAINED),
            ("merge_adapter", {}),
            ("genai_builder", {"precision": "int4"}),
        ]
        assert kinds(draft) == {Kind.ASIDE}
        assert "not quantised" in omitted(draft, "passes.p0.double_quant").reason

    def test_qlora_says_how_its_base_is_held(self) -> None:
        told = {"compute_dtype": "bfloat16", "quant_type": "nf4", "double_quant": True}
        ((name, given),) = steps(translated(("qlora", RECIPE_2024 | told), rows=CORPUS))
        assert name == "qlora"
        assert given == TRAINED | {
            "quant_type": "nf4",
            "double_quant": True,
            "compute_dtype": "bf16",
        }

    def test_what_is_not_said_is_what_olive_does_not_what_we_do(self) -> None:
        ((_, given),) = steps(translated(("QLoRA", {"train_data_config": "rows"}), rows={}))
        assert given == {
            "r": 64,
            "alpha": 16.0,
            "dropout": 0.05,
            "double_quant": False,
            "compute_dtype": "bf16",
            "loss": "full",
            "max_length": 1024,
            "packing": True,
            "seed": 42,
            "epochs": 3.0,
            "scheduler": "constant",
        }

    def test_a_schedule_without_warm_up_ignores_it_and_others_do_not(self) -> None:
        arguments: dict[str, Any] = {"warmup_ratio": 0.1, "max_steps": 50}
        constant = translated(("LoRA", {"training_args": arguments}))
        assert "warmup_ratio" not in steps(constant)[0][1]
        arguments |= {"lr_scheduler_type": "cosine", "warmup_steps": 5}
        given = steps(translated(("LoRA", {"training_args": arguments})))[0][1]
        assert (given["scheduler"], given["warmup_ratio"]) == ("cosine", 0.1)

    def test_adapters_of_other_shapes_are_lora_and_it_is_said(self) -> None:
        draft = translated(("LoKr", {"r": 8, "decompose_both": True}))
        assert steps(draft)[0][1]["r"] == 8
        assert "Kronecker" in omitted(draft, "passes.p0.type").reason
        assert steps(translated(("DoRA", {})))[0][1]["dora"] is True

    def test_an_encoder_learns_labels(self) -> None:
        ((_, given),) = steps(translated(("LoRA", {"train_data_config": "rows"}), kind="encoder"))
        assert "loss" not in given
        assert "max_length" not in given

    def test_a_config_that_lists_values_is_a_search_over_them(self) -> None:
        ((_, given),) = steps(translated(("LoRA", {"r": [16, 32], "alpha": "DEFAULT_VALUE"})))
        assert given["r"] == {"choices": [16, 32]}
        assert given["alpha"] == 16.0

    def test_a_search_covers_what_olive_searches_unasked(self) -> None:
        searched = translated(("LoRA", {}), search={"sampler": "tpe"})
        assert steps(searched)[0][1]["r"] == {"choices": [16, 32, 64]}
        barred = translated(("LoRA", {"disable_search": True}), search={"sampler": "tpe"})
        assert steps(barred)[0][1]["r"] == 64


class TestCheckpoints:
    def test_gptq_with_olives_defaults(self) -> None:
        draft = translated(
            ("gptq", {"bits": 4, "sym": False, "group_size": 32, "data_config": "rows"}),
            ("ModelBuilder", {"precision": "int4"}),
            rows={"max_samples": 16, "max_seq_len": 64},
        )
        assert steps(draft) == [
            (
                "gptq",
                {
                    "bits": 4,
                    "group_size": 32,
                    "symmetric": False,
                    "act_order": False,
                    "calibration_samples": 16,
                    "calibration_length": 64,
                },
            ),
            ("genai_builder", {"precision": "int4"}),
        ]

    def test_the_head_in_eight_bits_is_the_builders(self) -> None:
        draft = translated(
            ("SelectiveMixedPrecision", {"algorithm": "kld_gradient", "bits": 4}),
            ("gptq", {"bits": 4, "group_size": 128}),
            (
                "rtn",
                {
                    "bits": 8,
                    "lm_head": True,
                    "embeds": True,
                    "overrides": {"lm_head": {"bits": 8}, "model.embed_tokens": {"bits": 8}},
                },
            ),
            ("ModelBuilder", {"precision": "int4", "int4_block_size": 32}),
        )
        assert [name for name, _ in steps(draft)] == ["gptq", "genai_builder"]
        assert steps(draft)[1][1] == {
            "precision": "int4",
            "head_precision": "int8",
            "algorithm": "rtn",
        }
        assert "same bits" in omitted(draft, "passes.p0.algorithm").reason

    def test_a_head_that_nobody_quantises_is_not_kept_in_eight_bits(self) -> None:
        last: Any = ("SelectiveMixedPrecision", {"algorithm": "k_quant_last"})
        build: Any = ("ModelBuilder", {"precision": "int4"})
        bare = translated(last, ("gptq", {"bits": 4}), build)
        assert "head_precision" not in steps(bare)[1][1]
        whole = translated(last, ("gptq", {"bits": 4, "lm_head": True}), build)
        assert steps(whole)[1][1]["head_precision"] == "int8"

    def test_rows_as_wide_as_the_matrix_become_groups_and_it_is_said(self) -> None:
        draft = translated(("GptqModel", {"group_size": -1, "bits": 2}))
        given = steps(draft)[0][1]
        assert (given["group_size"], given["bits"], given["damp_percent"]) == (128, 4, 0.05)
        assert omitted(draft, "passes.p0.group_size").kind is Kind.OMITTED
        assert omitted(draft, "passes.p0.bits").kind is Kind.OMITTED

    def test_awq_of_both_generations(self) -> None:
        for bits in ("bits", "w_bit"):
            ((name, given),) = steps(
                translated(("AutoAWQQuantizer", {bits: 8, "zero_point": False}))
            )
            assert (name, given["bits"], given["symmetric"]) == ("awq", 8, True)
            assert given["group_size"] == 128

    def test_k_quant_is_left_to_the_builder(self) -> None:
        draft = translated(
            ("KQuant", {"bits": 8, "group_size": 64}), ("ModelBuilder", {"precision": "fp32"})
        )
        assert steps(draft) == [
            ("genai_builder", {"precision": "int8", "algorithm": "k_quant", "block_size": 64})
        ]
        assert Kind.CANNOT in kinds(translated(("KQuant", {})))
        two = translated(("KQuant", {"bits": 2}), ("ModelBuilder", {"precision": "int4"}))
        assert steps(two)[0][1]["precision"] == "int4"
        assert omitted(two, "passes.p0.bits").kind is Kind.OMITTED

    def test_clipping_before_rtn_is_rtns(self) -> None:
        ((name, given),) = steps(translated(("AutoClip", {}), ("Rtn", {"bits": 4})))
        assert (name, given["clip_search"]) == ("rtn", True)

    def test_an_adapter_is_merged_before_its_base_is_quantised(self) -> None:
        draft = translated(("LoRA", {}), ("gptq", {}))
        assert [name for name, _ in steps(draft)] == ["lora", "merge_adapter", "gptq"]

    def test_rotations_and_pruning_are_said(self) -> None:
        assert kinds(translated(("QuaRot", {"seed": 0}))) == {Kind.OMITTED}
        assert Kind.CANNOT in kinds(translated(("SparseGPT", {"sparsity": 0.5})))


class TestBuilder:
    def test_every_option_has_its_counterpart(self) -> None:
        draft = translated(
            (
                "ModelBuilder",
                {
                    "precision": "int4",
                    "int4_block_size": 128,
                    "int4_accuracy_level": 4,
                    "int4_algo_config": "k_quant_last",
                    "int4_is_symmetric": True,
                    "int4_op_types_to_quantize": ["MatMul", "Gather"],
                    "int4_nodes_to_exclude": ["/lm_head/MatMul"],
                    "enable_cuda_graph": True,
                    "use_cuda_bf16": True,
                    "extra_options": {
                        "include_hidden_states": 1,
                        "prune_lm_head": "true",
                        "filename": "text.onnx",
                        "exclude_embeds": False,
                        "no_such": 1,
                    },
                },
            ),
            provider="CUDAExecutionProvider",
        )
        assert steps(draft) == [
            (
                "genai_builder",
                {
                    "execution_provider": "cuda",
                    "precision": "int4",
                    "accuracy_level": 4,
                    "block_size": 128,
                    "algorithm": "k_quant_last",
                    "symmetric": True,
                    "quantize_embedding": True,
                    "unquantized_nodes": ["/lm_head/MatMul"],
                    "hidden_states": True,
                    "prune_head": True,
                    "graph_capture": True,
                    "activation_dtype": "bf16",
                },
            )
        ]
        assert kinds(draft) == {Kind.ASIDE}
        assert "ignores it" in omitted(draft, "passes.p0.extra_options.no_such").reason

    def test_extra_options_overrule_the_passes_own(self) -> None:
        draft = translated(
            (
                "ModelBuilder",
                {
                    "precision": "int4",
                    "int4_block_size": 32,
                    "extra_options": {"int4_block_size": "64"},
                },
            )
        )
        assert steps(draft)[0][1]["block_size"] == 64

    @pytest.mark.parametrize(
        ("provider", "asked", "built"),
        [
            ("CPUExecutionProvider", "fp16", "fp32"),
            ("CUDAExecutionProvider", "fp32", "fp16"),
            ("DmlExecutionProvider", "int8", "int4"),
            ("WebGpuExecutionProvider", "fp32", "fp32"),
        ],
    )
    def test_a_precision_that_cannot_run_gives_way(
        self, provider: str, asked: str, built: str
    ) -> None:
        draft = translated(("ModelBuilder", {"precision": asked}), provider=provider)
        assert steps(draft)[0][1]["precision"] == built
        assert bool(draft.omissions) == (asked != built)

    def test_a_model_without_its_embedding_is_nothing_alone(self) -> None:
        draft = translated(("ModelBuilder", {"precision": "fp32", "exclude_embeds": True}))
        assert omitted(draft, "passes.p0.exclude_embeds").kind is Kind.CANNOT

    def test_a_quantised_base_keeps_its_adapter_apart(self) -> None:
        draft = translated(("LoRA", {}), ("ModelBuilder", {"precision": "int4"}))
        assert steps(draft)[-1] == ("multi_lora", {"precision": "int4"})
        whole = translated(("LoRA", {}), ("ModelBuilder", {"precision": "fp32"}))
        assert [name for name, _ in steps(whole)][1:] == ["merge_adapter", "genai_builder"]

    def test_extracted_adapters_are_kept_apart(self) -> None:
        draft = translated(
            ("LoRA", {}),
            ("OnnxConversion", {"target_opset": 17}),
            ("OrtTransformersOptimization", {"float16": True}),
            ("ExtractAdapters", {"adapter_type": "lora"}),
            ("ModelBuilder", {"precision": "int4", "metadata_only": True}),
        )
        assert steps(draft)[1:] == [("multi_lora", {"precision": "fp32"})]
        assert omitted(draft, "passes.p4.precision").kind is Kind.OMITTED

    def test_an_adapter_of_dora_is_merged(self) -> None:
        draft = translated(("DoRA", {}), ("ModelBuilder", {"precision": "int4"}))
        assert [name for name, _ in steps(draft)][1:] == ["merge_adapter", "genai_builder"]
        assert "merged" in omitted(draft, "passes.p1.type").reason

    def test_what_rounds_the_builders_graph_is_the_builders_own_rounding(self) -> None:
        draft = translated(
            ("ModelBuilder", {"precision": "fp16"}),
            ("OnnxKQuantQuantization", {"bits": 8, "block_size": 32, "accuracy_level": 4}),
            provider="CUDAExecutionProvider",
        )
        assert steps(draft) == [
            (
                "genai_builder",
                {
                    "execution_provider": "cuda",
                    "precision": "int8",
                    "algorithm": "k_quant",
                    "block_size": 32,
                    "accuracy_level": 4,
                },
            )
        ]

    def test_what_the_builder_cannot_round_is_a_step(self) -> None:
        draft = translated(("ModelBuilder", {"precision": "fp32"}), ("OnnxHqqQuantization", {}))
        assert steps(draft)[1] == ("weight_only", {"algorithm": "hqq", "block_size": 128})

    def test_pairs_and_shared_tables(self) -> None:
        pairs = translated(("ModelBuilder", {"precision": "int4"}), ("MatMulNBitsToQDQ", {}))
        assert steps(pairs)[0][1] == {"precision": "int4", "qdq": True, "share_embeddings": False}
        tied = translated(
            ("ModelBuilder", {"precision": "int4"}),
            ("GraphSurgeries", {"surgeries": [{"surgeon": "tiewordembeddings"}]}),
        )
        assert steps(tied)[0][1] == {"precision": "int4", "share_embeddings": True}

    def test_the_surgeries_of_npus_are_elsewhere(self) -> None:
        surgeries = [{"surgeon": "RemoveRopeMultiCache"}, {"surgeon": "MatMulAddToGemm"}]
        draft = translated(("GraphSurgeries", {"surgeries": surgeries}))
        assert omitted(draft, "passes.p0.surgeries[0]").kind is Kind.ELSEWHERE
        assert omitted(draft, "passes.p0.surgeries[1]").kind is Kind.OMITTED


class TestEncoders:
    def test_conversion_optimisation_and_sixteen_bits(self) -> None:
        draft = translated(
            ("OnnxConversion", {"target_opset": 14, "use_dynamo_exporter": False}),
            (
                "OrtTransformersOptimization",
                {
                    "model_type": "bert",
                    "opt_level": 2,
                    "float16": True,
                    "keep_io_types": False,
                    "force_fp32_ops": ["Softmax"],
                    "optimization_options": {"enable_attention": False, "enable_gelu": True},
                },
            ),
            kind="encoder",
        )
        assert steps(draft) == [
            ("onnx_export", {"exporter": "torchscript", "opset": 17}),
            (
                "optimize_graph",
                {"level": "extended", "fuse_gelu": True, "fuse_attention": False},
            ),
            ("float16", {"keep_io": False, "op_block_list": ["Softmax"]}),
        ]
        assert omitted(draft, "passes.p0.target_opset").kind is Kind.OMITTED

    def test_fixed_shapes_belong_to_the_export(self) -> None:
        shape = {"dim_param": ["batch_size", "sequence_length"], "dim_value": [1, 128]}
        draft = translated(("OnnxConversion", {}), ("DynamicToFixedShape", shape), kind="encoder")
        wanted = {"opset": 20, "shapes": "fixed", "batch": 1, "sequence": 128}
        assert steps(draft) == [("onnx_export", wanted)]

    def test_static_quantisation(self) -> None:
        draft = translated(
            (
                "OnnxStaticQuantization",
                {
                    "data_config": "rows",
                    "activation_type": "uint16",
                    "precision": "uint8",
                    "calibrate_method": "Percentile",
                    "quant_format": "QOperator",
                    "op_types_to_quantize": ["MatMul"],
                    "op_types_to_exclude": ["Gather"],
                    "extra_options": {"MatMulConstBOnly": True, "CalibPercentile": 99.9},
                },
            ),
            kind="encoder",
            model="ONNXModel",
            rows={"max_samples": 100},
        )
        assert steps(draft) == [
            (
                "static_int8",
                {
                    "weight_type": "quint8",
                    "per_channel": False,
                    "op_types": ["MatMul"],
                    "exclude_ops": ["Gather"],
                    "format": "qoperator",
                    "calibration": "percentile",
                    "activation_type": "quint16",
                    "calibration_samples": 100,
                    "weight_symmetric": False,
                    "const_b_only": True,
                    "percentile": 99.9,
                },
            )
        ]

    def test_dynamic_quantisation(self) -> None:
        draft = translated(
            ("OnnxDynamicQuantization", {"op_types_to_quantize": ["MatMul"]}), kind="encoder"
        )
        assert steps(draft) == [("dynamic_int8", {"per_channel": False, "op_types": ["MatMul"]})]

    def test_neural_compressor(self) -> None:
        draft = translated(("IncStaticQuantization", {"quant_format": "QDQ"}), kind="encoder")
        assert steps(draft)[0] == ("static_int8", {"format": "qdq", "calibration_samples": 100})
        told = {"approach": "weight_only", "weight_only_config": {"bits": 4, "algorithm": "RTN"}}
        weights = translated(("IncQuantization", told), kind="encoder")
        assert steps(weights)[0] == ("weight_only", {"algorithm": "rtn", "bits": 4})

    def test_sixteen_bits_by_olives_bounds(self) -> None:
        draft = translated(
            ("OnnxConversion", {}),
            ("OnnxFloatToFloat16", {"op_block_list": ["Softmax"]}),
            kind="encoder",
        )
        assert steps(draft)[1] == (
            "float16",
            {
                "keep_io": False,
                "min_positive": 1e-7,
                "max_finite": 10000.0,
                "op_block_list": ["Softmax"],
            },
        )

    def test_sessions_are_a_search(self) -> None:
        told = {"providers_list": ["CPUExecutionProvider"], "execution_mode_list": [0, 1]}
        draft = translated(("OrtPerfTuning", told | {"cpu_cores": 2}), kind="encoder")
        assert steps(draft) == [
            (
                "session",
                {
                    "execution_provider": "cpu",
                    "execution_mode": {"choices": ["sequential", "parallel"]},
                    "intra_op_num_threads": {"choices": [0, 1, 2]},
                },
            )
        ]

    def test_a_plain_graph_of_a_language_model_cannot_be(self) -> None:
        draft = translated(("OnnxConversion", {"target_opset": 17}))
        assert not draft.pipeline
        assert omitted(draft, "passes.p0.type").kind is Kind.CANNOT


class TestAlternatives:
    def test_they_stay_alternatives(self) -> None:
        draft = translated([("Gptq", {}), ("Rtn", {})], ("ModelBuilder", {"precision": "int4"}))
        first = draft.pipeline[0]
        assert isinstance(first, list)
        assert [[step.pass_ for step in branch] for branch in first] == [["gptq"], ["rtn"]]

    def test_one_that_needs_a_vendors_tools_is_left_out(self) -> None:
        draft = translated([("Gptq", {}), ("QuarkQuantization", {"quant_algo": "awq"})])
        assert [name for name, _ in steps(draft)] == ["gptq"]
        assert Kind.ELSEWHERE not in kinds(draft)

    def test_a_search_tries_both_modes_of_quantisation(self) -> None:
        draft = translated(
            ("OnnxQuantization", {"data_config": "rows"}),
            kind="encoder",
            rows={},
            search={"sampler": "random"},
        )
        branches = draft.pipeline[0]
        assert isinstance(branches, list)
        assert [branch[0].pass_ for branch in branches] == ["static_int8", "dynamic_int8"]
        assert branches[0][0].parameters["per_channel"] == {"choices": [True, False]}


class TestMistakes:
    def test_a_misspelt_key_names_its_line_and_the_nearest(self) -> None:
        found = problems(("LoRA", {}), ("ModelBuilder", {"precison": "int4"}))
        assert found == (
            "config.json:2: passes.p1.precison: ModelBuilder has no key 'precison'; "
            "did you mean 'precision'?"
        )

    def test_an_unknown_pass_names_the_nearest(self) -> None:
        assert "did you mean 'ModelBuilder'?" in problems(("ModelBuildr", {}))

    def test_an_unknown_surgeon_names_the_nearest(self) -> None:
        one = ("GraphSurgeries", {"surgeries": [{"surgeon": "TieWordEmbedding"}]})
        assert "did you mean 'TieWordEmbeddings'?" in problems(one)

    def test_a_misspelt_training_argument_is_named(self) -> None:
        found = problems(("LoRA", {"training_args": {"learning_rat": 1}}))
        assert "did you mean 'learning_rate'?" in found

    @pytest.mark.parametrize(
        "one",
        [
            ("LoRA", {"r": "many"}),
            ("LoRA", {"training_args": 3}),
            ("LoRA", {"training_args": {"max_steps": "ten"}}),
            ("ModelBuilder", {"precision": "int"}),
            ("ModelBuilder", {"precision": "int4", "int4_algo_config": "k_quant_las"}),
            ("ModelBuilder", {"precision": "int4", "extra_options": []}),
            ("GraphSurgeries", {"surgeries": "all"}),
            ("Gptq", {"bits": True}),
            ("OrtTransformersOptimization", {"opt_level": 7}),
        ],
    )
    def test_a_value_of_the_wrong_sort_is_a_problem(self, one: Any) -> None:
        kind = "encoder" if one[0].startswith("Ort") else "causal"
        assert problems(one, kind=kind).startswith("config.json:1: passes.p0.")
