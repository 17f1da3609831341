"""The `genai_builder` pass: a transformers checkpoint becomes an ONNX Runtime GenAI model.

Its parameters, what they are called by the builder and what cannot be built are in `tuner.genai`,
which other passes share. Knows nothing of measurements.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.vocabulary import Aspect, PassSpec, Value
from tuner.genai import builder, legality
from tuner.genai.errors import Unbuildable
from tuner.genai.parameters import PARAMETERS
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import of_genai


class GenaiBuilder(Pass):
    """Builds the graph, quantises its weights, writes `genai_config.json` and the tokenizer.

    Runs `onnxruntime_genai.models.builder`. A build for a provider that this machine lacks works
    all the same; it needs no such device.
    """

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
        libraries=builder.LIBRARIES,
        parameters=PARAMETERS,
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse what the builder cannot build, or the execution provider cannot run."""
        return legality.check(parameters)

    def environment(self, parameters: Mapping[str, Value]) -> Mapping[str, str]:
        """The content of the file of cache scales, where one is named."""
        return builder.environment(parameters)

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What the fewest bits that anything is kept in can explain."""
        return of_genai(parameters, model_format)

    def run(self, context: StageContext) -> None:
        """Build into the output folder; nothing is asked of the model hub."""
        try:
            builder.build(context.model, context.parameters, context.output)
        except Unbuildable as error:
            raise PassError(str(error)) from error
