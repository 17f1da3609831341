"""How far a pass moved what a model computes: its distributions before and after, on a few texts.

That is no metric: it tells a pass that did its work from one that made another model of it.
Knows nothing of passes, or of how far each may move a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evaluators.base import Artifact, DeadModel, Json, MeasurementError
from evaluators.rows import plain_text
from evaluators.runtimes.models import (
    Classifier,
    generates,
    open_classifier,
    open_language_model,
)
from evaluators.text import classifier_text, encode_texts
from search_spaces.data import DataError, DataSpec, Row, read_split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPARE_JOB = f"{__name__}:compare_job"
"""`compare_job` as a job's entry."""

VERSION = 1
"""Another one whenever the texts or the arithmetic change: then what was found before is void."""

LIBRARIES = ("torch", "transformers", "peft", "onnxruntime", "onnxruntime-genai")
"""Distributions that may compute otherwise in another version."""

SEQUENCES, TOKENS = 4, 32
"""What a language model is compared on; beyond 32 tokens some models need a longer cache."""
_JOINED = 4  # rows of data that make a sequence together
_LEAST = 4  # tokens; fewer say little

SENTENCES = (
    "The old tram climbed the hill slowly, and its bell rang twice before every corner.",
    "Water boils at a lower temperature in the mountains, because the air there is thinner.",
    "She put the letter back into its envelope and asked when the next train would leave.",
    "In the spring the river carries so much sand that the harbour has to be dredged again.",
    "Nobody at the meeting could say who had ordered forty chairs or where they were to go.",
    "A good recipe says how much salt to use, how hot the oven is and how long to wait.",
    "The committee will publish its report in June; until then the old rules remain in force.",
    "He learned to play the violin at nine, gave it up at twelve and began again at sixty.",
    "What a terrible film that was, and yet we talked about it all the way home!",
    "Most of the birds had already left for the south when the first snow fell in the valley.",
    "The price of bread rose by three per cent, while that of milk stayed as it was.",
    "If the lamp flickers, switch the machine off, wait ten seconds and switch it on again.",
    "I am so glad that you called, because the news about the house made my whole week.",
    "The museum keeps its oldest map in a dark room, where visitors may enter two at a time.",
    "Our neighbour's dog barks at the postman, but never at the man who reads the meter.",
    "Light from that star set out long before there were people to give it a name.",
)
"""The texts where a space has no data; a classifier is shown so many, one at a time."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far two models' distributions lie apart, the first one's probabilities as weights.

    `kl`: mean over positions (tokens, or texts of a classifier) of the Kullback-Leibler divergence
    in nats; `worst`: its largest value. `top1`: share of positions with the same most probable
    outcome.
    """

    kl: float
    worst: float
    top1: float
    positions: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing two models. `conditions`: how each was run, what came in first."""

    drift: Drift
    conditions: tuple[Json, Json]


def compare_job(payload: Json) -> Json:
    """Compare two models: {"drift": ..., "dtypes": ..., "conditions": ...}, or why there is none.

    Where what went out is worth nothing: {"dead": why}; where they cannot be compared:
    {"skipped": why}. "dtypes": what each was computed in, null where that is the graph's affair.
    `payload`: "before" and "after" (an `Artifact` as JSON each), "data" (a `DataSpec` as JSON, or
    null).
    """
    before, after = (Artifact.from_json(payload[name]) for name in ("before", "after"))
    data = None if payload["data"] is None else DataSpec.from_json(payload["data"])
    try:
        found = compare(before, after, data)
    except DeadModel as error:
        return {"dead": str(error)}
    except (MeasurementError, DataError) as error:
        return {"skipped": str(error)}
    dtypes = [conditions.get("dtype") for conditions in found.conditions]
    return {"drift": asdict(found.drift), "dtypes": dtypes, "conditions": found.conditions}


def compare(before: Artifact, after: Artifact, data: DataSpec | None) -> Comparison:
    """How far `after` lies from `before`, on texts of the training split or, without data, our own.

    DeadModel where `after` gives no finite numbers; MeasurementError where the two cannot be
    compared, or `before` gives none.
    """
    compared = _compare_generating if generates(before) else _compare_classifying
    return compared(before, after, data)


def drift(before: NDArray[np.float32], after: NDArray[np.float32]) -> Drift:
    """The drift between logits (..., outcomes) of the same positions."""
    import numpy as np

    if before.shape != after.shape:
        raise MeasurementError(
            f"the outputs have the shape {after.shape}, those of what came in {before.shape}"
        )
    found = []
    for row, other in zip(before, after, strict=True):  # by rows: a vocabulary is wide
        p, q = _log_softmax(row), _log_softmax(other)
        found.append((np.exp(p) * (p - q)).sum(-1))
    kl = np.maximum(np.stack(found), 0.0)  # rounding may leave it just below
    same = before.argmax(-1) == after.argmax(-1)
    return Drift(float(kl.mean()), float(kl.max()), float(same.mean()), kl.size)


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    import numpy as np

    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


@contextmanager
def _coming_in() -> Iterator[None]:
    """A model that was dead when it came in is not what the pass made of it."""
    try:
        yield
    except DeadModel as error:
        raise MeasurementError(f"of what came in, {error}") from error


def _compare_generating(before: Artifact, after: Artifact, data: DataSpec | None) -> Comparison:
    with _coming_in():
        first = open_language_model(before)
        ids = _sequences(first.tokenizer, _passages(data), first.context_length)
        wanted, conditions = first.logits(ids), first.conditions()
        del first  # its memory, before the other one's
    second = open_language_model(after)
    found = drift(wanted, second.logits(ids))
    return Comparison(found, (conditions, second.conditions()))


def _compare_classifying(before: Artifact, after: Artifact, data: DataSpec | None) -> Comparison:
    with _coming_in():
        first = open_classifier(before)
        rows, _ = first.tokenise(_texts(data))
        wanted, names, conditions = _each(first, rows), first.labels, first.conditions()
        del first
    second = open_classifier(after)
    if sorted(second.labels) != sorted(names):
        raise MeasurementError(f"its labels are {second.labels}, those of what came in {names}")
    order = [second.labels.index(name) for name in names]
    found = drift(wanted, _each(second, rows)[:, order])
    return Comparison(found, (conditions, second.conditions()))


def _each(model: Classifier, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Logits (texts, labels), one text at a time: in a batch one may change what another gets."""
    import numpy as np

    return np.concatenate([model.logits([row]) for row in rows])


# What the models are shown


def _passages(data: DataSpec | None) -> list[str]:
    """Texts long enough to fill sequences: some rows, or sentences, in each."""
    rows = _rows(data, SEQUENCES * _JOINED)
    texts = SENTENCES if data is None else [plain_text(data, row) for row in rows]
    return ["\n\n".join(texts[i::SEQUENCES]) for i in range(min(SEQUENCES, len(texts)))]


def _sequences(tokenizer: Any, texts: Sequence[str], limit: int | None) -> NDArray[np.int64]:
    """Token ids (sequences, tokens) of the beginnings of texts, all of one length."""
    import numpy as np

    encoded = encode_texts(tokenizer, texts)
    length = min(TOKENS, *map(len, encoded), *(() if limit is None else (limit,)))
    if length < _LEAST:
        raise MeasurementError(f"the texts to compare on have {length} tokens, too few")
    return np.array([ids[:length] for ids in encoded], np.int64)


def _texts(data: DataSpec | None) -> Sequence[str]:
    """What a classifier is shown: all that a row says but for its label."""
    if data is None or data.label is None:
        return SENTENCES
    label = data.label
    return [classifier_text(data.template, label, row) for row in _rows(data, len(SENTENCES))]


def _rows(data: DataSpec | None, most: int) -> list[Row]:
    """At most so many rows of the training split, from all over it."""
    rows = [] if data is None else read_split(data, "train")
    return [rows[i * len(rows) // most] for i in range(most)] if len(rows) > most else rows
