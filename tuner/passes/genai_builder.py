"""The `genai_builder` pass: a transformers checkpoint becomes an ONNX Runtime GenAI model.

Wraps the model builder of onnxruntime-genai, which ignores options that it does not know: only
options that it reads are passed on, and combinations that would fail (found with version 0.18)
are refused in words. Knows nothing of measurements.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

from search_spaces.vocabulary import INPUT, Aspect, ParameterSpec, PassSpec, Value
from tuner.passes.base import Pass, PassError, StageContext

QUANTISED = ("int8", "int4")
BLOCKS = (16, 32, 64, 128, 256)
ROUNDED_HERE: dict[str, tuple[Value, ...]] = {"precision": QUANTISED, INPUT: ("hf",)}
"""Where it is this pass that rounds the weights."""


def cuda_unavailable(value: Value) -> str | None:
    """Why the execution provider cannot be used on this machine, or None. Imports nothing heavy."""
    return _no_cuda() if value == "cuda" else None


@cache
def _no_cuda() -> str | None:
    from importlib.metadata import PackageNotFoundError, distribution

    if not Path("/proc/driver/nvidia/version").exists() and which("nvidia-smi") is None:
        return "this machine has no NVIDIA GPU (no driver was found)"
    try:
        distribution("onnxruntime-genai-cuda")
    except PackageNotFoundError:
        return "onnxruntime-genai-cuda is not installed (the `gpu` extra brings it)"
    return None


class GenaiBuilder(Pass):
    """Builds the graph, quantises its weights, writes `genai_config.json` and the tokenizer."""

    spec = PassSpec(
        name="genai_builder",
        version=1,
        help="Build an ONNX Runtime GenAI model, with weights of 4, 8, 16 or 32 bits.",
        accepts=frozenset({"hf", "quantized"}),
        gives="genai",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        neutral={"precision": "fp32"},
        kinds=frozenset({"causal"}),
        fixes={"quantized": {"precision": "int4"}},  # the weights come packed already
        libraries=(
            "onnxruntime-genai",
            "onnxruntime-genai-cuda",
            "onnxruntime",
            "onnxruntime-gpu",
            "onnx-ir",
            "torch",
            "transformers",
        ),
        parameters=(
            ParameterSpec(
                "precision",
                str,
                "int4",
                "Data type of the weights; int8 and int4 quantise the matrices only.",
                choices=("fp32", "fp16", "bf16", "int8", "int4"),
                search=("fp32", "int8", "int4"),
            ),
            ParameterSpec(
                "execution_provider",
                str,
                "cpu",
                "The device that the graph is built for.",
                choices=("cpu", "cuda"),
                unavailable=cuda_unavailable,
            ),
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
                    "default",
                    "rtn",
                    "k_quant",
                    "rtn_last",
                    "k_quant_last",
                    "k_quant_mixed",
                    "k_quant_linear",
                ),
                search=("default", "rtn", "k_quant", "rtn_last", "k_quant_last", "k_quant_mixed"),
                applies=ROUNDED_HERE,
            ),
            ParameterSpec(
                "symmetric",
                bool,
                True,
                "Round around zero; false: a zero point for each block. k_quant always has one.",
                applies=ROUNDED_HERE | {"algorithm": ("default", "rtn", "rtn_last")},
            ),
            ParameterSpec(
                "share_embeddings",
                bool,
                True,
                "One table for embedding and output head where the model ties them; "
                "false: larger, and the embedding is not quantised.",
            ),
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse data types that the execution provider cannot run."""
        precision, provider = parameters["precision"], parameters["execution_provider"]
        if provider == "cpu" and precision == "bf16":
            return [
                "precision bf16 cannot run on the CPU: ONNX Runtime has no kernels for it there"
            ]
        if provider == "cpu" and precision == "fp16":
            return [
                "precision fp16 cannot generate on the CPU: ONNX Runtime fails in the attention's "
                "key-value cache; use fp32 there"
            ]
        return []

    def run(self, context: StageContext) -> None:
        """Build into the output folder; nothing is asked of the model hub."""
        source, parameters = context.model.path, context.parameters
        refuse_model(read_config(source), parameters)
        import onnxruntime_genai.models  # noqa: F401 - puts the builder's modules on the path
        from onnxruntime_genai.models.builder import create_model, parse_extra_options

        options = [f"{name}={value}" for name, value in builder_options(parameters).items()]
        where = (str(parameters["precision"]), str(parameters["execution_provider"]))
        with TemporaryDirectory() as cache_folder:
            arguments = (None, str(source), str(context.output), *where, cache_folder)
            try:
                create_model(*arguments, **parse_extra_options(*arguments, options))
            except NotImplementedError as error:
                raise PassError(
                    f"the GenAI model builder does not know this model: {error}"
                ) from error


def builder_options(parameters: Mapping[str, Value]) -> dict[str, str]:
    """The options that the builder reads at this precision, under its own names."""
    options: dict[str, Any] = {"hf_token": "false"}  # a local folder needs nobody's token
    if parameters["precision"] in QUANTISED:
        options |= {
            "block_size": parameters["block_size"],
            "accuracy_level": parameters["accuracy_level"],
            "algo_config": parameters["algorithm"],
            "is_symmetric": str(parameters["symmetric"]).lower(),
        }
    if not parameters["share_embeddings"]:
        options["shared_embeddings"] = "false"  # true would be an error for a model that ties none
    return {name: str(value) for name, value in options.items()}


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json; PassError where there is none."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PassError(f"{folder} is no transformers checkpoint: config.json: {error}") from error
    return config


def refuse_model(config: Mapping[str, Any], parameters: Mapping[str, Value]) -> None:
    """PassError where this model cannot be built or loaded with these parameters."""
    if parameters["precision"] != "int4":
        return
    algorithm, symmetric = str(parameters["algorithm"]), bool(parameters["symmetric"])
    tied = bool(config.get("tie_word_embeddings")) and bool(parameters["share_embeddings"])
    if algorithm == "default" and not symmetric and tied:
        raise PassError(
            "this model's embedding is tied to its output head, and the default algorithm cannot "
            "share an asymmetric 4-bit table: use algorithm rtn, symmetric: true, or "
            "share_embeddings: false"
        )
    if algorithm.startswith("k_quant") or (algorithm.startswith("rtn") and not symmetric):
        _refuse_odd_blocks(config, int(str(parameters["block_size"])))


def _refuse_odd_blocks(config: Mapping[str, Any], block: int) -> None:
    """Two 4-bit zero points share a byte, and the quantiser packs whole rows only."""
    odd = _odd_width(config, block)
    if odd is None:
        return
    fitting = [str(size) for size in BLOCKS if _odd_width(config, size) is None]
    raise PassError(
        f"with 4-bit zero points a matrix must have an even number of blocks in each row, but "
        f"{odd} weights in blocks of {block} make {_blocks(odd, block)}; "
        + (f"block_size {' or '.join(fitting)} fits this model" if fitting else "none fits it")
    )


def _odd_width(config: Mapping[str, Any], block: int) -> int | None:
    """The first width of a row of weights that makes an odd number of blocks."""
    return next((width for width in _widths(config) if _blocks(width, block) % 2), None)


def _blocks(width: int, block: int) -> int:
    return -(-width // block)


def _widths(config: Mapping[str, Any]) -> list[int]:
    """How many inputs the matrices have: of the hidden size, the attention heads and the MLP."""
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    head = config.get("head_dim") or (hidden // heads if hidden and heads else None)
    attention = heads * head if heads and head else None
    return [width for width in (hidden, attention, config.get("intermediate_size")) if width]
