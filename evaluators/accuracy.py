"""The evaluator `accuracy`: how often the most probable label is the right one, and F1 scores.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from evaluators import f1
from evaluators.base import Artifact, Estimate, Interval, Json, Measurement, MeasurementError
from evaluators.floors import floors
from evaluators.items import paired_difference
from evaluators.parts import (
    WHOLE,
    EvaluatorInParts,
    SplitPart,
    all_there,
    pooled,
    same_items,
)
from evaluators.rows import Rows
from evaluators.runtimes.models import generates, open_classifier, open_language_model
from evaluators.scores import Question, log_probabilities
from evaluators.statistics import wilson
from evaluators.text import classifier_text, cut_choices
from search_spaces.data import DataSpec, Row, labels, read_split
from search_spaces.problems import hint, listed
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value


def _metric(name: str, help_: str) -> MetricSpec:
    depends = frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE})
    return MetricSpec(name, "fraction", lower_is_better=False, depends_on=depends, help=help_)


class Accuracy(EvaluatorInParts):
    """Scores every label by its log-probability, and takes the best.

    Of a model that generates, the probability is that of everything from the label's placeholder
    on, after the prompt, summed over tokens; it runs on the CPU, whatever provider it was built
    for. A classifier gives the probabilities itself, on the provider that its session asks for;
    it reads one text at a time, since in a batch that is quantised as it comes in, one text
    changes what becomes of another.

    `accuracy` is the share of right items, with Wilson's interval. `macro_f1` is the mean of the
    F1 of all labels, rare ones counting as much as frequent ones. `f1` is the F1 of the label that
    the option `positive` names against all others; without it, the mean of the F1 of all labels,
    weighted by how many items have each. Their intervals are those of the delta method.

    A limit relative to the baseline is judged by what both models made of the same items.

    A model that answers the same label for items of several, or that is right no more often than
    always answering the most frequent label (unless `floor` is none), counts as dead. What always
    the most frequent label and what the nearest training row would score is kept beside the
    numbers.

    A split of 400 items or more is measured in parts (`evaluators.parts`): for a candidate that is
    clearly worse than others the first is enough. Whether a model is dead is judged by all parts.
    """

    spec: ClassVar = EvaluatorSpec(
        name="accuracy",
        version=2,
        help="how often, and how well for every label, the most probable label is the right one",
        parameters=(
            ParameterSpec(
                name="max_items",
                type=int,
                default=None,
                help="score no more than this many items, spread over the split; null: all",
                low=1,
                nullable=True,
            ),
            ParameterSpec(
                name="positive",
                type=str,
                default=None,
                help="the label that f1 is of; null: f1 is of all labels, weighted by their items",
                nullable=True,
            ),
            ParameterSpec(
                name="floor",
                type=str,
                default="majority",
                help="majority: a model no better than always answering the most frequent label "
                "is dead; none: it is not",
                choices=("majority", "none"),
            ),
        ),
        metrics=(
            _metric("accuracy", "share of items whose right label is the most probable one"),
            _metric("f1", "F1 of the label `positive`; without it, of all labels by their items"),
            _metric("macro_f1", "mean of the F1 of every label"),
        ),
        formats=frozenset({"hf", "quantized", "adapter", "genai", "onnx"}),
        needs_labels=True,
        libraries=("onnxruntime", "torch", "transformers"),
    )

    def parts(self, options: Mapping[str, Value], items: int) -> int:
        """By the items that are scored: `max_items` at most."""
        most = options["max_items"]
        return super().parts(options, items if most is None else min(items, int(str(most))))

    def measure_part(
        self,
        part: SplitPart,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
    ) -> Measurement:
        """Score items, each {"label", "predicted", "scores": {label: log-probability}}.

        Of equally probable labels the first in the alphabet is predicted.
        """
        if data is None or data.label is None:
            raise MeasurementError("accuracy needs data with a label column")
        classes = labels(data)
        _check_positive(options["positive"], classes)
        spread = _spread(read_split(data, split), options["max_items"])
        rows = [spread[i] for i in part.choose([row[data.label] for row in spread])]
        score = _generated_scores if generates(model) else _classified_scores
        scores, conditions = score(model, data, rows)
        pairs = zip(rows, scores, strict=True)
        items = [_item(row[data.label], classes, values) for row, values in pairs]
        predicted = len({item["predicted"] for item in items})
        about = {"split": split, "predicted_classes": predicted, "positive": options["positive"]}
        if part.number == 0:  # they are of the whole split: once is enough
            about["floors"] = floors(data, split).to_json()
        if part != WHOLE:
            about |= {"part": part.to_json(), "floor": options["floor"]}
            return Measurement(items=items, conditions=conditions | about)
        faults = _faults(items, options["floor"] == "majority")
        return Measurement(items=items, conditions=conditions | about, faults=faults)

    def faults(self, measurements: Sequence[Measurement]) -> Sequence[str]:
        """By the items of all parts; none as long as some are not there."""
        if SplitPart.of_measurement(measurements[0]) == WHOLE:
            return super().faults(measurements)
        majority = measurements[0].conditions["floor"] == "majority"
        return _faults(pooled(measurements), majority) if all_there(measurements) else []

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The share of right items, or an F1, with its interval."""
        items = pooled(measurements)
        positive = options.get("positive")
        if metric == "accuracy":
            right = sum(item["label"] == item["predicted"] for item in items)
            found = wilson(right, len(items))
        elif metric == "f1" and positive is not None:
            found = f1.binary_interval(items, str(positive))
        else:
            found = f1.interval(items, _score(metric, positive))
        return Estimate(metric, None, found.value, found.low, found.high, "fraction", len(items))

    def paired(
        self,
        measurements: Sequence[Measurement],
        baseline: Sequence[Measurement],
        metric: str,
        factor: float,
    ) -> Interval | None:
        """By the items that both were measured on; see `evaluators.items`, `f1`."""
        same = same_items(measurements, baseline)
        if same is None:
            return None
        items, before = same
        if metric == "accuracy":
            return paired_difference(items, before, factor)
        score = _score(metric, measurements[0].conditions.get("positive"))
        return f1.paired_difference(items, before, score, factor)


def _score(metric: str, positive: Value) -> f1.Score:
    if metric == "macro_f1":
        return f1.macro
    return f1.weighted if positive is None else f1.f1_of(str(positive))


def _check_positive(positive: Value, classes: Sequence[str]) -> None:
    if positive is not None and positive not in classes:
        near = hint(str(positive), classes)
        raise MeasurementError(
            f"positive: {positive!r} is no label of the data; it has {listed(classes, 'and')}{near}"
        )


def _faults(items: Sequence[Json], majority: bool) -> list[str]:
    """Why the answers are worth nothing, if they are; items of one label alone cannot tell."""
    counts = Counter(item["label"] for item in items)
    if len(counts) < 2:
        return []
    answers = {item["predicted"] for item in items}
    if len(answers) == 1:
        return [f"answers {answers.pop()!r} for all of {len(items)} items"]
    label, most = min(counts.items(), key=lambda found: (-found[1], found[0]))
    right = sum(item["label"] == item["predicted"] for item in items)
    if not majority or right > most:
        return []
    share = 100 / len(items)
    return [
        f"right for {right * share:.1f} % of {len(items)} items, no better than always answering "
        f"{label!r} ({most * share:.1f} %)"
    ]


def _spread(rows: list[Row], most: Any) -> list[Row]:
    """At most so many rows, evenly over the split: a file may be sorted by label."""
    if most is None or most >= len(rows):
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


Scores = Sequence[Sequence[float]]
"""For every row, a log-probability for each of the data's labels, in their order."""


def _generated_scores(model: Artifact, data: DataSpec, rows: Sequence[Row]) -> tuple[Scores, Json]:
    """What a model that generates makes of the labels, and how it ran."""
    opened = open_language_model(model)
    questions = _questions(opened.tokenizer, data, rows, labels(data))
    _check_length(questions, opened.context_length)
    return log_probabilities(opened, questions), opened.conditions()


def _classified_scores(model: Artifact, data: DataSpec, rows: Sequence[Row]) -> tuple[Scores, Json]:
    """What a classifier makes of the labels, and how it ran."""
    encoder, classes = open_classifier(model), labels(data)
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
    label, reading = str(data.label), Rows(tokenizer, data)
    pairs = [[reading.pair({**row, label: name}) for name in classes] for row in rows]
    alone = reading.encode([row_pairs[0][0] for row_pairs in pairs])
    joint = reading.encode([p + c for row_pairs in pairs for p, c in row_pairs])
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
