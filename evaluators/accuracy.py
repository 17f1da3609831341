"""The evaluator `accuracy`: how often the most probable label is the right one.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from evaluators.base import (
    Artifact,
    Estimate,
    Evaluator,
    Interval,
    Json,
    Measurement,
    MeasurementError,
)
from evaluators.items import paired_difference
from evaluators.scores import Question, log_probabilities
from evaluators.statistics import wilson
from evaluators.text import classifier_text, cut_choices, encode_texts, split_prompt
from search_spaces.data import DataSpec, Row, labels, read_split
from search_spaces.problems import listed
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value


class Accuracy(Evaluator):
    """Scores every label by its log-probability, and takes the best.

    Of a model that generates, the probability is that of everything from the label's placeholder
    on, after the prompt, summed over tokens; it runs on the CPU, whatever provider it was built
    for. A classifier gives the probabilities itself, on the provider that its session asks for;
    it reads one text at a time, since in a batch that is quantised as it comes in, one text
    changes what becomes of another.
    """

    spec: ClassVar = EvaluatorSpec(
        name="accuracy",
        version=1,
        help="share of items whose right label is the most probable one",
        parameters=(
            ParameterSpec(
                name="max_items",
                type=int,
                default=None,
                help="score no more than this many items, spread over the split; null: all",
                low=1,
                nullable=True,
            ),
        ),
        metrics=(
            MetricSpec(
                name="accuracy",
                unit="fraction",
                lower_is_better=False,
                depends_on=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
                help="share of items whose right label is the most probable one",
            ),
        ),
        formats=frozenset({"genai", "onnx"}),
        needs_labels=True,
        libraries=("onnxruntime", "transformers"),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Score a split. An item is {"label", "predicted", "scores": {label: log-probability}}.

        Of equally probable labels the first in the alphabet is predicted.
        """
        if data is None or data.label is None:
            raise MeasurementError("accuracy needs data with a label column")
        rows = _spread(read_split(data, split), options["max_items"])
        score = _generated_scores if model.format == "genai" else _classified_scores
        scores, conditions = score(model.path, data, rows)
        classes = labels(data)
        pairs = zip(rows, scores, strict=True)
        items = [_item(row[data.label], classes, values) for row, values in pairs]
        predicted = len({item["predicted"] for item in items})
        return Measurement(
            items=items, conditions=conditions | {"split": split, "predicted_classes": predicted}
        )

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The share of right items, with Wilson's interval."""
        items = [item for measurement in measurements for item in measurement.items]
        right = sum(item["label"] == item["predicted"] for item in items)
        found = wilson(right, len(items))
        return Estimate(metric, None, found.value, found.low, found.high, "fraction", len(items))

    def paired(
        self,
        measurements: Sequence[Measurement],
        baseline: Sequence[Measurement],
        metric: str,
        factor: float,
    ) -> Interval | None:
        """By the items, which are the same and in the same order; see `paired_difference`."""
        items, before = measurements[0].items, baseline[0].items
        return paired_difference(items, before, factor) if len(items) == len(before) else None


def _spread(rows: list[Row], most: Any) -> list[Row]:
    """At most so many rows, evenly over the split: a file may be sorted by label."""
    if most is None or most >= len(rows):
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


Scores = Sequence[Sequence[float]]
"""For every row, a log-probability for each of the data's labels, in their order."""


def _generated_scores(folder: Path, data: DataSpec, rows: Sequence[Row]) -> tuple[Scores, Json]:
    """What a model that generates makes of the labels, and how it ran."""
    from evaluators.runtimes.scoring import Scoring
    from evaluators.runtimes.tokenizer import load_tokenizer

    questions = _questions(load_tokenizer(folder), data, rows, labels(data))
    scoring = Scoring(folder)
    _check_length(questions, scoring.context_length)
    return log_probabilities(scoring, questions), scoring.conditions()


def _classified_scores(folder: Path, data: DataSpec, rows: Sequence[Row]) -> tuple[Scores, Json]:
    """What a classifier makes of the labels, and how it ran."""
    from evaluators.runtimes.onnx import Encoder

    encoder, classes = Encoder(folder), labels(data)
    _check_labels(encoder.labels, classes)
    texts = [_text(data, row) for row in rows]
    encoded, cut = encoder.tokenise(texts)
    found: dict[int, list[float]] = {}
    # By length: a runtime that prepares itself for a shape does so once for each.
    for i in sorted(range(len(rows)), key=lambda i: len(encoded[i])):
        scores = encoder.log_probabilities(encoded[i])
        found[i] = [scores[name] for name in classes]
    return [found[i] for i in range(len(rows))], encoder.conditions() | {"cut_texts": cut}


def _text(data: DataSpec, row: Row) -> str:
    try:
        text = classifier_text(data.template, str(data.label), row)
    except ValueError as error:
        raise MeasurementError(str(error)) from error
    if not text:
        raise MeasurementError(
            "the template begins with the label, but an encoder reads what is before it"
        )
    return text


def _check_labels(own: Sequence[str], classes: Sequence[str]) -> None:
    """MeasurementError where the model and the data do not have the same labels."""
    if sorted(own) == sorted(classes):
        return
    missing = [name for name in classes if name not in own]
    foreign = [name for name in own if name not in classes]
    words = [f"the model lacks {listed(missing, 'and')}"] if missing else []
    words += [f"the data lacks {listed(foreign, 'and')}"] if foreign else []
    raise MeasurementError(
        f"the model's labels are not the data's: {', '.join(words) or 'one comes twice'}; "
        "fine-tune it on this data, or say under data which column holds its labels"
    )


def _questions(
    tokenizer: Any, data: DataSpec, rows: Sequence[Row], classes: Sequence[str]
) -> list[Question]:
    label = str(data.label)
    pairs = [
        [split_prompt(data.template, label, {**row, label: name}) for name in classes]
        for row in rows
    ]
    alone = encode_texts(tokenizer, [row_pairs[0][0] for row_pairs in pairs])
    joint = encode_texts(tokenizer, [p + c for row_pairs in pairs for p, c in row_pairs])
    questions = []
    for i, prompt in enumerate(alone):
        joints = joint[i * len(classes) : (i + 1) * len(classes)]
        try:
            ids, completions = cut_choices(tokenizer, prompt, joints)
        except ValueError as error:
            raise MeasurementError(str(error)) from error
        questions.append(Question(tuple(ids), tuple(map(tuple, completions))))
    return questions


def _check_length(questions: Sequence[Question], limit: int | None) -> None:
    for number, question in enumerate(questions, 1):
        length = len(question.prompt) + max(map(len, question.completions))
        if limit is not None and length > limit:
            raise MeasurementError(
                f"item {number} has {length} tokens, over the model's context of {limit}"
            )


def _item(label: str, classes: Sequence[str], scores: Sequence[float]) -> Json:
    by_label = dict(zip(classes, scores, strict=True))
    return {"label": label, "predicted": max(classes, key=by_label.__getitem__), "scores": by_label}
