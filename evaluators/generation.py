"""The evaluator `generation`: what a language model writes, against what it should have written.

Knows nothing of passes or of the search, nor in which runtime a model is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from evaluators.answers import chrf, exact_match, rouge_l
from evaluators.base import (
    Artifact,
    Estimate,
    Evaluator,
    Interval,
    Json,
    Measurement,
    MeasurementError,
)
from evaluators.greedy import Generating, generate_text
from evaluators.rows import Rows
from evaluators.runtimes.models import open_language_model
from evaluators.shares import mean_interval, paired_mean
from search_spaces.data import DataSpec, Row, read_split
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

_FEWEST_JUDGED = 8  # items; fewer may well have the same answer
_SHOWN = 200  # characters of a prompt that are kept: its end


def _metric(name: str, help_: str) -> MetricSpec:
    depends_on = frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE})
    return MetricSpec(name, "fraction", False, depends_on, help_)


class Generation(Evaluator):
    r"""Lets a language model answer, greedily, and compares the answers with the data's.

    The prompt is the template up to the placeholder of the `label` column, which holds the
    answers, without spaces at its end: those begin the answer, as a tokenizer has it. The answer
    ends where the model ends it, before the first of the `stop` texts, or after `max_new_tokens`.
    Instruct models seldom end a short answer by themselves: `stop: ["\n"]` takes the first line.

    `exact_match` compares, unless `normalise` is off, as SQuAD does: in lower case, without
    punctuation and without a, an and the, white space squeezed. `rouge_l` is the F1 of the longest
    common subsequence of words (letters and digits, lower case, not stemmed). `chrf` is sacrebleu's
    chrF (characters 1 to 6, beta 2) over 100, so that it goes from 0 to 1. All three are means
    over items. Labels that are one of a few names are better judged by `accuracy`, which is faster.
    """

    spec: ClassVar = EvaluatorSpec(
        name="generation",
        version=1,
        help="how near greedy answers come to the data's",
        parameters=(
            ParameterSpec(
                name="max_new_tokens",
                type=int,
                default=32,
                help="tokens of an answer, at most",
                low=1,
                high=4096,
            ),
            ParameterSpec(
                name="max_items",
                type=int,
                default=64,
                help="answer no more than this many items, spread over the split; null: all",
                low=1,
                nullable=True,
            ),
            ParameterSpec(
                name="stop",
                type=list,
                default=(),
                help="texts before which an answer ends; none: where the model ends it",
            ),
            ParameterSpec(
                name="normalise",
                type=bool,
                default=True,
                help="exact_match ignores case, punctuation, a, an, the, and extra white space",
            ),
        ),
        metrics=(
            _metric("exact_match", "share of answers that are the reference"),
            _metric("rouge_l", "ROUGE-L, the F1 of the longest common subsequence of words"),
            _metric("chrf", "chrF, the F2 of common stretches of 1 to 6 characters"),
        ),
        formats=frozenset({"hf", "quantized", "adapter", "genai"}),
        needs_labels=True,
        libraries=(
            "onnxruntime",
            "onnxruntime-genai",
            "peft",
            "sacrebleu",
            "torch",
            "transformers",
        ),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Answer a split.

        An item is {"prompt" (its end), "reference", "generated", "tokens", "exact_match",
        "rouge_l", "chrf"}. A fault where every answer is empty, or the same.
        """
        if data is None or data.label is None:
            raise MeasurementError("generation needs data with a label column, which it answers")
        if "" in (stops := _texts(options["stop"])):
            raise MeasurementError("stop: an empty text would end every answer before it begins")
        rows = _spread(read_split(data, split), options["max_items"])
        opened = open_language_model(model)
        reading = Rows(opened.tokenizer, data)
        prompts = [_prompt(reading, row) for row in rows]
        encoded = reading.encode(prompts)
        most = _number(options["max_new_tokens"])
        _check_length(encoded, most, opened.context_length)
        normalise = bool(options["normalise"])
        items = [
            _item(opened, prompt, ids, row[data.label], most, stops, normalise)
            for prompt, ids, row in zip(prompts, encoded, rows, strict=True)
        ]
        conditions = opened.conditions() | {"split": split}
        return Measurement(items=items, conditions=conditions, faults=_faults(items, prompts))

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The mean over items; see `shares.mean_interval`."""
        values = _values(measurements, metric)
        found = mean_interval(values)
        return Estimate(metric, None, found.value, found.low, found.high, "fraction", len(values))

    def paired(
        self,
        measurements: Sequence[Measurement],
        baseline: Sequence[Measurement],
        metric: str,
        factor: float,
    ) -> Interval | None:
        """By the items, which are the same and in the same order; see `shares.paired_mean`."""
        values, before = _values(measurements, metric), _values(baseline, metric)
        return paired_mean(values, before, factor) if len(values) == len(before) else None


def _values(measurements: Sequence[Measurement], metric: str) -> list[float]:
    return [float(item[metric]) for measured in measurements for item in measured.items]


def _texts(value: Value) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, (tuple, list)) else ()


def _number(value: Value) -> int:
    assert isinstance(value, int), "the option is declared as a whole number"
    return value


def _spread(rows: list[Row], most: Any) -> list[Row]:
    """At most so many rows, evenly over the split: a file may be in some order."""
    if most is None or most >= len(rows):
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


def _prompt(reading: Rows, row: Row) -> str:
    prompt = reading.question(row).rstrip(" \t")
    if not prompt:
        label = reading.data.label
        raise MeasurementError(
            f"template: there is nothing before {{{label}}} to answer; put some text there"
        )
    return prompt


def _check_length(prompts: Sequence[Sequence[int]], most: int, limit: int | None) -> None:
    for number, prompt in enumerate(prompts, 1):
        if limit is not None and len(prompt) + most > limit:
            raise MeasurementError(
                f"item {number} has {len(prompt)} tokens, with max_new_tokens {most} over the "
                f"model's context of {limit}"
            )


def _item(
    model: Generating,
    prompt: str,
    ids: Sequence[int],
    reference: str,
    most: int,
    stops: Sequence[str],
    normalise: bool,
) -> Json:
    text, tokens = generate_text(model, ids, most, stops)
    return {
        "prompt": prompt if len(prompt) <= _SHOWN else f"...{prompt[-_SHOWN:]}",
        "reference": reference,
        "generated": text,
        "tokens": tokens,
        "exact_match": exact_match(reference, text, normalise),
        "rouge_l": rouge_l(reference, text),
        "chrf": chrf(reference, text),
    }


def _faults(items: Sequence[Json], prompts: Sequence[str]) -> list[str]:
    """Answers that are worth nothing, whatever they score."""
    texts = {item["generated"].strip() for item in items}
    if len(texts) > 1:
        return []
    text, count = min(texts), len(items)
    if not text:
        return [f"generates nothing for {_all_of(count)}{_stopped(items)}"]
    asked = len(set(prompts)) > 1 and len({item["reference"] for item in items}) > 1
    if asked and count >= _FEWEST_JUDGED:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        return [f"generates {shown!r} for {_all_of(count)}"]
    return []


def _all_of(count: int) -> str:
    return "its only item" if count == 1 else f"all of {count} items"


def _stopped(items: Sequence[Json]) -> str:
    """What to think of, where there was some text, but none before a stop text."""
    return " before a stop text" if any(item["tokens"] for item in items) else ""
