"""The evaluator `divergence`: how far a model's distributions lie from the baseline's.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evaluators.base import (
    Artifact,
    Estimate,
    Evaluator,
    Interval,
    Json,
    Measurement,
    MeasurementError,
)
from evaluators.jackknife import jackknife
from evaluators.runtimes.models import (
    Classifier,
    LanguageModel,
    generates,
    open_classifier,
    open_language_model,
)
from evaluators.statistics import wilson
from evaluators.text import classifier_text
from evaluators.windows import Tokens, chunks, encode_most, read_texts, spread, window_size
from search_spaces.data import DataSpec, read_split
from search_spaces.problems import listed
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DEPENDS = frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE})
_AT_ONCE = 64  # positions whose probabilities are held in float64


class Divergence(Evaluator):
    """Lets a model and the baseline's read the same text, and compares what each expects next.

    The cheapest honest sign of what quantising or pruning costs: it needs no labels, and sees
    changes that leave the accuracy of a few items as it was. It does not say whether a difference
    is for the worse: a fine-tuned model differs from its baseline because it should. Both models
    must cut text into the same tokens, or have the same labels. The baseline itself has 0 and 1.

    Of a language model, the distributions of the next token at every position are compared, in
    windows of `context` tokens side by side. Of an encoder, the distributions of labels for every
    text: a line of `file`, or what the encoder reads of a row. Without `file` the texts are the
    rows of the data's split in their template.

    `divergence` is the mean Kullback-Leibler divergence of the candidate's distribution from the
    baseline's, sum p log(p / q) with the baseline's p, in nats. `top1_agreement` is the share of
    positions (of an encoder: texts) at which both hold the same token (label) most probable. The
    intervals are over windows (texts), with neighbours taken together, by the jackknife; that of
    the agreement is never narrower than Wilson's over single positions, since agreeing everywhere
    is no proof of always agreeing.
    """

    spec: ClassVar = EvaluatorSpec(
        name="divergence",
        version=1,
        help="how far what a model expects next lies from what the baseline expects",
        parameters=(
            ParameterSpec(
                "file",
                Path,
                None,
                "a text file (UTF-8) to read, for an encoder a text a line; null: the rows of the "
                "space's data, in their template",
                nullable=True,
            ),
            ParameterSpec(
                "context",
                int,
                128,
                "tokens of a window; no more than the models can take",
                low=8,
            ),
            ParameterSpec(
                "max_tokens",
                int,
                2048,
                "read no more than this many tokens: the file's first, or texts spread over the "
                "split; null: all",
                low=2,
                nullable=True,
            ),
        ),
        metrics=(
            MetricSpec(
                "divergence",
                "",
                True,
                _DEPENDS,
                "mean KL divergence from the baseline's distributions, in nats",
            ),
            MetricSpec(
                "top1_agreement",
                "fraction",
                False,
                _DEPENDS,
                "share of positions with the same most probable outcome as the baseline's",
            ),
        ),
        text="file",
        formats=frozenset({"genai", "hf", "quantized", "adapter", "onnx"}),
        libraries=("onnxruntime", "torch", "transformers"),
        reference=True,
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Compare on a text. An item is a window, or a text: {"distributions", "kl", "agree"}.

        They are the number of distributions compared, the sum of their divergences in nats, and
        the number of those with the same most probable outcome. Where the model is the baseline's
        it is opened once.
        """
        if reference is None:
            raise MeasurementError("divergence compares with the baseline's model; there is none")
        if generates(model) != generates(reference):
            raise MeasurementError(
                "one of the model and the baseline generates, and the other classifies: they "
                "have no distributions in common"
            )
        compare = _generating if generates(model) else _classifying
        items, conditions = compare(model, reference, options, data, split)
        found = {"text": options["file"] or split, "same_model": model == reference}
        return Measurement(items=items, conditions=conditions | found)

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The mean over all positions. NotEnoughSamples with a single window or text."""
        items = [item for measurement in measurements for item in measurement.items]
        found = _agreement(items) if metric == "top1_agreement" else _mean(items, "kl")
        unit = next(spec.unit for spec in self.spec.metrics if spec.name == metric)
        low = max(0.0, found.low)
        return Estimate(metric, None, found.value, low, found.high, unit, len(items))


def _mean(items: Sequence[Json], of: str) -> Interval:
    rows = [(item[of], item["distributions"]) for item in items]
    return jackknife(rows, lambda sums: sums[0] / sums[1], of="windows or texts")


def _agreement(items: Sequence[Json]) -> Interval:
    found = _mean(items, "agree")
    agree, count = (sum(item[name] for item in items) for name in ("agree", "distributions"))
    single = wilson(agree, count)
    high = min(1.0, max(found.high, single.high))
    return Interval(found.value, min(found.low, single.low), high)


def _generating(
    model: Artifact,
    reference: Artifact,
    options: Mapping[str, Value],
    data: DataSpec | None,
    split: str,
) -> tuple[list[Json], Json]:
    """The items of two language models, and how they were compared."""
    before = open_language_model(reference)
    texts = read_texts(options["file"], data, split, before.tokenizer)
    after = before if model == reference else open_language_model(model)
    most: Any = options["max_tokens"]
    encoded = encode_most(before.tokenizer, texts, most)
    if after is not before:
        _check_tokenizers(before.tokenizer, after.tokenizer, encoded, texts, most)
    context = window_size(options["context"], before.context_length, after.context_length)
    items = compare_windows(before, after, encoded, context)
    return items, after.conditions() | {"context": context, "texts": len(encoded)}


def _check_tokenizers(
    before: Any, after: Any, encoded: Sequence[Tokens], texts: Sequence[str], most: int | None
) -> None:
    """MeasurementError where a token means different text, or the text becomes other tokens.

    One may have tokens that the other lacks: a fine-tuning adds one to pad with.
    """
    ours, theirs = after.get_vocab(), before.get_vocab()
    names = {number: token for token, number in theirs.items()}
    other = sum(names.get(number, token) != token for token, number in ours.items())
    if other:
        raise MeasurementError(
            f"{other} of the model's {len(ours)} tokens are others than the baseline's: their "
            "distributions are over different things; compare bits_per_byte instead"
        )
    if encode_most(after, texts, most) != list(encoded):
        raise MeasurementError(
            "the model and the baseline cut the text into different tokens: what they expect "
            "next cannot be compared; compare bits_per_byte instead"
        )


def compare_windows(
    before: LanguageModel, after: LanguageModel, encoded: Sequence[Tokens], context: int
) -> list[Json]:
    """An item for every window of the texts: what `after` expects, against `before`.

    One window at a time, so that no more than the logits of one, from both, are held.
    """
    import numpy as np

    items = []
    for window in (window for tokens in encoded for window in chunks(tokens, context)):
        ids = np.array([window.ids], np.int64)
        ours = before.logits(ids)[0, -window.scored :]
        theirs = ours if after is before else after.logits(ids)[0, -window.scored :]
        if ours.shape != theirs.shape:
            raise MeasurementError(
                f"the model chooses from {theirs.shape[-1]} tokens and the baseline from "
                f"{ours.shape[-1]}: their distributions are over different things"
            )
        items.append(_item(ours, theirs))
    return items


def _item(before: NDArray[np.floating[Any]], after: NDArray[np.floating[Any]]) -> Json:
    """Compare logits (distributions, outcomes)."""
    import numpy as np

    divergence, agree = 0.0, 0
    for start in range(0, len(before), _AT_ONCE):
        p, q = (_log_softmax(rows[start : start + _AT_ONCE]) for rows in (before, after))
        divergence += float((np.exp(p) * (p - q)).sum(axis=1).clip(min=0.0).sum())
        agree += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
    return {"distributions": len(before), "kl": divergence, "agree": agree}


def _log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    import numpy as np

    rows = logits.astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return rows


def _classifying(
    model: Artifact,
    reference: Artifact,
    options: Mapping[str, Value],
    data: DataSpec | None,
    split: str,
) -> tuple[list[Json], Json]:
    """The items of two classifiers, and how they were compared."""
    texts = _classifier_texts(options["file"], data, split)
    before = open_classifier(reference)
    after = before if model == reference else open_classifier(model)
    _check_labels(before.labels, after.labels)
    most: Any = options["max_tokens"]
    ours = before.tokenise(texts)[0]
    chosen = _within(ours, most)
    theirs, cut = after.tokenise([texts[i] for i in chosen])
    pairs = [(ours[i], row) for i, row in zip(chosen, theirs, strict=True)]
    items = list(_compare_texts(before, after, pairs))
    return items, after.conditions() | {"texts": len(items), "cut_texts": cut}


def _classifier_texts(file: Value, data: DataSpec | None, split: str) -> list[str]:
    """What an encoder is to read: the file's lines, or of every row what comes before the label."""
    if file is not None:
        texts = read_texts(file, data, split)[0].splitlines()
    elif data is None or data.label is None:
        texts = read_texts(file, data, split)
    else:
        rows = read_split(data, split)
        texts = [classifier_text(data.template, data.label, row) for row in rows]
    found = [text.strip() for text in texts if text.strip()]
    if not found:
        raise MeasurementError(
            "there is no text for an encoder, which reads what the template has before the label"
        )
    return found


def _check_labels(before: Sequence[str], after: Sequence[str]) -> None:
    if sorted(before) != sorted(after):
        raise MeasurementError(
            f"the model's labels are {listed(after, 'and')}, the baseline's "
            f"{listed(before, 'and')}: their distributions are over different things"
        )


def _within(rows: Sequence[Sequence[int]], most: int | None) -> list[int]:
    """Which texts to read: spread over all of them, so many that their tokens fit; at least 2."""
    chosen: list[int] = []
    total = 0
    for i in spread(len(rows)):
        total += len(rows[i])
        if most is not None and total > most and len(chosen) >= 2:
            break
        chosen.append(i)
    return sorted(chosen)


def _compare_texts(
    before: Classifier, after: Classifier, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> Iterator[Json]:
    """One text at a time: in a batch that is quantised as it comes in, one changes another's."""
    import numpy as np

    for ours, theirs in pairs:
        expected = before.log_probabilities(ours)
        found = expected if after is before else after.log_probabilities(theirs)
        yield _item(
            np.array([list(expected.values())]), np.array([[found[name] for name in expected]])
        )
