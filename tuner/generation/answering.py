"""Lets a model write an answer: shown as it comes, and timed.

Knows nothing of command lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evaluators.runtimes.sampling import Sampling
from evaluators.runtimes.writers import Message, Writer


class Ended(StrEnum):
    """Why an answer ended."""

    TEXT = "end of text"
    LIMIT = "limit of new tokens"
    CONTEXT = "end of the model's context"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written. `seconds`: for all of it; `first`: until its first token was there.

    `prompt_tokens`, `tokens`: how many were read and written. With no token `first` is `seconds`.
    """

    text: str
    prompt_tokens: int
    tokens: int
    seconds: float
    first: float
    ended: Ended

    @property
    def rate(self) -> float | None:
        """Tokens per second after the first; None where there are not two."""
        rest = self.seconds - self.first
        return (self.tokens - 1) / rest if self.tokens > 1 and rest > 0 else None


def answer(
    writer: Writer,
    prompt: Sequence[int],
    most: int,
    sampling: Sampling,
    show: Callable[[str], None],
) -> Answer:
    """Write up to `most` tokens after a prompt; `show` gets each piece of text as it is made.

    Ctrl-C ends it early. MeasurementError where the model cannot run.
    """
    started = time.perf_counter()
    first, pieces, tokens = None, list[str](), 0
    ended = Ended.TEXT
    try:
        for piece in writer.stream(prompt, most, sampling):
            tokens += 1
            first = first or time.perf_counter() - started
            pieces.append(piece)
            if piece:
                show(piece)
    except KeyboardInterrupt:
        ended = Ended.STOPPED
    seconds = time.perf_counter() - started
    if ended is not Ended.STOPPED and tokens:
        ended = _ended(writer, len(prompt) + tokens, tokens, most)
    return Answer("".join(pieces), len(prompt), tokens, seconds, first or seconds, ended)


def _ended(writer: Writer, length: int, tokens: int, most: int) -> Ended:
    if tokens == most:
        return Ended.LIMIT
    return Ended.CONTEXT if length == writer.context_length else Ended.TEXT


class PromptError(ValueError):
    """What a user asked cannot be put to the model; one sentence."""


@dataclass
class Conversation:
    """What was said so far, as the model gets to read it. `reserve`: tokens kept for an answer."""

    writer: Writer
    system: str | None
    reserve: int
    turns: list[Message]

    def ask(self, text: str) -> tuple[list[int], int]:
        """Add a question: the tokens of the whole conversation, and how many messages it lost.

        Where it has become too long, the oldest questions and their answers are forgotten.
        PromptError where even the last question alone is too long, which is then not added.
        """
        self.turns.append({"role": "user", "content": text})
        forgotten = 0
        while not self._fits(tokens := self._tokens()):
            if len(self.turns) < 3:
                self.turns.pop()
                raise PromptError(too_long(len(tokens), self.writer.context_length))
            del self.turns[:2]
            forgotten += 2
        return tokens, forgotten

    def told(self, text: str) -> None:
        """Add the model's answer."""
        self.turns.append({"role": "assistant", "content": text})

    def clear(self) -> None:
        """Forget all that was said."""
        self.turns.clear()

    def _tokens(self) -> list[int]:
        system: list[Message] = []
        if self.system is not None:
            system = [{"role": "system", "content": self.system}]
        return self.writer.encode_chat([*system, *self.turns])

    def _fits(self, tokens: Sequence[int]) -> bool:
        limit = self.writer.context_length
        return limit is None or len(tokens) + min(self.reserve, limit // 4) <= limit


def too_long(tokens: int, context: int | None) -> str:
    """That a prompt leaves no room for an answer."""
    return (
        f"the prompt has {tokens} tokens, which leaves too little room for an answer in the "
        f"model's context of {context}"
    )
