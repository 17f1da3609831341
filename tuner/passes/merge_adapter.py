"""The `merge_adapter` pass: a LoRA adapter becomes part of its base model's weights.

Knows nothing of how the adapter was trained.
"""

from __future__ import annotations

from search_spaces.vocabulary import Aspect, PassSpec
from tuner.models.checkpoint import copy_other_files
from tuner.passes.base import Pass, PassError, StageContext


class MergeAdapter(Pass):
    """Adds the adapter's matrices to the base's, in the base's own data type."""

    spec = PassSpec(
        name="merge_adapter",
        version=1,
        help="Merge a LoRA adapter into the weights of its base model.",
        accepts=frozenset({"adapter"}),
        gives="hf",
        passes_through=frozenset({"hf", "quantized"}),
        changes=frozenset({Aspect.WEIGHTS}),
        neutral={},
        parameters=(),
        libraries=("torch", "transformers", "peft"),
    )

    def run(self, context: StageContext) -> None:
        """Write a checkpoint like the base's: the same tensors, and its other files untouched."""
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = context.model.base
        if base is None:
            raise PassError("an adapter can only be merged where its base model is known")
        model = AutoModelForCausalLM.from_pretrained(
            base.path, dtype="auto", local_files_only=True, trust_remote_code=False
        )
        merged = PeftModel.from_pretrained(model, context.model.path).merge_and_unload()
        merged.save_pretrained(context.output)
        copy_other_files(base.path, context.output)
