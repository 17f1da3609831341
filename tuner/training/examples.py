"""The training split as tokens: of which a model learns some, or of which it learns the label.

The tokens are those that scoring meets (`evaluators.text`). Knows nothing of the training loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from evaluators.text import classifier_text, cut, encode_texts, render, split_prompt
from search_spaces.data import DataSpec, Row, read_split
from tuner.passes.base import PassError
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
    """

    ids: list[int]
    start: int
    end_aside: bool = False

    @property
    def learned(self) -> int:
        """How many tokens are learned, an end aside not counted."""
        return len(self.ids) - self.start - self.end_aside


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


def read_examples(tokenizer: Any, source: DataSpec | None, settings: Training) -> list[Example]:
    """For a language model; cut to `max_length`, and how many were cut goes to the log."""
    data, rows = read_rows(source)
    if settings.loss == "label":
        whole = _label_examples(tokenizer, data, rows, settings.learn_end)
    else:
        whole = _full_examples(tokenizer, data, rows)
    kept = [_shorten(example, settings) for example in whole]
    shortened = sum(example.ids != before.ids for example, before in zip(kept, whole, strict=True))
    _report(kept, shortened, settings.max_length)
    return kept


def _report(examples: Sequence[AnyExample], shortened: int, limit: int) -> None:
    mean = sum(len(example.ids) for example in examples) / len(examples)
    print(
        f"{len(examples)} texts of {mean:.1f} tokens on average, {shortened} of them cut to "
        f"{limit}",
        flush=True,
    )


def _end(tokenizer: Any) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def _label_examples(
    tokenizer: Any, data: DataSpec, rows: Sequence[Row], learn_end: bool
) -> list[Example]:
    """The label, and what follows it, is learned; with `learn_end`, also that nothing more does."""
    label = data.label
    if label is None:
        raise PassError("loss: label needs a label column; name it under data, or use loss: full")
    end = _end(tokenizer) if learn_end else []
    pairs = [split_prompt(data.template, label, row) for row in rows]
    prompts = encode_texts(tokenizer, [prompt for prompt, _ in pairs])
    texts = encode_texts(tokenizer, [prompt + completion for prompt, completion in pairs])
    parts = [cut(tokenizer, alone, joint) for alone, joint in zip(prompts, texts, strict=True)]
    return [
        Example(prompt + completion + end, len(prompt), end_aside=bool(end))
        for prompt, completion in parts
    ]


def _full_examples(tokenizer: Any, data: DataSpec, rows: Sequence[Row]) -> list[Example]:
    """Every token but the first is learned, and that the text ends."""
    end = _end(tokenizer)
    texts = encode_texts(tokenizer, [render(data.template, row) for row in rows])
    return [Example(ids + end, 1) for ids in texts]


def _shorten(example: Example, settings: Training) -> Example:
    excess = len(example.ids) - settings.max_length
    if excess <= 0:
        return example
    if settings.loss == "full":
        return Example(example.ids[: settings.max_length], example.start)
    if excess >= example.start:
        raise PassError(
            f"max_length {settings.max_length} leaves no room for a prompt: a label, with what "
            f"follows it in the template, has {len(example.ids) - example.start} tokens"
        )
    return replace(example, ids=example.ids[excess:], start=example.start - excess)


def read_labelled(
    tokenizer: Any,
    data: DataSpec,
    rows: Sequence[Row],
    numbers: Mapping[str, int],
    limit: int,
) -> list[LabelledText]:
    """For an encoder; cut to `limit` tokens, special ones included. `numbers`: label -> number."""
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
    _report(examples, sum(len(ids) > limit for ids in whole), limit)
    return examples


def longest_text(tokenizer: Any, config: Any, wanted: int) -> int:
    """How many tokens an encoder can read of a text, at most `wanted`."""
    room = getattr(config, "max_position_embeddings", None) or wanted
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        room -= (config.pad_token_id or 0) + 1  # they count positions from behind the padding's
    return int(min(wanted, room, tokenizer.model_max_length))
