"""The evaluator `latency`: how long a request takes, until its first token and for each later one.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from evaluators.base import Artifact
from evaluators.statistics import STATISTICS
from evaluators.timed import TimedEvaluator, session_parameters
from evaluators.workloads import Workload, open_workload
from search_spaces.vocabulary import INPUT, Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

_CHECKPOINTS = frozenset({"hf", "adapter"})  # of either kind of model
_GENERATING = frozenset({"genai", "quantized"}) | _CHECKPOINTS


def _metric(name: str, text: str, formats: frozenset[str] = frozenset()) -> MetricSpec:
    depends_on = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
    return MetricSpec(name, "s", True, depends_on, text, STATISTICS, formats)


def _count(
    name: str, default: int, low: int, text: str, formats: frozenset[str] = frozenset()
) -> ParameterSpec:
    applies: dict[str, tuple[Value, ...]] = {INPUT: tuple(sorted(formats))} if formats else {}
    return ParameterSpec(name=name, type=int, default=default, help=text, low=low, applies=applies)


class Latency(TimedEvaluator):
    """Times requests of a fixed workload in the model's own runtime, in turn with the baseline's.

    Of a model that generates (in onnxruntime-genai, or a checkpoint in torch), a request starts
    with its generator, which no server can make beforehand, and ends when its last token has been
    read. `latency` is the whole of it, `ttft` the time to its first token (from the same start),
    `tpot` the time for each token after the first. Of a classifier (in onnxruntime, or torch), a
    request is one run on token ids: `latency`.

    Every process loads the model afresh, and the baseline in another process beside it; blocks of
    requests alternate between the two, so that what slows the machine down slows both. What is
    reported is the ratio of the two, times the baseline's own value over the whole study.
    """

    spec: ClassVar = EvaluatorSpec(
        name="latency",
        version=2,
        help="time of a request; where it generates, also to its first token and for each token",
        parameters=(
            _count("prompt_tokens", 64, 1, "tokens of a request's prompt"),
            _count("new_tokens", 16, 2, "tokens that a request generates", _GENERATING),
            _count("batch", 1, 1, "sequences of a request"),
            *session_parameters(requests=5),
        ),
        metrics=(
            _metric("latency", "time of a whole request"),
            _metric("ttft", "time from a request's start to its first token", _GENERATING),
            _metric("tpot", "time per output token after the first", _GENERATING),
        ),
        formats=_GENERATING | {"onnx"},
        libraries=("onnxruntime", "onnxruntime-genai", "torch", "transformers"),
    )

    def open(self, model: Artifact, options: Mapping[str, Value]) -> Workload:
        """The model, ready for its request."""
        return open_workload(model, options)
