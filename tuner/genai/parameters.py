"""The options of the GenAI model builder, declared as parameters of passes.

Knows nothing of how the builder spells them (see `options`), nor of which combinations of them
work (see `legality`).
"""

from __future__ import annotations

from evaluators.runtimes.providers import unavailable
from search_spaces.vocabulary import INPUT, ParameterSpec, Value

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int4")
PROVIDERS = ("cpu", "cuda", "dml", "webgpu", "NvTensorRtRtx")
QUANTISED = ("int8", "int4")
BLOCKS = (16, 32, 64, 128, 256)
PLAIN_ALGORITHMS = ("default", "rtn", "k_quant")
"""Algorithms that say nothing of which matrices get other bits."""

STATIC_CACHES = (
    "int8_per_tensor",
    "int8_per_channel",
    "int4_per_tensor",
    "int4_per_channel",
    "fp8_per_tensor",
    "fp8_per_channel",
)
"""Ways to quantise the key-value cache by scales that were measured beforehand."""

ROUNDED_HERE: dict[str, tuple[Value, ...]] = {"precision": QUANTISED, INPUT: ("hf", "adapter")}
"""Where it is the builder that rounds the weights of the layers."""

_PAGED: dict[str, tuple[Value, ...]] = {
    "execution_provider": ("cuda", "webgpu"),
    "paged_attention": (True,),
}
_CUDA_QUANTISED: dict[str, tuple[Value, ...]] = {
    "execution_provider": ("cuda",),
    "precision": QUANTISED,
}

PRECISION = ParameterSpec(
    "precision",
    str,
    "int4",
    "Data type of the weights; int8 and int4 quantise the matrices only.",
    choices=PRECISIONS,
    search=("fp32", "int8", "int4"),
)
EXECUTION_PROVIDER = ParameterSpec(
    "execution_provider",
    str,
    "cpu",
    "The runtime's back end that the graph is built for.",
    choices=PROVIDERS,
    unavailable=unavailable,
)

QUANTISATION = (
    ParameterSpec(
        "block_size",
        int,
        32,
        "Weights that share one scale (int8, int4).",
        choices=BLOCKS,
        search=(32, 64, 128),
        applies=ROUNDED_HERE,
    ),
    ParameterSpec(
        "accuracy_level",
        int,
        4,
        "Arithmetic of quantised matrices: 4: int8, 1: fp32, 0: the runtime decides.",
        choices=(0, 1, 2, 3, 4),
        search=(1, 4),
        applies={"precision": QUANTISED},
    ),
    ParameterSpec(
        "algorithm",
        str,
        "default",
        "How weights are rounded; _last: the head in 8 bits, _mixed: sensitive layers too.",
        choices=(
            *PLAIN_ALGORITHMS,
            "rtn_last",
            "k_quant_last",
            "k_quant_mixed",
            "k_quant_linear",
        ),
        search=("default", "rtn", "k_quant", "rtn_last", "k_quant_last", "k_quant_mixed"),
        applies={"precision": QUANTISED},  # of a packed model it rounds the head and embedding
    ),
    ParameterSpec(
        "symmetric",
        bool,
        True,
        "Round around zero; false: a zero point for each block. k_quant always has one.",
        applies=ROUNDED_HERE | {"algorithm": ("default", "rtn", "rtn_last")},
    ),
    ParameterSpec(
        "head_precision",
        str,
        None,
        "Bits of the output head, where they are not those of the layers.",
        choices=("int8", "int4"),
        nullable=True,
        applies={"precision": QUANTISED, "algorithm": PLAIN_ALGORITHMS},
    ),
    ParameterSpec(
        "sensitive_precision",
        str,
        None,
        "Bits of the matrices that suffer most: in the first, the last and every third layer.",
        choices=("int8", "int4"),
        nullable=True,
        applies=ROUNDED_HERE | {"algorithm": PLAIN_ALGORITHMS},
    ),
    ParameterSpec(
        "linear_attention_precision",
        str,
        None,
        "Bits of linear attention and its MLPs, in hybrid models such as Qwen 3.5.",
        choices=("int8", "int4"),
        nullable=True,
        applies=ROUNDED_HERE | {"algorithm": PLAIN_ALGORITHMS},
    ),
    ParameterSpec(
        "quantize_embedding",
        bool,
        False,
        "Quantise the embedding as well; where it is tied to the head and shared, it always is.",
        applies={"precision": ("int4",), INPUT: ("hf", "adapter")},
    ),
    ParameterSpec(
        "unquantized_nodes",
        list,
        (),
        "Matrices of the graph that keep their floats, such as [/lm_head/MatMul].",
        applies={"precision": QUANTISED},
    ),
    ParameterSpec(
        "qdq",
        bool,
        False,
        "Write quantised matrices as dequantise-multiply pairs; NvTensorRtRtx always has them.",
        applies={
            "precision": ("int4",),
            "execution_provider": ("cpu", "cuda", "dml", "webgpu"),
            INPUT: ("hf", "adapter"),
        },
    ),
)

FUSIONS = (
    ParameterSpec(
        "fuse_qkv",
        bool,
        True,
        "One matrix for queries, keys and values.",
        applies={"execution_provider": ("cpu", "cuda", "webgpu", "NvTensorRtRtx")},
    ),
    ParameterSpec(
        "fuse_gate_up",
        bool,
        False,
        "One matrix for the MLP's gate and up-projection.",
        applies={INPUT: ("hf",)},
    ),
)

GRAPH = (
    ParameterSpec(
        "share_embeddings",
        bool,
        True,
        "One table for embedding and output head where the model ties them; "
        "false: larger, and the embedding is not quantised.",
    ),
    ParameterSpec(
        "fuse_qk_norm",
        bool,
        True,
        "Normalise queries and keys inside the attention kernel, in models that normalise them.",
        applies={"execution_provider": ("cuda", "webgpu")},
    ),
    ParameterSpec(
        "prune_head",
        bool,
        False,
        "Compute logits at the last position only: less to do for a prompt; no perplexity.",
        search=(False, True),
    ),
    ParameterSpec("hidden_states", bool, False, "Give out the last hidden states too."),
    ParameterSpec(
        "windowed_cache",
        bool,
        True,
        "Layers with a sliding window keep no more than it in their cache.",
        applies={"execution_provider": ("cpu", "cuda", "NvTensorRtRtx")},
    ),
    ParameterSpec(
        "activation_dtype",
        str,
        None,
        "Data type between the matrices, where it is not the provider's usual one: "
        "fp32 for webgpu; bf16 for int4 on cuda or NvTensorRtRtx.",
        choices=("fp32", "bf16"),
        nullable=True,
        applies={
            "execution_provider": ("cuda", "webgpu", "NvTensorRtRtx"),
            "precision": ("fp16", *QUANTISED),
        },
    ),
    ParameterSpec(
        "graph_capture",
        bool,
        None,
        "Record the graph's work on the device once and replay it; null: only dml does.",
        nullable=True,
        applies={"execution_provider": ("cuda", "dml", "webgpu")},
    ),
    ParameterSpec(
        "device_initializers",
        bool,
        False,
        "Allocate weights outside of the memory arena, so that what kernels repack is freed.",
    ),
    ParameterSpec(
        "linear_attention_op",
        str,
        "linear_attention",
        "Operator of linear attention in Qwen 3.5; gated_delta_net is for cuda.",
        choices=("linear_attention", "gated_delta_net"),
        applies={"execution_provider": ("cuda",)},
    ),
    ParameterSpec(
        "mtp_head",
        bool,
        True,
        "Build the head that predicts several tokens, in models that have one.",
    ),
)

CUDA = (
    ParameterSpec(
        "fpa_intb_gemm",
        bool,
        False,
        "Multiply quantised matrices by the mixed-precision kernels of CUTLASS.",
        applies=_CUDA_QUANTISED,
    ),
    ParameterSpec(
        "prepacked_for",
        str,
        "none",
        "Order quantised weights for those kernels now: sm80 (Ampere) or sm90 (Hopper). "
        "Such a model is right on such a GPU only.",
        choices=("none", "sm80", "sm90"),
        applies=_CUDA_QUANTISED | {"symmetric": (True,)},
    ),
)

EXPERTS = (
    ParameterSpec(
        "moe_precision",
        str,
        None,
        "Bits of the experts in a mixture of experts; null: int8 with int8, else int4.",
        choices=("int2", "int4", "int8", "mxfp4", "nvfp4"),
        nullable=True,
    ),
    ParameterSpec(
        "moe_block_size",
        int,
        None,
        "Weights of experts that share one scale; 0: a whole row; null: 32, or 128 for TensorRT.",
        choices=(0, *BLOCKS),
        nullable=True,
    ),
    ParameterSpec(
        "moe_prepacked",
        bool,
        None,
        "Order the experts' weights for CUTLASS now; null: the builder decides.",
        nullable=True,
        applies={"execution_provider": ("cuda",)},
    ),
)

PAGED = (
    ParameterSpec(
        "paged_attention",
        bool,
        False,
        "A cache in pages, for GenAI's engine that serves many requests; only it runs the model.",
        applies={"execution_provider": ("cuda", "webgpu")},
    ),
    ParameterSpec(
        "paged_block_size",
        int,
        256,
        "Tokens of a page.",
        choices=(16, 32, 64, 128, 256, 512),
        applies=_PAGED,
    ),
    ParameterSpec(
        "paged_chunk_size",
        int,
        None,
        "At most so many tokens of a prompt in one step.",
        low=1,
        nullable=True,
        applies=_PAGED,
    ),
    ParameterSpec(
        "paged_batch_size", int, 100, "Requests in one step.", low=1, high=256, applies=_PAGED
    ),
    ParameterSpec(
        "paged_scheduled_tokens",
        int,
        None,
        "At most so many tokens in one step.",
        low=1,
        nullable=True,
        applies=_PAGED,
    ),
    ParameterSpec(
        "paged_blocks",
        int,
        None,
        "Pages of the cache; null: as many as paged_memory allows.",
        low=1,
        nullable=True,
        applies=_PAGED,
    ),
    ParameterSpec(
        "paged_memory",
        float,
        0.6,
        "Share of the device's free memory for the cache.",
        low=0.01,
        high=1.0,
        applies=_PAGED | {"paged_blocks": (None,)},
    ),
)

CACHE = (
    ParameterSpec(
        "kv_cache",
        str,
        "none",
        "How keys and values are quantised in the cache; per_token: cuda with paged_attention.",
        choices=("none", *STATIC_CACHES, "int8_per_token", "int4_per_token"),
        applies={"execution_provider": ("cpu", "cuda")},
    ),
    ParameterSpec(
        "kv_cache_scales",
        str,
        None,
        "JSON file of the cache's measured scales, as GenAI's calibration writes it; "
        "the path is relative to the current directory.",
        nullable=True,
        applies={"execution_provider": ("cpu", "cuda"), "kv_cache": STATIC_CACHES},
    ),
    ParameterSpec(
        "kv_cache_rotation",
        str,
        "none",
        "Rotate keys, queries and values so that they lose less when they are quantised.",
        choices=("none", "hadamard"),
        applies={"execution_provider": ("cuda",), "paged_attention": (True,)},
    ),
)

SHARED = (PRECISION, EXECUTION_PROVIDER, *QUANTISATION, *GRAPH, *CUDA, *EXPERTS, *PAGED, *CACHE)
"""The parameters that building has with an adapter as well as without one."""

PARAMETERS = (*SHARED, *FUSIONS)
"""Every parameter of the builder."""
