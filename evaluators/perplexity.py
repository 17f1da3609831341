"""The evaluator `perplexity`: how well a language model foretells a text.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evaluators.base import (
    Artifact,
    DeadModel,
    Estimate,
    Evaluator,
    Interval,
    Json,
    Measurement,
    MeasurementError,
)
from evaluators.jackknife import jackknife
from evaluators.runtimes.models import LanguageModel, generates, open_language_model
from evaluators.windows import Window, encode_most, read_texts, strided, window_size
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AT_ONCE = 64  # positions whose probabilities are held in float64
_LARGEST = 700.0  # nats a token; the exponential of more is no float
_AS_GUESSING = 1e-3  # nats a token, within which a model is as bad as a uniform guess


def _metric(name: str, unit: str, words: str) -> MetricSpec:
    return MetricSpec(name, unit, True, frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}), words)


class Perplexity(Evaluator):
    """Lets a language model read a text, and asks how probable it held each token of it.

    `perplexity` compares only models that cut text into the same tokens; `bits_per_byte` compares
    others too, and with `max_tokens` null they read the very same text. A model that does no better
    than a guess among all its tokens is dead. Intervals are over windows: they say how much the
    figure would vary with other text of the kind; against the baseline, windows are paired.

    `perplexity` is the exponential of the mean negative log-likelihood of a token, `bits_per_byte`
    the whole negative log-likelihood in bits over the UTF-8 bytes of what was scored.

    The text is read in windows of `context` tokens, each moved on by `stride`, so that every token
    counts once and has context - stride tokens or more before it, as far as the text has them.
    Each window begins with the special tokens that the tokenizer puts before a text; where it puts
    none, the first token of a text does not count. Without `file`, every row of the data's split,
    in its template and with its label, is a text of its own.

    The interval is by the jackknife, with neighbouring windows taken together; see `jackknife`.
    """

    spec: ClassVar = EvaluatorSpec(
        name="perplexity",
        version=1,
        help="how well a language model foretells a text",
        parameters=(
            ParameterSpec(
                "file",
                Path,
                None,
                "a text file (UTF-8) to read; null: the rows of the space's data, in their "
                "template",
                nullable=True,
            ),
            ParameterSpec(
                "context",
                int,
                512,
                "tokens of a window; no more than the model can take",
                low=8,
            ),
            ParameterSpec(
                "stride",
                int,
                None,
                "tokens by which the window moves on; null: half of it",
                low=1,
                nullable=True,
            ),
            ParameterSpec(
                "max_tokens",
                int,
                4096,
                "read no more than this many tokens: the file's first, or rows spread over the "
                "split; null: all",
                low=2,
                nullable=True,
            ),
        ),
        metrics=(
            _metric(
                "perplexity",
                "",
                "exponential of the mean negative log-likelihood of a token; compares models with "
                "the same tokens",
            ),
            _metric(
                "bits_per_byte",
                "bits/B",
                "negative log-likelihood of the text per byte of it; compares models with other "
                "tokens too",
            ),
        ),
        text="file",
        formats=frozenset({"genai", "hf", "quantized", "adapter"}),
        libraries=("onnxruntime", "torch", "transformers"),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Score a text. An item is a window: {"tokens", "bytes", "nll"}, scored ones, in nats.

        A model that does no better than a guess among all tokens has a fault.
        """
        if not generates(model):
            raise MeasurementError(
                "perplexity is of language models that generate; this one is an encoder"
            )
        opened = open_language_model(model)
        texts = read_texts(options["file"], data, split, opened.tokenizer)
        most: Any = options["max_tokens"]
        encoded = encode_most(opened.tokenizer, texts, most)
        context = window_size(options["context"], opened.context_length)
        stride: Any = options["stride"] or context // 2
        windows = [window for tokens in encoded for window in strided(tokens, context, stride)]
        if not windows:
            raise MeasurementError("no text has 2 tokens, and nothing foretells the first of one")
        items, vocabulary = score(opened, windows)
        return Measurement(
            items=items,
            conditions=opened.conditions()
            | {
                "text": options["file"] or split,
                "texts": len(encoded),
                "context": context,
                "stride": stride,
                "vocabulary": vocabulary,
            },
            faults=_faults(items, vocabulary),
        )

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The figure over all windows. NotEnoughSamples with a single one."""
        items = [item for measurement in measurements for item in measurement.items]
        found = _interval(items, metric)
        unit = next(spec.unit for spec in self.spec.metrics if spec.name == metric)
        return Estimate(metric, None, found.value, found.low, found.high, unit, len(items))

    def paired(
        self,
        measurements: Sequence[Measurement],
        baseline: Sequence[Measurement],
        metric: str,
        factor: float,
    ) -> Interval | None:
        """By windows, where both models were scored on the same; else None.

        They are the same text where they have as many bytes, one by one; for `perplexity` they
        must be the same tokens too.
        """
        ours = [item for measurement in measurements for item in measurement.items]
        theirs = [item for measurement in baseline for item in measurement.items]
        same = {"bytes", _PER[metric]}
        if [[i[n] for n in same] for i in ours] != [[i[n] for n in same] for i in theirs]:
            return None
        rows = [(a["nll"], b["nll"], a[_PER[metric]]) for a, b in zip(ours, theirs, strict=True)]
        make = _MAKE[metric]
        return jackknife(
            rows, lambda s: make(s[0] / s[2]) - factor * make(s[1] / s[2]), of="windows"
        )


def _exp(nats: float) -> float:
    return math.exp(min(nats, _LARGEST))


def _bits(nats: float) -> float:
    return nats / math.log(2)


_PER = {"perplexity": "tokens", "bits_per_byte": "bytes"}
_MAKE = {"perplexity": _exp, "bits_per_byte": _bits}
"""Metric -> what the mean negative log-likelihood is over, and what is made of it."""


def _interval(items: Sequence[Json], metric: str) -> Interval:
    """The figure; its interval is symmetric in nats, and the metric's is made of its ends."""
    rows = [(item["nll"], item[_PER[metric]]) for item in items]
    mean = jackknife(rows, lambda sums: sums[0] / sums[1], of="windows")
    ends = (mean.value, max(0.0, mean.low), mean.high)  # no probability is over 1
    value, low, high = map(_MAKE[metric], ends)
    return Interval(value, low, high)


def score(model: LanguageModel, windows: Sequence[Window]) -> tuple[list[Json], int]:
    """The items of windows, and how many tokens the model chooses from.

    One at a time: in a batch that is quantised as it comes in, one text changes another's.
    DeadModel where the model rules out what is in the text.
    """
    import numpy as np

    items: list[Json] = []
    vocabulary = 0
    for window in windows:
        logits = model.logits(np.array([window.ids], np.int64))[0]
        vocabulary = logits.shape[-1]
        targets = np.array(window.ids[-window.scored :], np.int64)
        nll = _negative_log_likelihood(logits[-window.scored - 1 : -1], targets)
        if not math.isfinite(nll):
            raise DeadModel("the model gives a token of the text a probability of 0 or none")
        items.append({"tokens": window.scored, "bytes": window.bytes, "nll": nll})
    return items, vocabulary


def _negative_log_likelihood(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """Of one token for each row of logits (tokens, vocabulary), in nats, all together."""
    import numpy as np

    total = 0.0
    for start in range(0, len(targets), _AT_ONCE):
        rows = logits[start : start + _AT_ONCE].astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        chosen = np.take_along_axis(rows, targets[start : start + _AT_ONCE, None], axis=1)[:, 0]
        total += float((np.log(np.exp(rows).sum(axis=1)) - chosen).sum())
    return total


def _faults(items: Sequence[Json], vocabulary: int) -> list[str]:
    mean = sum(item["nll"] for item in items) / sum(item["tokens"] for item in items)
    if mean < math.log(vocabulary) - _AS_GUESSING:
        return []
    return [f"perplexity {_exp(mean):.4g}: no better than a guess among all {vocabulary} tokens"]
