"""The evaluator `accuracy`: how often the most probable label is the right one.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from evaluators.base import Artifact, Estimate, Evaluator, Json, Measurement, MeasurementError
from evaluators.scores import Question, log_probabilities
from evaluators.statistics import wilson
from evaluators.text import cut_choices, encode_texts, split_prompt
from search_spaces.data import DataSpec, Row, labels, read_split
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value


class Accuracy(Evaluator):
    """Scores every label by its log-probability after the prompt, and takes the best.

    The probability is that of everything from the label's placeholder on, summed over tokens.
    The model runs on the CPU, whatever provider it was built for.
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
        formats=frozenset({"genai"}),
        needs_labels=True,
        libraries=("onnxruntime", "transformers"),
    )

    def measure(
        self, model: Artifact, options: Mapping[str, Value], data: DataSpec | None, split: str
    ) -> Measurement:
        """Score a split. An item is {"label", "predicted", "scores": {label: log-probability}}.

        Of equally probable labels the first in the alphabet is predicted.
        """
        if data is None or data.label is None:
            raise MeasurementError("accuracy needs data with a label column")
        from evaluators.runtimes.scoring import Scoring

        rows = _spread(read_split(data, split), options["max_items"])
        classes = labels(data)
        questions = _questions(_tokenizer(model.path), data, rows, classes)
        scoring = Scoring(model.path)
        _check_length(questions, scoring.context_length)
        scores = log_probabilities(scoring, questions)
        pairs = zip(rows, scores, strict=True)
        items = [_item(row[data.label], classes, values) for row, values in pairs]
        predicted = len({item["predicted"] for item in items})
        conditions = scoring.conditions() | {"split": split, "predicted_classes": predicted}
        return Measurement(items=items, conditions=conditions)

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


def _spread(rows: list[Row], most: Any) -> list[Row]:
    """At most so many rows, evenly over the split: a file may be sorted by label."""
    if most is None or most >= len(rows):
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MeasurementError(f"{folder}: the tokenizer cannot be loaded: {reason}") from error


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
