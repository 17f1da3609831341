"""A language model as the library lm_eval (lm-evaluation-harness) asks one.

Knows nothing of tasks, nor in which runtime the model is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evaluators.base import MeasurementError
from evaluators.greedy import generate_text
from evaluators.runtimes.models import LanguageModel
from evaluators.text import encode_pair, encode_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ids = list[int]
Scored = tuple[float, bool]
"""The log-probability of a text after another, and whether it is what the model would write."""

_RUN_TOKENS = 512  # fed at once: the logits of each are as many numbers as there are tokens
_NEW_TOKENS = 256  # where a task does not say; the library's own default
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_WINDOW = 2048  # tokens of a rolling text at once, where the model's context is not known


class Requests:
    """Answers the three kinds of request, with texts instead of the library's own objects.

    `cut`: how many texts lost their beginning, as the model's context is too short for them.
    `written`: every text that the model has generated.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._limit = model.context_length
        self.cut = 0
        self.written: list[str] = []

    def continuations(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """How probable each second text is after the first, which may be empty."""
        return self._scored([self._encoded(*pair) for pair in pairs])

    def whole_texts(self, texts: Sequence[str]) -> list[float]:
        """The log-probability of each text as a whole, in windows where the context is short.

        Each token counts once, with as much before it as its window has room for.
        """
        first, size = self._first_token(), self._limit or _WINDOW
        found = []
        for ids in encode_texts(self._model.tokenizer, texts):
            own = ids[1:] if ids[:1] == [first] else ids
            found.append(sum(value for value, _ in self._scored(_windows(first, own, size))))
        return found

    def texts(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """The greedy text after each prompt, before the first of `until` among its settings."""
        prompts = encode_texts(self._model.tokenizer, [prompt for prompt, _ in asked])
        found = [
            self._text(ids or [self._first_token()], settings)
            for ids, (_, settings) in zip(prompts, asked, strict=True)
        ]
        self.written += found
        return found

    def _text(self, ids: Ids, settings: Mapping[str, Any]) -> str:
        _refuse_sampling(settings)
        most = next((int(settings[n]) for n in _LENGTHS if settings.get(n) is not None), None)
        most = _NEW_TOKENS if most is None else most
        if self._limit is not None:
            if most >= self._limit:
                raise MeasurementError(
                    f"a task asks for {most} new tokens, but the model's context is {self._limit}"
                )
            self.cut += len(ids) > self._limit - most
            ids = ids[most - self._limit :]
        until = settings.get("until") or ()
        stops = [until] if isinstance(until, str) else [text for text in until if text]
        return generate_text(self._model, ids, most, stops)[0]

    def _encoded(self, context: str, continuation: str) -> tuple[Ids, Ids]:
        """Tokens of both. White space between them is the second's, as in the library."""
        bare = context.rstrip()
        try:
            return encode_pair(self._model.tokenizer, bare, context[len(bare) :] + continuation)
        except ValueError as error:
            raise MeasurementError(f"a task's text cannot be scored: {error}") from error

    def _first_token(self) -> int:
        tokenizer = self._model.tokenizer
        for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise MeasurementError("the tokenizer has no token to begin an empty text with")

    def _scored(self, pairs: Sequence[tuple[Ids, Ids]]) -> list[Scored]:
        """Of every (context, continuation), neither empty. Those that feed the same, feed once."""
        asked: dict[tuple[int, ...], list[int]] = {}
        for i, (context, continuation) in enumerate(pairs):
            asked.setdefault(tuple(self._fed(context, continuation)), []).append(i)
        found: dict[int, Scored] = {}
        for batch in _batches(list(asked)):
            for fed, logits in zip(batch, self._logits(batch), strict=True):
                for i in asked[fed]:
                    found[i] = _score(logits, pairs[i][1])
        return [found[i] for i in range(len(pairs))]

    def _fed(self, context: Ids, continuation: Ids) -> Ids:
        """What the model reads: all but the last token, less at its beginning if need be."""
        fed = [*context, *continuation][:-1]
        if self._limit is None or len(fed) <= self._limit:
            return fed
        if len(continuation) > self._limit:
            raise MeasurementError(
                f"a task's text to score has {len(continuation)} tokens, over the model's context "
                f"of {self._limit}"
            )
        self.cut += 1
        return fed[-self._limit :]

    def _logits(self, batch: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        import numpy as np

        return self._model.logits(np.array(batch, np.int64))


def _windows(first: int, ids: Ids, size: int) -> list[tuple[Ids, Ids]]:
    """(context, continuation) of every window of a text; all but a short text's feed `size`."""
    whole, windows = [first, *ids], []
    for start in range(0, len(ids), size):
        end = min(start + size, len(ids))
        windows.append((whole[max(0, end - size) : start + 1], ids[start:end]))
    return windows


def _batches(rows: Sequence[tuple[int, ...]]) -> Iterable[list[tuple[int, ...]]]:
    """Rows of the same length together, the longest first, so that none is padded."""
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for row in rows:
        by_length.setdefault(len(row), []).append(row)
    for length, members in sorted(by_length.items(), reverse=True):
        size = max(1, _RUN_TOKENS // length)
        yield from (members[i : i + size] for i in range(0, len(members), size))


def _score(logits: NDArray[np.float32], continuation: Ids) -> Scored:
    """From the logits (tokens, vocabulary) after all but the last token of a text."""
    import numpy as np

    last = logits[-len(continuation) :].astype(np.float64)
    top = last.max(axis=1)
    totals = top + np.log(np.exp(last - top[:, None]).sum(axis=1))
    chosen = last[np.arange(len(continuation)), continuation]
    greedy = bool((last.argmax(axis=1) == np.array(continuation)).all())
    return float((chosen - totals).sum()), greedy


def _refuse_sampling(settings: Mapping[str, Any]) -> None:
    """MeasurementError for a task that wants another text than the greedy one."""
    temperature = settings.get("temperature")
    samples = settings.get("do_sample")
    if (bool(temperature) if samples is None else samples) and temperature != 0:
        raise MeasurementError("a task samples its texts (do_sample); only greedy ones are made")
    if int(settings.get("num_beams") or 1) > 1:
        raise MeasurementError("a task searches with beams (num_beams); only greedy texts are made")


def as_lm(requests: Requests) -> Any:
    """The `lm_eval.api.model.LM` that answers with these. Needs the library."""
    from lm_eval.api.model import LM

    class Wrapped(LM):  # type: ignore[misc]  # the library is not typed here
        def loglikelihood(self, asked: Sequence[Any]) -> list[Scored]:
            return requests.continuations([request.args for request in asked])

        def loglikelihood_rolling(self, asked: Sequence[Any]) -> list[float]:
            return requests.whole_texts([request.args[0] for request in asked])

        def generate_until(self, asked: Sequence[Any]) -> list[str]:
            return requests.texts([request.args for request in asked])

    return Wrapped()
