"""Turns rows into text and text into tokens, the same way for training and for scoring.

Knows nothing of models; a tokenizer is anything that is called like one of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.data import DataError, template_parts


def render(template: str, row: Mapping[str, str]) -> str:
    """The template with every placeholder filled in from the row."""
    return "".join(_fill(literal, column, row) for literal, column in template_parts(template))


def split_prompt(template: str, label: str, row: Mapping[str, str]) -> tuple[str, str]:
    """(the text up to the label's placeholder, the label and whatever follows it).

    `label` is the column; the two texts together are what `render` gives. A label that comes
    more than once is cut at the first. ValueError where the template lacks the placeholder.
    """
    parts = template_parts(template)
    at = next((i for i, (_, column) in enumerate(parts) if column == label), None)
    if at is None:
        raise ValueError(f"template: there is no {{{label}}} in it to cut at")
    prompt = "".join(_fill(literal, column, row) for literal, column in parts[:at]) + parts[at][0]
    rest = "".join(_fill(literal, column, row) for literal, column in parts[at + 1 :])
    return prompt, row[label] + rest


def classifier_text(template: str, label: str, row: Mapping[str, str]) -> str:
    """What an encoder reads of a row: the text up to the label, without white space at its end.

    DataError where there is no template: an encoder has no conversations.
    """
    if not template:
        raise DataError("chat: an encoder reads no conversations; say by template: what it reads")
    return split_prompt(template, label, row)[0].rstrip()


def _fill(literal: str, column: str | None, row: Mapping[str, str]) -> str:
    return literal if column is None else literal + row[column]


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of every text, with the special tokens that the tokenizer puts first, none last.

    A text that says itself what the tokenizer puts first (`<s>...`) does not get it twice.
    """
    if not texts:
        return []
    encoded = tokenizer(list(texts), return_special_tokens_mask=True)
    return [
        _once(tokenizer, _without_last_specials(list(ids), list(mask)))
        for ids, mask in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
    ]


def _once(tokenizer: Any, ids: list[int]) -> list[int]:
    first = tokenizer.bos_token_id
    return ids[1:] if first is not None and ids[:2] == [first, first] else ids


def _without_last_specials(ids: list[int], mask: list[int]) -> list[int]:
    # A text without any token of its own keeps what came first.
    end = len(ids)
    while end > 1 and mask[end - 1]:
        end -= 1
    return ids[:end]


def encode_pair(tokenizer: Any, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    """(prompt ids, completion ids), which together are the tokens of the whole text.

    The boundary is where the tokens of the prompt alone and of the whole text part: a token that
    spans both belongs to the completion, as a model meets it. Neither part is empty.
    ValueError where there is nothing to tokenise.
    """
    alone, joint = encode_texts(tokenizer, [prompt, prompt + completion])
    return cut(tokenizer, alone, joint)


def cut(tokenizer: Any, alone: list[int], joint: list[int]) -> tuple[list[int], list[int]]:
    """`encode_pair` for tokens at hand: those of the prompt alone, and of the whole text."""
    prompt, completions = cut_choices(tokenizer, alone, [joint])
    return prompt, completions[0]


def cut_choices(
    tokenizer: Any, alone: list[int], joints: Sequence[list[int]]
) -> tuple[list[int], list[list[int]]]:
    """`cut` for several completions of one prompt: the prompt ids that all have in common.

    With one boundary for all, their probabilities can be compared: each is of the whole rest.
    """
    if not all(joints):
        raise ValueError("the text is empty: there is nothing to tokenise")
    at = min(min(common_prefix(alone, joint), len(joint) - 1) for joint in joints)
    if at:
        return joints[0][:at], [joint[at:] for joint in joints]
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise ValueError("the template begins with the label; put some text before it")
    return [first], list(joints)


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many elements two sequences begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
