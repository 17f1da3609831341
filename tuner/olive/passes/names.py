"""The types of Olive's passes and the keys of each, of today's Olive and of that of 2024.

Names only, as its documentation lists them; what they mean here is in the modules beside this one.
Knows nothing of configs.
"""

from __future__ import annotations

from collections.abc import Mapping


def words(text: str) -> list[str]:
    """The words of a text: long lists of names are easier to read so."""
    return text.split()


FILES = (
    "save_as_external_data all_tensors_to_one_file external_data_name size_threshold "
    "convert_attribute"
)
SCRIPT = (
    "user_script script_dir data_dir dataloader_func dataloader_func_kwargs batch_size model_script"
)
OF_ALL = frozenset(
    words("host evaluator output_name disable_search clean_run_cache cache_config type config")
)
"""Keys of any pass that are the engine's, not the pass's own."""

_DATA = "data_config data_dir dataloader_func dataloader_func_kwargs batch_size"
_LORA = (
    "r lora_r alpha lora_alpha lora_dropout target_modules modules_to_save torch_dtype device_map "
    "allow_tf32 ephemeral_gpu_offload train_data_config eval_data_config eval_dataset_size "
    "training_args double_quant quant_type compute_dtype save_quant_config loftq_iter "
    "use_ort_trainer ortmodule_params trust_remote_code bias intermediate_dtype"
)
_VARIANT = (
    "rank_dropout module_dropout use_effective_conv2d exclude_modules init_weights "
    "layers_to_transform layers_pattern rank_pattern alpha_pattern"
)
_QUANTIZER = (
    "bits group_size sym lm_head quantize_vision embeds moe modules_to_not_convert overrides"
)
_ONNX_QUANTIZER = (
    "precision weight_type op_types_to_quantize op_types_to_exclude nodes_to_quantize "
    "nodes_to_exclude append_first_op_types_to_quantize_list per_channel reduce_range "
    "optimize_model quant_preprocess activation_symmetric weight_symmetric extra_options "
    "quant_mode"
)
_STATIC = (
    f"{_DATA} calibrate_method calibration_providers quant_format activation_type min_real_range "
    "tensor_quant_overrides prepare_qdq_config prepare_qnn_config qnn_extra_options "
    "calibration_data_config"
)
_INC = (
    "approach device backend domain workspace recipes reduce_range quant_level "
    "excluded_precisions tuning_criterion metric weight_only_config op_type_dict op_type_list "
    f"op_name_dict quant_format calibration_sampling_size {_DATA}"
)
_TUNING = (
    f"{_DATA} device cpu_cores io_bind enable_cuda_graph providers_list provider_options_list "
    "execution_mode_list opt_level_list trt_fp16_enable intra_thread_num_list "
    "inter_thread_num_list extra_session_config force_evaluate_other_eps enable_profiling "
    "input_names input_shapes input_types"
)
_MATMUL4 = (
    "bits block_size axis is_symmetric accuracy_level nodes_to_exclude nodes_to_include "
    f"quant_axes op_types_to_quantize algorithm weight_only_quant_configs precision {_DATA}"
)
_OPENVINO = (
    f"{_DATA} model_type preset ignored_scope ignored_scope_type target_device transform_fn "
    "validation_func max_drop drop_type extra_configs reuse_cache metric_func"
)
_QUARK = (
    "quant_scheme quant_algo dataset data_type num_calib_data model_export exclude_layers "
    "quant_mode quant_format data_config global_config specific_layer_config layer_type_config "
    "exclude algo_config extra_options trust_remote_code quant_config layer_quant_scheme "
    "kv_cache_dtype min_kv_scale kv_cache_post_rope attention_dtype seq_len batch_size pack_method "
    "export_weight_format custom_mode algo_configs calibration_providers quant_preprocess "
    "activation_type precision calibrate_method"
)
_BUILDER = (
    "precision metadata_only search int4_accuracy_level int4_block_size int4_is_symmetric "
    "int4_op_types_to_quantize int4_nodes_to_exclude int4_algo_config use_qdq use_8bits_moe "
    "use_webgpu_fp32 use_cuda_bf16 include_hidden_states exclude_embeds exclude_lm_head "
    "enable_cuda_graph extra_options"
)

_TEXT: Mapping[str, str] = {
    # what trains and changes a checkpoint
    "LoRA": _LORA,
    "DoRA": _LORA,
    "QLoRA": _LORA,
    "LoftQ": _LORA,
    "LoHa": f"{_LORA} {_VARIANT}",
    "LoKr": f"{_LORA} {_VARIANT} decompose_both decompose_factor rank_dropout_scale",
    "SDLoRA": "model_variant r alpha lora_dropout target_modules train_data_config training_args "
    "merge_lora dreambooth instance_prompt with_prior_preservation class_prompt class_data_dir "
    "num_class_images prior_loss_weight",
    "MergeAdapterWeights": "",
    "SliceGPT": "calibration_data_config calibration_nsamples calibration_batch_size seed sparsity "
    "round_interval final_orientation",
    "SparseGPT": "sparsity blocksize percdamp min_layer max_layer layer_name_filter device "
    "compute_dtype data_config",
    "TorchTRTConversion": "min_layer max_layer layer_name_filter float16 data_config",
    "QuantizationAwareTraining": "train_data_config val_data_config training_loop_func "
    "ptl_module ptl_data_module num_epochs num_steps do_validate modules_to_fuse qconfig_func "
    "input_shapes logger gpus seed checkpoint_path",
    "PyTorchTensorParallel": "world_size parallel_jobs",
    "SaveTestModelConfig": "attn_impl",
    "ConvertHfToGGUF": "llama_cpp_env_path reference_model_path gguf_file_name",
    "CaptureSplitInfo": "num_splits block_to_split cost_model unique_embeds_lm_head_splits",
    "CaptureLayerAnnotations": "layer_annotations",
    # what quantises a checkpoint
    "Gptq": f"{_QUANTIZER} damp_percent desc_act data_config moe_fallback_threshold "
    "moe_fallback_min_k_multiple",
    "GptqModel": "bits group_size damp_percent damp_auto_increment static_groups true_sequential "
    "desc_act sym mse lm_head device dynamic rotation data_config",
    "GptqQuantizer": "bits layers_block_name outside_layer_modules inside_layer_modules "
    f"group_size damp_percent static_groups true_sequential desc_act sym seed {_DATA} "
    "pack_model_for_onnx_conversion",
    "AutoAWQQuantizer": "input_model_dtype zero_point q_group_size bits w_bit version duo_scaling "
    "modules_to_not_convert export_compatible pack_model_for_onnx_conversion data_config",
    "AutoClip": f"{_QUANTIZER} n_grid max_shrink n_sample_token data_config",
    "Rtn": _QUANTIZER,
    "KQuant": _QUANTIZER,
    "SelectiveMixedPrecision": "algorithm bits group_size sym high_bits high_group_size high_sym "
    "ratio kld_memory_mode data_config",
    "QuaRot": "seed rotate_mode",
    "SpinQuant": "seed rotate_mode a_bits a_symmetric a_per_token training_args train_data_config",
    # what makes an ONNX model of it
    "ModelBuilder": _BUILDER,
    "GenAIModelExporter": _BUILDER,
    "MobiusBuilder": "precision components_to_export runtime",
    "OnnxConversion": "target_opset use_dynamo_exporter past_key_value_name device torch_dtype "
    "parallel_jobs merge_adapter_weights merge_components save_metadata_for_token_generation "
    "optimize dynamic script_dir user_script dynamo",
    "OptimumConversion": "target_opset components fp16 device extra_args",
    "OptimumMerging": "strict execution_provider",
    "OnnxOpVersionConversion": "target_opset",
    "ExtractAdapters": "adapter_type make_inputs dynamic_lora_r optional_inputs save_format "
    "pack_inputs pack_weights",
    # what works on the ONNX model
    "OrtTransformersOptimization": "model_type num_heads num_key_value_heads hidden_size "
    "optimization_options opt_level use_gpu only_onnxruntime float16 keep_io_types force_fp32_ops "
    "force_fp32_nodes force_fp16_inputs use_gqa replace_attn_mask_input_with_seq_len input_int32",
    "OnnxPeepholeOptimizer": "onnxscript_optimize onnxoptimizer_optimize fuse_reshape_operations "
    "fix_com_microsoft_opset cast_chain_elimination",
    "OnnxModelOptimizer": "",
    "OnnxScriptFusion": "",
    "OnnxFloatToFloat16": "min_positive_val max_finite_val keep_io_types use_symbolic_shape_infer "
    "disable_shape_infer op_block_list op_include_list node_block_list node_include_list",
    "OrtMixedPrecision": "op_block_list atol",
    "OnnxIODataTypeConverter": "name_pattern source_dtype target_dtype",
    "OnnxIOFloat16ToFloat32": "name_pattern",
    "DynamicToFixedShape": "dim_param dim_value input_name input_shape",
    "GraphSurgeries": "surgeries remove_duplicate_initializers",
    "OnnxDynamicQuantization": _ONNX_QUANTIZER,
    "OnnxStaticQuantization": f"{_ONNX_QUANTIZER} {_STATIC}",
    "OnnxQuantization": f"{_ONNX_QUANTIZER} {_STATIC}",
    "OnnxQuantizationPreprocess": "skip_optimization skip_onnx_shape skip_symbolic_shape",
    "IncDynamicQuantization": _INC,
    "IncStaticQuantization": _INC,
    "IncQuantization": _INC,
    "OnnxBlockWiseRtnQuantization": _MATMUL4,
    "OnnxMatMul4Quantizer": _MATMUL4,
    "OnnxHqqQuantization": _MATMUL4,
    "OnnxKQuantQuantization": f"{_MATMUL4} customized_weight_config",
    "OnnxBnb4Quantization": "precision quantized_modules nodes_to_exclude quant_type",
    "MatMulNBitsToQDQ": "use_transpose_op use_int4 use_signed_int add_zero_point nodes_to_exclude "
    "nodes_to_include",
    # how it runs, and what is said of it
    "OrtSessionParamsTuning": _TUNING,
    "OrtPerfTuning": _TUNING,
    "PerfTuning": _TUNING,
    "AddOliveMetadata": "graph_name custom_metadata add_optimization_info",
    "OnnxDiscrepancyCheck": "reference_model_path report_output_dir test_metrics max_mae "
    "max_elements_above_0_1 max_elements_above_0_01 genai_model_path warmup_iterations "
    "timing_iterations generate_prompt speech_audio_path generate_image_path "
    "generate_max_new_tokens first_n_tokens_timed min_longest_common_tokens llama_cpp "
    "llama_cpp_env_path",
    "AppendPrePostProcessingOps": "pre post tool_command tool_command_args target_opset "
    "default_inputs",
    "InsertBeamSearch": "no_repeat_ngram_size use_vocab_mask use_prefix_vocab_mask "
    "use_forced_decoder_ids use_logits_processor use_temperature fp16 use_gpu",
    "MoEExpertsDistributor": "world_size parallel_jobs",
    # what vendors' tools do, and parts of models
    "AimetQuantization": "precision activation_type data_config quant_scheme config_file "
    "calibration_providers op_types_to_exclude techniques tensor_precision_overrides "
    "tie_kv_cache_io",
    "AitkPython": "",
    "ComposeOnnxModels": "",
    "EPContextBinaryGenerator": "embed_context weight_sharing provider_options session_options "
    "disable_cpu_fallback update_genai_config",
    "InputNCHWtoNHWC": "input_names",
    "MixedPrecisionOverrides": "overrides_config element_wise_binary_ops",
    "NVModelOptGraphSurgery": "surgery_type surgery_params",
    "NVModelOptQuantization": "precision algorithm calibration_method calibration "
    "calibration_providers tokenizer_dir use_random_calibration_data random_calib_data "
    "calibration_params int4_block_size nodes_to_exclude enable_mixed_quant layers_8bit "
    "trust_remote_code",
    "OpenVINOConversion": "input_shapes input_shape input example_input "
    "example_input_func compress_to_fp16 extra_configs model_name output_model static",
    "OpenVINOEncapsulation": "target_device ov_version opset_imports keep_ov_dynamic_dims "
    "reuse_cache genai_config_override",
    "OpenVINOIoUpdate": "extra_configs input_shapes input_names static reuse_cache",
    "OpenVINOOptimumConversion": "components device extra_args ov_quant_config",
    "OpenVINOQuantization": _OPENVINO,
    "OpenVINOQuantizationWithAccuracy": _OPENVINO,
    "OpenVINOWeightCompression": f"{_OPENVINO} extra_args compress_config",
    "QNNContextBinaryGenerator": "backend binary_file extra_args",
    "QNNConversion": "input_network input_dim out_node extra_args",
    "QNNModelLibGenerator": "lib_targets lib_name",
    "QNNPreprocess": "fuse_layernorm inputs_to_make_channel_last outputs_to_make_channel_last",
    "QairtEncapsulation": "log_level run_checker opset_imports genie_overrides "
    "backend_extensions_overrides engine_config_overrides",
    "QairtGenAIBuilder": "cache_dir log_level backend soc_details vtcm_size_in_mb hvx_threads "
    "extended_udma sequence_lengths native_kv num_splits multi_graph context_lengths",
    "QairtMHA2SHA": "mha2sha_kwargs",
    "QairtPipelinePass": "recipe cache_dir log_level",
    "QairtPreparation": "script_path script_config cache_dir",
    "QuarkQuantization": _QUARK,
    "QuarkQuantizationVitisAI": _QUARK,
    "RyzenGenerateModelLLM": "mode recipe mem_optimize model_name output_model_name extra_options",
    "SNPEConversion": "input_names input_shapes output_names output_shapes input_types "
    "input_layouts extra_args",
    "SNPEQuantization": "data_config use_enhanced_quantizer enable_htp htp_socs extra_args",
    "SNPEtoONNXConversion": "target_device target_opset",
    "SplitModel": "split_assignments",
    "StaticLLM": "batch_size context_length prefill_decode_models group_session_options "
    "update_genai_config",
    "VitisAIAddMetaData": "config_meta_data_keys activation_type weight_type quant_type",
    "VitisAIQuantization": "quant_mode data_config weight_type quant_preprocess calibrate_method "
    "quant_format need_layer_fusing activation_type enable_dpu extra_options op_types_to_quantize "
    "nodes_to_quantize nodes_to_exclude per_channel optimize_model input_nodes output_nodes",
    "VitisGenerateModelLLM": "packed_const cpu_only",
    "VitisGenerateModelSD": "model_type resolutions",
}
ANY_KEY = frozenset({"AitkPython"})
"""Types of which every key is one of a user's own script."""

PASSES: Mapping[str, frozenset[str]] = {
    name: frozenset(f"{keys} {FILES} {SCRIPT}".split()) for name, keys in _TEXT.items()
}
"""Type -> its keys, those of files and of scripts of a user's own among them."""

TRAINING_ARGS = frozenset(
    words(
        "output_dir overwrite_output_dir per_device_train_batch_size num_train_epochs "
        "max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps "
        "warmup_ratio optim optim_args weight_decay adam_beta1 adam_beta2 adam_epsilon "
        "adafactor optim_target_modules gradient_accumulation_steps "
        "average_tokens_across_devices max_grad_norm label_smoothing_factor bf16 fp16 "
        "bf16_full_eval fp16_full_eval tf32 half_precision_backend fp16_backend "
        "fp16_opt_level gradient_checkpointing gradient_checkpointing_kwargs "
        "activation_checkpointing activation_checkpointing_kwargs torch_compile "
        "torch_compile_backend torch_compile_mode use_liger_kernel liger_kernel_config "
        "use_cache neftune_noise_alpha torch_empty_cache_steps auto_find_batch_size "
        "logging_strategy logging_steps logging_first_step logging_dir log_on_each_node "
        "logging_nan_inf_filter include_num_input_tokens_seen include_tokens_per_second "
        "log_level log_level_replica disable_tqdm report_to run_name project trackio_space_id "
        "trackio_bucket_id trackio_static_space_id eval_strategy evaluation_strategy "
        "eval_steps eval_delay per_device_eval_batch_size prediction_loss_only eval_on_start "
        "eval_do_concat_batches eval_use_gather_object eval_accumulation_steps "
        "include_for_metrics include_inputs_for_metrics batch_eval_metrics save_only_model "
        "save_strategy save_steps save_on_each_node save_safetensors save_total_limit "
        "enable_jit_checkpoint push_to_hub push_to_hub_model_id push_to_hub_organization "
        "push_to_hub_token hub_token hub_private_repo hub_model_id hub_strategy "
        "hub_always_push hub_revision load_best_model_at_end metric_for_best_model "
        "greater_is_better ignore_data_skip restore_callback_states_from_checkpoint "
        "full_determinism seed data_seed use_cpu no_cuda use_ipex use_mps_device "
        "jit_mode_eval accelerator_config parallelism_config dataloader_drop_last "
        "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers "
        "dataloader_prefetch_factor dataloader_multiprocessing_context dataloader_in_order "
        "remove_unused_columns label_names group_by_length train_sampling_strategy "
        "length_column_name ddp_find_unused_parameters ddp_bucket_cap_mb "
        "ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config "
        "fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap deepspeed debug "
        "skip_memory_metrics do_train do_eval do_predict resume_from_checkpoint local_rank "
        "extra_args ray_scope past_index mp_parameters dispatch_batches split_batches "
        "torchdynamo xpu_backend tpu_num_cores tpu_metrics_debug sortish_sampler"
    )
)
"""Keys of `training_args`: those of transformers' TrainingArguments, older ones too."""

FUSIONS = frozenset(
    words(
        "enable_gelu enable_layer_norm enable_rms_norm enable_attention "
        "enable_rotary_embeddings use_multi_head_attention disable_multi_head_attention_bias "
        "enable_skip_layer_norm enable_embed_layer_norm enable_bias_skip_layer_norm "
        "enable_bias_gelu enable_gelu_approximation enable_qordered_matmul "
        "enable_shape_inference enable_gemm_fast_gelu group_norm_channels_last "
        "enable_nhwc_conv enable_group_norm enable_skip_group_norm enable_bias_splitgelu "
        "enable_packed_qkv enable_packed_kv enable_bias_add attention_mask_format "
        "attention_op_type no_attention_mask no_invertible_mask use_raw_attention_mask "
        "use_group_norm_channels_first disable_attention"
    )
)
"""Keys of OrtTransformersOptimization's optimization_options."""
