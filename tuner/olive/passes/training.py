"""Olive's fine-tuning passes, and the merging of adapters, as `lora`, `qlora` and `merge_adapter`.

Source: Olive's LoRA passes and transformers' TrainingArguments, whose defaults are written out
where they differ from those of our passes. What rows are learned from is `tuner.olive.data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.olive.config import OliveData, OlivePass, Setting
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes import rows, values
from tuner.olive.passes.names import TRAINING_ARGS, words
from tuner.olive.passes.values import Unfit, wrong
from tuner.olive.passes.work import Taker, Work

_SCHEDULERS = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "polynomial": "linear",  # of power 1, which is transformers' default
    "cosine": "cosine",
    "cosine_with_restarts": "cosine",  # of one cycle, which is transformers' default
}
_NO_WARMUP = "constant"
LENGTH = 1024
"""Tokens of a text where a data config does not say, in both generations of Olive."""

_REPORTING = words(
    "logging_strategy logging_steps logging_first_step logging_dir log_on_each_node "
    "logging_nan_inf_filter include_num_input_tokens_seen include_tokens_per_second "
    "log_level log_level_replica disable_tqdm report_to run_name project trackio_space_id "
    "trackio_bucket_id trackio_static_space_id debug skip_memory_metrics output_dir "
    "overwrite_output_dir save_only_model save_strategy save_steps save_on_each_node "
    "save_safetensors save_total_limit enable_jit_checkpoint resume_from_checkpoint "
    "ignore_data_skip restore_callback_states_from_checkpoint push_to_hub "
    "push_to_hub_model_id push_to_hub_organization push_to_hub_token hub_token "
    "hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision do_train "
    "do_eval do_predict extra_args"
)
_EVALUATING = words(
    "eval_strategy evaluation_strategy eval_steps eval_delay per_device_eval_batch_size "
    "prediction_loss_only eval_on_start eval_do_concat_batches eval_use_gather_object "
    "eval_accumulation_steps include_for_metrics include_inputs_for_metrics "
    "batch_eval_metrics bf16_full_eval fp16_full_eval jit_mode_eval"
)
_MACHINE = words(
    "gradient_checkpointing gradient_checkpointing_kwargs activation_checkpointing "
    "activation_checkpointing_kwargs torch_compile torch_compile_backend "
    "torch_compile_mode use_liger_kernel liger_kernel_config use_cache "
    "torch_empty_cache_steps use_cpu no_cuda use_ipex use_mps_device accelerator_config "
    "parallelism_config dataloader_num_workers dataloader_pin_memory "
    "dataloader_persistent_workers dataloader_prefetch_factor "
    "dataloader_multiprocessing_context dataloader_in_order remove_unused_columns "
    "label_names length_column_name ddp_find_unused_parameters ddp_bucket_cap_mb "
    "ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config "
    "fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap deepspeed local_rank "
    "ray_scope past_index mp_parameters dispatch_batches split_batches torchdynamo "
    "xpu_backend tpu_num_cores tpu_metrics_debug tf32 full_determinism "
    "average_tokens_across_devices half_precision_backend fp16_backend fp16_opt_level"
)
_BY_LENGTH = ("group_by_length", "train_sampling_strategy", "sortish_sampler")
_OPTIMISER: Mapping[str, Any] = {
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "adafactor": False,
    "label_smoothing_factor": 0.0,
    "neftune_noise_alpha": None,
    "dataloader_drop_last": False,
}
"""What the loop here does too, with the value it has here."""


def adapters(work: Work, found: OlivePass, type_: str) -> None:
    """LoRA, DoRA, QLoRA, LoftQ, LoHa and LoKr: adapters, each with its training."""
    taker = Taker(work, found, type_)
    packed = type_ in ("QLoRA", "LoftQ")
    step = work.add("qlora" if packed else "lora", type_)
    _shape(taker, step)
    _base(taker, step, packed)
    _variants(taker, step)
    _texts(taker, step)
    _training(taker, step)
    taker.finish()


def merge(work: Work, found: OlivePass, type_: str) -> None:
    """MergeAdapterWeights."""
    taker = Taker(work, found, type_)
    merged(work, type_)
    taker.finish()


def merged(work: Work, origin: str) -> None:
    """A step that merges, where an adapter is there that is not merged yet."""
    if work.form() in ("adapter", None):
        work.add("merge_adapter", origin)


def unpacked(work: Work, origin: str) -> None:
    """Merge an adapter that is not merged yet, where what follows takes whole checkpoints."""
    if work.form() == "adapter":
        work.add("merge_adapter", f"{origin}, which takes the adapter with its base")


# The adapter


def _shape(taker: Taker, step: StepDraft) -> None:
    taker.put(step, "r", "r", "lora_r", default=64, search=(16, 32, 64))
    taker.put(step, "alpha", "alpha", "lora_alpha", default=16.0)
    taker.put(step, "dropout", "lora_dropout", default=0.05)
    if taker.peek("target_modules") is None:
        taker.missing(
            "target_modules",
            "Olive leaves it to peft's table of architectures; here all linear modules get an "
            "adapter",
            "modules that get an adapter",
        )
    taker.put(step, "target_modules", "target_modules")
    if taker.type == "DoRA":
        step.parameters["dora"] = True
    taker.unless(
        [],
        "modules_to_save",
        reason="no modules are trained beside the adapter and a classification head",
        group="modules trained whole",
    )
    taker.unless(
        "none", "bias", reason="the biases of the base are not trained here", group="biases"
    )


def _base(taker: Taker, step: StepDraft, packed: bool) -> None:
    """The model beneath the adapter: its data type, and where it is."""
    if packed:
        _packed(taker, step)
    else:
        taker.aside(
            *("double_quant", "quant_type", "compute_dtype", "save_quant_config", "loftq_iter"),
            reason=f"the base of {taker.type} is not quantised, by Olive neither",
            group="a base that is not quantised",
        )
    taker.aside(
        *("device_map", "allow_tf32", "ephemeral_gpu_offload", "use_ort_trainer"),
        *("ortmodule_params", "intermediate_dtype", "trust_remote_code"),
        reason="where and how quickly it runs is found out on the machine; code of a model's "
        "folder is never run",
        group="devices",
    )
    _computing(taker)


def _packed(taker: Taker, step: StepDraft) -> None:
    """What QLoRA and LoftQ say of the base in 4 bits."""
    taker.put(step, "double_quant", "double_quant", default=False, search=(True, False))
    taker.put(step, "quant_type", "quant_type", default="nf4", search=("nf4", "fp4"))
    if taker.peek("compute_dtype") is None and taker.peek("torch_dtype") is not None:
        taker.put(step, "compute_dtype", "torch_dtype", convert=values.precision)
    else:
        taker.put(step, "compute_dtype", "compute_dtype", default="bf16", convert=values.precision)
    taker.aside(
        "save_quant_config", reason="the adapter is one of the base as it was", group="bases"
    )
    taker.omit(
        "loftq_iter", reason="adapters begin with noise, not by LoftQ", group="LoftQ's beginning"
    )


def _computing(taker: Taker) -> None:
    setting = taker.take("torch_dtype")
    if setting is None:
        return
    if setting.value in ("float32", "fp32"):
        return
    reason = "weights that are trained are fp32; products of matrices are bf16 on a GPU"
    taker.note(setting, Kind.OMITTED, reason, "data types of training")


def _variants(taker: Taker, step: StepDraft) -> None:
    """Adapters of other shapes than LoRA's."""
    if taker.type in ("LoHa", "LoKr", "LoftQ"):
        what = {
            "LoHa": "products of two low ranks, element by element (LoHa)",
            "LoKr": "Kronecker products (LoKr)",
            "LoftQ": "a beginning that makes up for the base's rounding (LoftQ)",
        }[taker.type]
        reason = f"there are no adapters with {what}; {step.pass_} of the same rank is trained"
        taker.work.note(taker.found, Kind.OMITTED, reason, "other adapters than LoRA")
    taker.omit(
        *("rank_dropout", "module_dropout", "use_effective_conv2d", "exclude_modules"),
        *("init_weights", "layers_to_transform", "layers_pattern", "rank_pattern"),
        *("alpha_pattern", "decompose_both", "decompose_factor", "rank_dropout_scale"),
        reason="it belongs to an adapter of another shape than LoRA's",
        group="other adapters than LoRA",
    )


# The texts


def _texts(taker: Taker, step: StepDraft) -> None:
    """How long texts may be, whether they are strung together, and what of them is learned."""
    setting = taker.take("train_data_config")
    taker.aside(
        *("eval_data_config", "eval_dataset_size"),
        reason="what is held out is not trained on (data.split); it is scored after training",
        group="held out for evaluation",
    )
    if not taker.work.is_causal:
        return
    step.parameters["loss"] = "full"
    step.comments["loss"] = "Olive learns the whole text"
    data = rows.data_of(taker.work, setting)
    length = rows.said(data, *rows.LENGTH)
    if length is None:
        taker.usual(step, "max_length", LENGTH)
    else:
        taker.place(step, "max_length", length)
    _strung(taker, step, data)


def _strung(taker: Taker, step: StepDraft, data: OliveData | None) -> None:
    """`packing`, where a data config strings its texts together (Olive does unless told)."""
    strategy = rows.said(data, "strategy", "corpus_strategy")
    if data is None or not _is_corpus(data):
        return
    name = "join" if strategy is None else str(strategy.value)
    if name.startswith("join"):
        step.parameters["packing"] = True
    if strategy is not None and name not in ("join", "line-by-line"):
        what = "the random order" if name.endswith("random") else "the overlap of pieces"
        taker.work.draft.omit(
            strategy, Kind.OMITTED, f"{what} is left out", "strategies of corpora"
        )


def _is_corpus(data: OliveData) -> bool:
    """Whether rows are texts for language modelling: Olive has it so unless a config says else."""
    kind, part = data.pre_process.get("dataset_type"), data.pre_process.get("type")
    whole = kind is None or kind.value == "corpus"
    return whole and (part is None or "text_generation" in str(part.value))


# The training


def _training(taker: Taker, step: StepDraft) -> None:
    """`training_args`, and transformers' defaults for what it does not say."""
    setting = taker.take("training_args") or Setting({}, f"{taker.found.where}.training_args", 0)
    inner = taker.inside(setting, TRAINING_ARGS)
    if inner is None:
        return
    inner.put(step, "learning_rate", "learning_rate", default=2e-4)
    inner.put(step, "batch_size", "per_device_train_batch_size", default=8)
    inner.put(step, "gradient_accumulation", "gradient_accumulation_steps", default=1)
    inner.put(step, "weight_decay", "weight_decay", default=0.0)
    inner.put(step, "max_grad_norm", "max_grad_norm", default=1.0)
    inner.put(step, "seed", "seed", default=42)
    _duration(inner, step)
    _schedule(inner, step)
    _unchanged(inner)
    inner.finish()


def _duration(inner: Taker, step: StepDraft) -> None:
    """Steps where they are given; else rounds, of which transformers makes three."""
    steps = inner.take("max_steps")
    if steps is not None and not _is_none(steps.value):
        inner.place(step, "max_steps", steps)
        inner.aside(
            "num_train_epochs",
            reason="max_steps decides, in transformers too",
            group="overruled by another key",
        )
        return
    if steps is not None:
        inner.note(steps, Kind.ASIDE, "no number of steps; the epochs decide", "no bound")
    inner.put(step, "epochs", "num_train_epochs", default=3.0)


def _is_none(value: Any) -> bool:
    """Whether a number of steps means that there is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0


def _schedule(inner: Taker, step: StepDraft) -> None:
    """How the learning rate goes; transformers' "constant" has no warm-up, whatever it says."""
    named = inner.peek("lr_scheduler_type", _NO_WARMUP)
    inner.put(step, "scheduler", "lr_scheduler_type", default="constant", convert=_scheduler)
    inner.omit(
        "lr_scheduler_kwargs",
        reason="schedules have no further options here",
        group="options of schedules",
    )
    if named == _NO_WARMUP:
        inner.aside(
            *("warmup_ratio", "warmup_steps"),
            reason='transformers\' schedule "constant" has no warm-up',
            group="overruled by another key",
        )
        return
    if inner.peek("warmup_steps") not in (None, 0):
        _warmup_steps(inner, step)
    else:
        inner.take("warmup_steps")
        inner.put(step, "warmup_ratio", "warmup_ratio", default=0.03)


def _warmup_steps(inner: Taker, step: StepDraft) -> None:
    """Steps of warm-up as a share of all; they overrule the share, in transformers too."""
    setting = inner.take("warmup_steps")
    assert setting is not None
    total = step.parameters.get("max_steps")

    def share(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong(value, "a number of steps")
        if value < 1:
            return float(value)
        if not isinstance(total, int):
            raise Unfit("the warm-up is a share of the steps here, whose number the data decides")
        return float(round(value / total, 6))

    inner.place(step, "warmup_ratio", setting, share)
    inner.aside("warmup_ratio", reason="warmup_steps decides", group="overruled by another key")


def _scheduler(value: Any) -> str:
    if isinstance(value, str):
        if value in _SCHEDULERS:
            return _SCHEDULERS[value]
        raise Unfit(
            f"there is no schedule {value!r}: linear is used", nearest="linear", group="schedules"
        )
    raise wrong(value, "the name of a schedule")


def _unchanged(inner: Taker) -> None:
    """What says how the training is told of, what it is held to, and where it runs."""
    inner.aside(
        *_REPORTING, reason="a study keeps and shows what is made", group="logs and checkpoints"
    )
    inner.aside(
        *_EVALUATING,
        *("load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
        reason="a model is measured when it is made, not while it is trained",
        group="evaluation during training",
    )
    inner.aside(
        *_MACHINE,
        reason="speed and memory, which are this program's own affair",
        group="speed and memory of training",
    )
    inner.aside(
        *_BY_LENGTH,
        reason="batches hold texts of about the same length in any case",
        group="order of texts",
    )
    inner.aside("data_seed", reason="`seed` orders the texts too", group="order of texts")
    inner.omit(
        *("bf16", "fp16"),
        reason="weights that are trained are fp32; products of matrices are bf16 on a GPU",
        group="data types of training",
    )
    for key, value in _OPTIMISER.items():
        inner.unless(
            value, key, reason=f"the loop here has {value} for it", group="details of the optimiser"
        )
    _optimiser(inner)
    inner.omit(
        *("optim_args", "optim_target_modules", "auto_find_batch_size"),
        reason="AdamW with its usual numbers is what trains here",
        group="details of the optimiser",
    )


def _optimiser(inner: Taker) -> None:
    """`optim`: every variant of AdamW that computes the same but for its memory is what is here."""
    name = inner.peek("optim")
    if name in (
        "adamw_torch",
        "adamw_hf",
        "adamw_torch_fused",
        "paged_adamw_32bit",
        "adamw_apex_fused",
    ):
        inner.aside("optim", reason="AdamW is what trains here", group="optimisers")
    inner.omit("optim", reason="AdamW is what trains here", group="optimisers")
