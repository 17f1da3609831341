"""The rows of a data set as one model reads them: by the space's template, or by its own for chats.

Training, scoring, calibration and showing all read rows here, so that they read the same. Knows
nothing of models but their tokenizers, as those of transformers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.text import encode_texts, render, split_prompt
from search_spaces.chat import Chat, Turn, stored_turns
from search_spaces.data import DataError, DataSpec, Row

_MARK = "\ue000\ue001\ue000"
"""Stands where an answer will be: characters of private use, which no text has."""

_ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Spans:
    """A conversation as text, and where the assistant's answers are in it: (start, end) each.

    An answer's end is behind what closes its turn. `closed`: where the last answer itself ends.
    """

    text: str
    answers: tuple[tuple[int, int], ...]
    closed: int


@dataclass(frozen=True, slots=True)
class Rows:
    """How rows become texts and tokens. `tokenizer`: the model's; None: only for a template."""

    tokenizer: Any
    data: DataSpec

    def texts(self, rows: Iterable[Row]) -> list[str]:
        """Every row as one text. DataError where the model's chat template cannot say it."""
        chat = self.data.chat
        if chat is None:
            return [render(self.data.template, row) for row in rows]
        return [self._said(turns(self.data, row)) for row in rows]

    def pair(self, row: Row) -> tuple[str, str]:
        """(the text up to the label, the label and what follows); DataError as above.

        Of a chat the label is the last answer, or what the last placeholder of it says.
        """
        data = self.data
        if data.chat is None:
            return split_prompt(data.template, str(data.label), row)
        found = self.spans(row)
        start = found.answers[-1][0]
        if data.chat.messages is None and data.label is not None:
            start += len(split_prompt(data.chat.assistant, data.label, row)[0])
        return found.text[:start], found.text[start:]

    def question(self, row: Row) -> str:
        """What a model is asked, and answers: the text up to the label."""
        if self.data.chat is None:
            return self.pair(row)[0]
        return self._said(turns(self.data, row)[:-1], add_generation_prompt=True)

    def spans(self, row: Row) -> Spans:
        """A chat's text, and where the answers are."""
        said = turns(self.data, row)
        text = self._said(said)
        answers = [i for i, turn in enumerate(said) if turn["role"] == _ASSISTANT]
        places = [self._span(said, i, text) for i in answers]
        return Spans(text, tuple((start, end) for start, _, end in places), places[-1][1])

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text: `encode_texts`; a chat template writes special tokens itself."""
        if self.data.chat is None:
            return encode_texts(self.tokenizer, texts)
        return encode_as_written(self.tokenizer, texts)

    def _span(self, said: Sequence[Turn], i: int, text: str) -> tuple[int, int, int]:
        """Where turn `i` begins in the text, where its words end, and where the turn is closed."""
        marked = [*said[:i], {**said[i], "content": _MARK}, *said[i + 1 :]]
        before, mark, after = self._said(marked).partition(_MARK)
        if not (mark and text.startswith(before) and text.endswith(after)):
            raise DataError(
                "chat: the model's chat template changes what stands around an answer by the "
                "answer, so that it cannot be told which part is the answer; use template"
            )
        ends = len(text) - len(after)
        if i == len(said) - 1:
            return len(before), ends, len(text)
        alone = self._said(said[: i + 1])
        return len(before), ends, max(ends, _in_common(alone, text))

    def _said(self, said: Sequence[Turn], **options: Any) -> str:
        """Turns in the model's own chat template. DataError where it has none, or refuses."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise DataError(
                "chat: the model has no chat template; say by template: how it reads a row, in "
                "place of chat:"
            )
        from jinja2 import TemplateError

        try:
            found = self.tokenizer.apply_chat_template(list(said), tokenize=False, **options)
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"chat: the model's chat template refuses a row: {error}") from None
        return str(found)


def turns(data: DataSpec, row: Row) -> list[Turn]:
    """A row as turns, the last of which is the assistant's; ValueError for data without a chat."""
    chat = data.chat
    if chat is None:
        raise ValueError("the data is no chat")
    if chat.messages is None:
        return _turns_of_templates(chat, row)
    found = stored_turns(row[chat.messages])
    found[-1]["content"] = row[str(chat.answer)]  # what is scored may be another label
    return found


def _turns_of_templates(chat: Chat, row: Row) -> list[Turn]:
    said = (("system", chat.system), ("user", chat.user), (_ASSISTANT, chat.assistant))
    return [{"role": role, "content": render(text, row)} for role, text in said if text]


def plain_text(data: DataSpec, row: Row) -> str:
    """A row as text for whatever needs no more than text: a chat's turns by lines."""
    if data.chat is None:
        return render(data.template, row)
    return "\n".join(turn["content"] for turn in turns(data, row))


def encode_as_written(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts in which special tokens are written out; none is added."""
    if not texts:
        return []
    found = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [list(ids) for ids in found]


def token_ends(tokenizer: Any, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """(token ids, where in the text each ends) of texts with special tokens written out."""
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(
            "chat: the model's tokenizer does not say which text a token is of, so that answers "
            "cannot be told from questions; use template, or loss: full"
        )
    found = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    return [
        (list(ids), [end for _, end in offsets])
        for ids, offsets in zip(found["input_ids"], found["offset_mapping"], strict=True)
    ]


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens that are signs to the model and no text."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    signs = (number for number, token in added.items() if token.special)
    return frozenset((*tokenizer.all_special_ids, *signs))


def _in_common(first: str, second: str) -> int:
    """How many characters two texts begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
