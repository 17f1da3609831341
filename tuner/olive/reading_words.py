"""The keys and names that Olive's configs know, of both generations of its schema.

Source: the documentation of Olive 0.3 to 0.13, and what its published recipes write.
"""

from __future__ import annotations

SECTIONS = frozenset(
    {
        "$schema",
        "auto_optimizer_config",
        "azureml_client",
        "builds",
        "data_configs",
        "data_root",
        "engine",
        "evaluators",
        "input_model",
        "max_concurrent_builds",
        "pass_flows",
        "passes",
        "systems",
        "verbose",
        "workflow_host",
        "workflow_id",
    }
)
"""Keys of the whole config, beside those of the engine, which today stand there too."""

ENGINE = frozenset(
    {
        "azureml_client_config",
        "cache_config",
        "cache_dir",
        "clean_cache",
        "clean_evaluation_cache",
        "cloud_cache_config",
        "config",
        "enable_shared_cache",
        "evaluate_input_model",
        "evaluation_only",
        "evaluator",
        "execution_providers",
        "host",
        "log_severity_level",
        "log_to_file",
        "no_artifacts",
        "ort_log_severity_level",
        "ort_py_log_severity_level",
        "output_dir",
        "output_name",
        "packaging_config",
        "plot_pareto_frontier",
        "search_strategy",
        "target",
    }
)

MODEL_TYPES = (
    "HfModel",
    "PyTorchModel",
    "ONNXModel",
    "CompositeModel",
    "CompositePyTorchModel",
    "DiffusersModel",
    "DistributedHfModel",
    "DistributedOnnxModel",
    "DistributedPyTorchModel",
    "OpenVINOModel",
    "OptimumModel",
    "QairtModel",
    "QairtPreparedModel",
    "QNNModel",
    "SNPEModel",
    "TensorFlowModel",
)

MODEL = frozenset(
    {
        "adapter_path",
        "components",
        "config",
        "constant_inputs_file_name",
        "custom_task",
        "dummy_inputs_func",
        "external_initializers_file_name",
        "generative",
        "hf_config",
        "inference_settings",
        "io_config",
        "is_file",
        "is_aml_model",
        "kv_cache",
        "load_kwargs",
        "mlflow_transformer_model_cache_dir",
        "model_attributes",
        "model_component_names",
        "model_components",
        "model_file_format",
        "model_loader",
        "model_name_pattern",
        "model_path",
        "model_script",
        "model_storage_kind",
        "model_variant",
        "name",
        "num_ranks",
        "onnx_file_name",
        "script_dir",
        "task",
        "test_model_config",
        "test_model_path",
        "type",
        "use_ort_extensions",
        "version",
    }
)

HF_CONFIG = frozenset(
    {
        "components",
        "config",
        "dataset",
        "feature",
        "from_pretrained_args",
        "generative",
        "model_class",
        "model_loading_args",
        "model_name",
        "task",
    }
)

SYSTEM_TYPES = (
    "LocalSystem",
    "PythonEnvironment",
    "IsolatedORT",
    "Docker",
    "AzureML",
)

SYSTEM = frozenset(
    {
        "accelerators",
        "aml_compute",
        "aml_docker_config",
        "aml_environment_config",
        "azureml_client_config",
        "base_image",
        "build_args",
        "build_context_path",
        "clean_image",
        "config",
        "conda_file_path",
        "device",
        "dockerfile",
        "environment_variables",
        "execution_providers",
        "hf_token",
        "image_name",
        "instance_count",
        "is_dev",
        "local_docker_config",
        "olive_managed_env",
        "prepend_to_path",
        "python_environment_path",
        "requirements_file",
        "resources",
        "run_params",
        "tags",
        "type",
        "work_dir",
    }
)

ACCELERATOR = frozenset({"device", "execution_providers", "memory"})

DEVICES = ("cpu", "gpu", "npu", "cpu_spr", "intel_myriad")

PROVIDERS = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "TensorrtExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
    "DmlExecutionProvider",
    "WebGpuExecutionProvider",
    "JsExecutionProvider",
    "OpenVINOExecutionProvider",
    "QNNExecutionProvider",
    "VitisAIExecutionProvider",
    "MIGraphXExecutionProvider",
    "CoreMLExecutionProvider",
    "XnnpackExecutionProvider",
    "DnnlExecutionProvider",
    "ArmNNExecutionProvider",
    "ACLExecutionProvider",
    "AzureExecutionProvider",
)

DATA = frozenset(
    {
        "components",
        "data_dir",
        "dataloader_config",
        "load_dataset_config",
        "name",
        "params_config",
        "post_process_data_config",
        "pre_process_data_config",
        "script_dir",
        "type",
        "user_script",
    }
)

DATA_PARTS = {
    "load_dataset_config": "load_dataset",
    "pre_process_data_config": "pre_process_data",
    "post_process_data_config": "post_process_data",
    "dataloader_config": "dataloader",
}
"""Today's name of a part -> its name under `components` in 2023."""

EVALUATOR = frozenset({"metrics", "name", "script_dir", "type", "type_args", "user_script"})
"""Keys of an evaluator that is a list of metrics; one with a `type` has that type's besides."""

TYPED_EVALUATOR = frozenset(
    {
        "apply_chat_template",
        "batch_size",
        "bootstrap_iters",
        "device",
        "ep",
        "ep_options",
        "execution_provider",
        "fewshot_as_multiturn",
        "limit",
        "max_length",
        "model_args",
        "model_class",
        "num_fewshot",
        "provider_options",
        "sample_log_dir",
        "sample_log_num",
        "system_instruction",
        "tasks",
    }
)

METRIC_TYPES = ("accuracy", "latency", "throughput", "size_on_disk", "custom")

METRIC = frozenset(
    {
        "backend",
        "data_config",
        "goal",
        "higher_is_better",
        "metric_config",
        "name",
        "priority",
        "priority_rank",
        "sample_log_dir",
        "sample_log_num",
        "sub_type",
        "sub_types",
        "type",
        "user_config",
    }
)

USER_CONFIG = frozenset(
    {
        "batch_size",
        "data_dir",
        "dataloader_func",
        "dataloader_func_kwargs",
        "evaluate_func",
        "evaluate_func_kwargs",
        "func_kwargs",
        "inference_settings",
        "input_names",
        "input_shapes",
        "input_types",
        "io_bind",
        "metric_func",
        "metric_func_kwargs",
        "post_process",
        "post_processing_func",
        "post_processing_func_kwargs",
        "run_kwargs",
        "script_dir",
        "shared_kv_buffer",
        "user_script",
    }
)

SUB_TYPE = frozenset({"goal", "higher_is_better", "metric_config", "name", "priority"}) | {
    "priority_rank"
}

GOAL_TYPES = (
    "threshold",
    "min-improvement",
    "percent-min-improvement",
    "max-degradation",
    "percent-max-degradation",
)

LATENCY_SUB_TYPES = ("avg", "max", "min", "p50", "p75", "p90", "p95", "p99", "p999")
"""Those of throughput too."""

RUN_KEYS = frozenset(
    {"clean_run_cache", "disable_search", "evaluator", "host", "name", "output_name"}
)
"""What stands beside a pass's parameters and says how the pass is run."""

SEARCH = frozenset(
    {
        "execution_order",
        "group",
        "include_pass_params",
        "max_iter",
        "max_samples",
        "max_time",
        "multivariate",
        "num_samples",
        "output_model_num",
        "sampler",
        "sampler_config",
        "search_algorithm",
        "search_algorithm_config",
        "seed",
        "stop_when_goals_met",
    }
)

SAMPLERS = ("tpe", "random", "sequential")
"""What 2023 called `search_algorithm` has another name for the last: exhaustive."""
