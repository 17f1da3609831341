"""The `merge_adapter` pass: a LoRA adapter becomes part of its base model's weights.

Knows nothing of how the adapter was trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.base import Artifact
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.models.checkpoint import (
    copy_other_files,
    is_encoder,
    load_causal,
    load_classifier,
    read_config,
)
from tuner.models.quantized import dtype_of
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import EXACT, of_bits
from tuner.training.adapters import read_facts
from tuner.training.quantized_base import Quantisation, load_as_seen

_PACKING = "quantization_config"


class MergeAdapter(Pass):
    """Adds the adapter's matrices to the base's, in the base's own data type.

    An encoder gets the classification head that was trained with the adapter. A base with packed
    weights is unpacked first. With `dequantize`, an adapter of `qlora` goes onto the weights that
    it was trained on: those that the 4-bit ones stand for, rounding included.
    Source: peft's `merge_and_unload`.
    """

    spec = PassSpec(
        name="merge_adapter",
        version=1,
        help="Merge a LoRA adapter into the weights of its base model.",
        accepts=frozenset({"adapter"}),
        gives="hf",
        passes_through=frozenset({"hf", "quantized"}),
        changes=frozenset({Aspect.WEIGHTS}),
        neutral={},
        parameters=(
            ParameterSpec(
                "dequantize",
                bool,
                False,
                "Merge onto the base as qlora saw it, rounded to 4 bits, instead of the original.",
            ),
        ),
        libraries=("torch", "transformers", "peft", "bitsandbytes"),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """Nothing but rounding; with `dequantize` the base that was seen in training."""
        return of_bits(4) if parameters["dequantize"] else EXACT

    def run(self, context: StageContext) -> None:
        """Write a checkpoint like the base's: the same tensors, and its other files untouched."""
        from peft import PeftModel

        adapter, base = context.model.path, context.model.base
        if base is None:
            raise PassError("an adapter can only be merged where its base model is known")
        facts = read_facts(adapter)
        if context.parameters["dequantize"]:
            model = _base_as_seen(base, facts)
        elif "labels" in facts:
            model = load_classifier(base.path, facts["labels"])
        else:
            model = load_causal(base)
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        merged.save_pretrained(context.output)
        _copy_the_rest(base, context.output)


def _base_as_seen(base: Artifact, facts: dict[str, Any]) -> Any:
    """The base with the weights that its 4-bit matrices stood for, in its own data type."""
    if "quantisation" not in facts:
        raise PassError(
            "dequantize: this adapter was not trained on a quantised base; dequantize: false "
            "merges it, and qlora trains one that can be merged so"
        )
    return load_as_seen(base, Quantisation(**facts["quantisation"])).to(dtype_of(base.path))


def _copy_the_rest(base: Artifact, output: Path) -> None:
    """Tokenizer and the like; the base's configuration where the model has not got another."""
    config = read_config(base.path)
    if is_encoder(base.path):
        copy_other_files(base.path, output, but=("config.json",))
    elif _PACKING in config:
        del config[_PACKING]
        copy_other_files(base.path, output, but=("config.json",))
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (output / "config.json").write_text(text, encoding="utf-8")
    else:
        copy_other_files(base.path, output)
