"""Log-probabilities of several completions for each of many prompts, in few runs of the model.

Prompts of the same length share a batch, so that none is padded; completions that begin with the
same tokens share those. Knows nothing of tokenizers or of what the completions mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluators.runtimes.scoring import Cache

Tokens = tuple[int, ...]

_RUN_TOKENS = 512  # fed at once; beyond it a run only takes more memory, not less time
_RUN_ROWS = 32


class Model(Protocol):
    """What `Scoring` offers."""

    def step(
        self, ids: NDArray[np.int64], past: Cache | None, keep: bool
    ) -> tuple[NDArray[np.float32], Cache]:
        """Logits at the last position, and the cache."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and its possible completions, neither empty."""

    prompt: Tokens
    completions: tuple[Tokens, ...]


@dataclass(frozen=True, slots=True)
class _Branch:
    """A question together with the tokens of completions that have been fed after its prompt."""

    question: int
    fed: Tokens


def log_probabilities(model: Model, questions: Sequence[Question]) -> list[list[float]]:
    """For each question, the sum of the token log-probabilities of each of its completions."""
    sums = [[0.0] * len(question.completions) for question in questions]
    for batch in _batches(questions):
        _feed_prompts(model, questions, batch, sums)
    return sums


def _batches(questions: Sequence[Question]) -> Iterator[list[int]]:
    by_length: dict[int, list[int]] = {}
    for i, question in enumerate(questions):
        by_length.setdefault(len(question.prompt), []).append(i)
    for length, members in sorted(by_length.items()):
        yield from _chunks(members, max(1, min(_RUN_ROWS, _RUN_TOKENS // length)))


def _chunks(members: list[int], size: int) -> Iterator[list[int]]:
    return (members[i : i + size] for i in range(0, len(members), size))


def _feed_prompts(
    model: Model, questions: Sequence[Question], batch: list[int], sums: list[list[float]]
) -> None:
    import numpy as np

    ids = np.array([questions[i].prompt for i in batch], np.int64)
    _descend(model, questions, [_Branch(i, ()) for i in batch], ids, None, sums)


def _descend(
    model: Model,
    questions: Sequence[Question],
    branches: Sequence[_Branch],
    ids: NDArray[np.int64],
    past: Cache | None,
    sums: list[list[float]],
) -> None:
    """Feed `ids`, one row a branch; add what comes next to `sums`; go on where there is more."""
    import numpy as np

    children = [(row, child) for row, b in enumerate(branches) for child in _next(questions, b)]
    logits, cache = model.step(ids, past, keep=bool(children))
    totals = _log_sum_exp(logits)
    for row, branch in enumerate(branches):
        depth = len(branch.fed)
        for j, completion in enumerate(questions[branch.question].completions):
            if len(completion) > depth and completion[:depth] == branch.fed:
                sums[branch.question][j] += float(logits[row, completion[depth]] - totals[row])
    for chunk in _chunks(list(range(len(children))), _RUN_ROWS):
        rows = [children[i][0] for i in chunk]
        following = [children[i][1] for i in chunk]
        tokens = np.array([[branch.fed[-1]] for branch in following], np.int64)
        expanded = {name: values[rows] for name, values in cache.items()}
        _descend(model, questions, following, tokens, expanded, sums)


def _next(questions: Sequence[Question], branch: _Branch) -> list[_Branch]:
    """The branches one token on that have to be fed: those after which a completion goes on."""
    depth = len(branch.fed)
    longer = {
        completion[: depth + 1]: None
        for completion in questions[branch.question].completions
        if len(completion) > depth + 1 and completion[:depth] == branch.fed
    }
    return [_Branch(branch.question, fed) for fed in longer]


def _log_sum_exp(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    import numpy as np

    top = logits.max(axis=1, keepdims=True)
    sums = np.exp(logits - top).sum(axis=1, dtype=np.float64)
    logarithms: NDArray[np.float64] = np.log(sums) + top[:, 0]
    return logarithms
