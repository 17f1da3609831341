"""A small vocabulary of declarations, and a valid space in its words, for tests of the language."""

from __future__ import annotations

from pathlib import Path

from search_spaces.overrides import Overrides
from search_spaces.reader import Reading, parse_space
from search_spaces.vocabulary import (
    Aspect,
    EvaluatorSpec,
    MetricSpec,
    ParameterSpec,
    PassSpec,
    Value,
    Vocabulary,
)

WEIGHTS = frozenset({Aspect.WEIGHTS})
STRUCTURE = frozenset({Aspect.STRUCTURE})
RUNTIME = frozenset({Aspect.RUNTIME})
TIMES = ("p50", "p90", "p95", "mean")


def missing_provider(value: Value) -> str | None:
    """Say that only openvino is not there."""
    return "onnxruntime-openvino is not installed" if value == "openvino" else None


LORA = PassSpec(
    name="lora",
    version=1,
    help="Fine-tune with low-rank adapters.",
    parameters=(
        ParameterSpec("r", int, 16, "rank", low=1, high=512),
        ParameterSpec("alpha", float, 32.0, "scale", low=0.0),
        ParameterSpec("learning_rate", float, 2e-4, "step size", low=0.0, high=1.0),
        ParameterSpec("max_steps", int, 100, "how many steps", low=1, nullable=True),
        ParameterSpec("target_modules", list, "all-linear", "which layers"),
        ParameterSpec("rslora", bool, False, "scale by the root of the rank"),
    ),
    accepts=frozenset({"hf"}),
    gives="adapter",
    changes=WEIGHTS,
    uses_data=True,
)
MERGE = PassSpec(
    name="merge_adapter",
    version=1,
    help="Merge an adapter into its base.",
    parameters=(),
    accepts=frozenset({"adapter"}),
    gives="hf",
    changes=WEIGHTS,
    passes_through=frozenset({"hf"}),
)
GENAI = PassSpec(
    name="genai_builder",
    version=1,
    help="Build an ONNX Runtime GenAI folder.",
    parameters=(
        ParameterSpec("precision", str, "fp32", "of weights", choices=("fp32", "int8", "int4")),
        ParameterSpec("block_size", int, 32, "of int4", choices=(16, 32, 64, 128)),
        ParameterSpec(
            "execution_provider",
            str,
            "cpu",
            "where it runs",
            choices=("cpu", "openvino", "cuda"),
            unavailable=missing_provider,
        ),
    ),
    accepts=frozenset({"hf"}),
    gives="genai",
    changes=STRUCTURE,
    neutral={"precision": "fp32"},
)
SESSION = PassSpec(
    name="session",
    version=1,
    help="Set the options of a session.",
    parameters=(
        ParameterSpec("threads", int, 1, "threads of one operator", low=1, high=64),
        ParameterSpec(
            "mode", str, "sequential", "of operators", choices=("sequential", "parallel")
        ),
        ParameterSpec("tag", str, "", "a note"),
    ),
    accepts=frozenset({"genai"}),
    gives=None,
    changes=RUNTIME,
    neutral={},
)
LATENCY = EvaluatorSpec(
    name="latency",
    version=1,
    help="Times of requests.",
    parameters=(
        ParameterSpec("prompt_tokens", int, 64, "length of the prompt", low=1, high=4096),
        ParameterSpec("new_tokens", int, 16, "tokens to generate", low=1),
    ),
    metrics=(
        MetricSpec("latency", "s", True, STRUCTURE | RUNTIME, "a whole request", TIMES),
        MetricSpec("ttft", "s", True, STRUCTURE | RUNTIME, "time to first token", TIMES),
        MetricSpec("tpot", "s", True, STRUCTURE | RUNTIME, "time per output token", TIMES),
        MetricSpec("throughput", "tokens/s", False, STRUCTURE | RUNTIME, "tokens a second"),
    ),
    formats=frozenset({"genai"}),
)
ACCURACY = EvaluatorSpec(
    name="accuracy",
    version=1,
    help="Share of right labels.",
    parameters=(),
    metrics=(MetricSpec("accuracy", "fraction", False, WEIGHTS | STRUCTURE, "right labels"),),
    formats=frozenset({"genai", "hf"}),
    needs_labels=True,
)
SIZE = EvaluatorSpec(
    name="size",
    version=1,
    help="Bytes on disk.",
    parameters=(),
    metrics=(MetricSpec("size", "B", True, STRUCTURE, "bytes on disk"),),
    formats=frozenset({"genai", "hf", "adapter"}),
)
PERPLEXITY = EvaluatorSpec(
    name="perplexity",
    version=1,
    help="Perplexity.",
    parameters=(),
    metrics=(MetricSpec("perplexity", "", True, WEIGHTS | STRUCTURE, "perplexity"),),
    formats=frozenset({"genai", "hf"}),
)

VOCABULARY = Vocabulary(
    passes={spec.name: spec for spec in (LORA, MERGE, GENAI, SESSION)},
    evaluators={spec.name: spec for spec in (LATENCY, ACCURACY, SIZE, PERPLEXITY)},
)

SPACE = """\
model: org/tiny
task: text-classification
data:
  files: tones.jsonl
  template: "Text: {phrase}\\nTone: {tone}"
  label: tone
pipeline:
  - lora:
      r: {choices: [4, 16, 64]}
      learning_rate: {range: [1e-4, 2.0e-3], log: true}
      max_steps: 100
    optional: true
  - merge_adapter
  - genai_builder:
      precision: {choices: [fp32, int8, int4]}
      block_size: {choices: [32, 128], when: "precision == 'int4'"}
  - session:
      threads: {choices: [1, 2]}
metrics:
  latency: {prompt_tokens: 32}
objectives: [minimize latency, maximize accuracy]
constraints:
  - latency<50ms
  - accuracy>=baseline-2%
search: {strategy: tpe, trials: 30, seed: 7}
limits: {time: 10m, memory: 4GB}
"""


def write_data(folder: Path) -> Path:
    """Make the folder of the space, with its (empty) data file, and name the space file in it."""
    (folder / "tones.jsonl").touch()
    return folder / "space.yaml"


def read(text: str, path: Path, overrides: Overrides | None = None) -> Reading:
    """Read a space in the words of the sample vocabulary."""
    return parse_space(text, path, VOCABULARY, overrides)
