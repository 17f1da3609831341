"""The training split as tokens: of which a model learns some, or of which it learns the label.

The tokens are those that scoring meets (`evaluators.text`). Knows nothing of the training loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from evaluators.rows import Rows, special_ids, token_ends
from evaluators.text import classifier_text, cut
from search_spaces.data import DataSpec, Row, read_split
from tuner.passes.base import PassError, Tell, ignored
from tuner.training.settings import Training


class AnyExample(Protocol):
    """What the loop sees of an example."""

    @property
    def ids(self) -> list[int]:
        """The tokens that go in."""
        ...

    @property
    def learned(self) -> int:
        """How many predictions of it are learned."""
        ...


END_SHARE = 0.1
"""What the end after a label counts beside the label's tokens: enough to learn it in a few steps.

It surprises an untuned model more than any label. Counted whole, it took most of the first updates:
after 30 steps SmolLM2-135M told 54 % of 160 tones instead of 61 %, and with this share 59 %.
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A text as token ids, of which those from `start` on are learned (never the first).

    `end_aside`: the last of them is the end of the text, which counts for `END_SHARE` only.
    `earlier`: places before `start` that are learned too: answers in the midst of a conversation.
    """

    ids: list[int]
    start: int
    end_aside: bool = False
    earlier: tuple[int, ...] = ()

    @property
    def learned(self) -> int:
        """How many tokens are learned, an end aside not counted."""
        return len(self.earlier) + len(self.ids) - self.start - self.end_aside

    @property
    def places(self) -> tuple[int, ...]:
        """Where in the text the tokens are that are learned, in order."""
        return (*self.earlier, *range(self.start, len(self.ids)))


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text as token ids, special tokens included, and the number of its label."""

    ids: list[int]
    label: int

    @property
    def learned(self) -> int:
        """One: the label."""
        return 1


def read_rows(data: DataSpec | None) -> tuple[DataSpec, list[Row]]:
    """The data and the rows to train on; PassError where there are none."""
    if data is None:
        raise PassError("there is nothing to train on: the space has no `data`")
    rows = read_split(data, "train")
    if not rows:
        raise PassError("there is nothing to train on: the training split has no rows")
    return data, rows


def read_examples(
    tokenizer: Any, source: DataSpec | None, settings: Training, tell: Tell = ignored
) -> list[Example]:
    """For a language model; cut to `max_length`, and how many were cut goes to the log.

    `tell` hears of it too, where there were any.
    """
    data, rows = read_rows(source)
    whole = examples_of(tokenizer, data, rows, settings)
    if settings.loss == "full" and settings.packing:
        pieces = packed(whole, settings.max_length)
        tokens = sum(len(example.ids) for example in whole)
        print(
            f"{len(whole)} texts of {tokens} tokens in all, packed into {len(pieces)} pieces of "
            f"{settings.max_length}",
            flush=True,
        )
        return pieces
    kept = [shortened(example, settings, data) for example in whole]
    _report(_Cut.of(whole, kept), settings.max_length, tell)
    return kept


def examples_of(
    tokenizer: Any, data: DataSpec, rows: Sequence[Row], settings: Training
) -> list[Example]:
    """Whole texts, as a language model learns them."""
    if settings.loss == "full":
        return _full_examples(tokenizer, data, rows)
    if data.chat is not None:
        return _chat_examples(tokenizer, data, rows, settings.learn_end)
    return _label_examples(tokenizer, data, rows, settings.learn_end)


@dataclass(frozen=True, slots=True)
class _Cut:
    """What cutting took away: of `texts` and `tokens` in all, so many `cut` and `lost`."""

    texts: int
    tokens: int
    cut: int
    lost: int

    @classmethod
    def of(cls, whole: Sequence[AnyExample], kept: Sequence[AnyExample]) -> _Cut:
        before, after = [len(e.ids) for e in whole], [len(e.ids) for e in kept]
        cut = sum(a < b for a, b in zip(after, before, strict=True))
        return cls(len(whole), sum(before), cut, sum(before) - sum(after))


def _report(found: _Cut, limit: int, tell: Tell) -> None:
    mean = (found.tokens - found.lost) / found.texts
    print(
        f"{found.texts} texts of {mean:.1f} tokens on average, {found.cut} of them cut to {limit}",
        flush=True,
    )
    if found.cut:
        share = 100 * found.lost / found.tokens
        tell(
            f"{found.cut:,} of {found.texts:,} texts were cut to {limit:,} tokens "
            f"({share:.1f} % of all tokens lost)"
        )


def _end(tokenizer: Any) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def _label_examples(
    tokenizer: Any, data: DataSpec, rows: Sequence[Row], learn_end: bool
) -> list[Example]:
    """The label, and what follows it, is learned; with `learn_end`, also that nothing more does."""
    if data.label is None:
        raise PassError("loss: label needs a label column; name it under data, or use loss: full")
    end = _end(tokenizer) if learn_end else []
    reading = Rows(tokenizer, data)
    pairs = [reading.pair(row) for row in rows]
    prompts = reading.encode([prompt for prompt, _ in pairs])
    texts = reading.encode([prompt + completion for prompt, completion in pairs])
    parts = [cut(tokenizer, alone, joint) for alone, joint in zip(prompts, texts, strict=True)]
    found = []
    for prompt, completion in parts:
        ended = len(completion) > 1 and completion[-1:] == end  # the template says the end itself
        ids = prompt + completion + ([] if ended else end)
        found.append(Example(ids, len(prompt), end_aside=bool(end)))
    return found


def _chat_examples(
    tokenizer: Any, data: DataSpec, rows: Sequence[Row], learn_end: bool
) -> list[Example]:
    """Every answer is learned, and what closes its turn; a token across a border is the answer's.

    Where nothing closes the last turn, the end of the text does, with `learn_end`.
    """
    reading, signs = Rows(tokenizer, data), special_ids(tokenizer)
    end = _end(tokenizer) if learn_end else []
    spans = [reading.spans(row) for row in rows]
    found = []
    for span, (ids, ends) in zip(
        spans, token_ends(tokenizer, [span.text for span in spans]), strict=True
    ):
        *before, (start, _) = span.answers
        first = next((i for i, e in enumerate(ends) if e > start), len(ids))
        earlier = [i for a, b in before for i, e in enumerate(ends[:first]) if a < e <= b]
        after = {i for i, e in zip(ids, ends, strict=True) if e > span.closed}
        closing = [] if after & signs else end
        if first == 0 or first == len(ids + closing):
            raise PassError("the model's chat template leaves nothing to learn an answer from")
        found.append(Example(ids + closing, first, earlier=tuple(i for i in earlier if i)))
    return found


def _full_examples(tokenizer: Any, data: DataSpec, rows: Sequence[Row]) -> list[Example]:
    """Every token but the first is learned, and that the text ends."""
    end, reading = _end(tokenizer), Rows(tokenizer, data)
    texts = reading.encode(reading.texts(rows))
    return [Example(ids if ids[-1:] == end else ids + end, 1) for ids in texts]


def packed(examples: Sequence[Example], length: int) -> list[Example]:
    """Texts strung together and cut into pieces of `length` tokens, of which the last is shorter.

    Every token is in one piece; in each all but the first are learned. A last piece of one token,
    of which nothing could be learned, is left out.
    """
    tokens = [token for example in examples for token in example.ids]
    starts = range(0, len(tokens), length)
    pieces = [Example(tokens[start : start + length], 1) for start in starts]
    return pieces if len(pieces[-1].ids) > 1 or len(pieces) == 1 else pieces[:-1]


def shortened(example: Example, settings: Training, data: DataSpec) -> Example:
    """A text of `max_length` tokens at most; PassError where a label alone is longer."""
    limit = settings.max_length
    excess = len(example.ids) - limit
    if excess <= 0:
        return example
    if settings.loss == "full":
        return Example(example.ids[:limit], example.start)
    if excess < example.start:
        earlier = tuple(place - excess for place in example.earlier if place > excess)
        start = example.start - excess
        return replace(example, ids=example.ids[excess:], start=start, earlier=earlier)
    if data.chat is None and not data.answers:
        raise PassError(
            f"max_length {limit} leaves no room for a prompt: a label, with what "
            f"follows it in the template, has {len(example.ids) - example.start} tokens"
        )
    return _halved(example, limit)


def _halved(example: Example, limit: int) -> Example:
    """A long answer loses its end, and its prompt the start: half of what is left is the prompt's.

    A shorter prompt stays whole.
    """
    kept = min(example.start, max(1, limit // 2))
    first = example.start - kept
    return Example(example.ids[first : first + limit], kept)


def read_labelled(
    tokenizer: Any,
    data: DataSpec,
    rows: Sequence[Row],
    numbers: Mapping[str, int],
    limit: int,
    tell: Tell = ignored,
) -> list[LabelledText]:
    """For an encoder; cut to `limit` tokens, special ones included. `numbers`: label -> number.

    `tell` hears how many were cut, where there were any.
    """
    label = str(data.label)
    texts = [classifier_text(data.template, label, row) for row in rows]
    if not any(texts):
        raise PassError(
            "the template begins with the label, but an encoder reads what is before it"
        )
    whole = tokenizer(texts)["input_ids"]
    kept = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
    examples = [
        LabelledText(list(ids), numbers[row[label]]) for ids, row in zip(kept, rows, strict=True)
    ]
    uncut = [LabelledText(list(ids), 0) for ids in whole]
    _report(_Cut.of(uncut, examples), limit, tell)
    return examples


def longest_text(tokenizer: Any, config: Any, wanted: int) -> int:
    """How many tokens an encoder can read of a text, at most `wanted`."""
    room = getattr(config, "max_position_embeddings", None) or wanted
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        room -= (config.pad_token_id or 0) + 1  # they count positions from behind the padding's
    return int(min(wanted, room, tokenizer.model_max_length))
