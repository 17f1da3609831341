"""Rows to text, and text to the tokens of a prompt and its completion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluators.text import (
    common_prefix,
    cut_choices,
    encode_pair,
    encode_texts,
    render,
    split_prompt,
)

ROW = {"phrase": "It {works}", "tone": "joy", "id": "7"}


@pytest.fixture(scope="module")
def tokenizer(tiny_phi3: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_phi3)


@pytest.fixture(scope="module")
def framed(tokenizer: Any) -> Any:
    """The same tokenizer, with special tokens put at both ends of every text."""
    import copy

    from tokenizers.processors import TemplateProcessing

    framed = copy.deepcopy(tokenizer)
    framed.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return framed


def test_render_fills_in_every_placeholder_once() -> None:
    assert render("{{{phrase}}} is {tone}.{tone}", ROW) == "{It {works}} is joy.joy"


def test_the_prompt_ends_where_the_label_begins() -> None:
    assert split_prompt("{phrase}: {tone} ({id})", "tone", ROW) == ("It {works}: ", "joy (7)")
    assert split_prompt("{{{tone}}}", "tone", ROW) == ("{", "joy}")


def test_prompt_and_completion_together_are_the_whole_text() -> None:
    template = "a {{b}} {phrase}\n{tone} {tone}{{"
    assert "".join(split_prompt(template, "tone", ROW)) == render(template, ROW)


def test_a_template_without_the_label_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match=r"no \{tone\} in it"):
        split_prompt("{phrase}", "tone", ROW)


def test_a_pair_is_the_joint_tokens_cut_at_a_token(tokenizer: Any) -> None:
    prompt, completion = encode_pair(tokenizer, "The tone is:", " joy")
    assert prompt + completion == tokenizer("The tone is: joy")["input_ids"]
    assert tokenizer.decode(completion) == " joy"


def test_a_token_across_the_boundary_belongs_to_the_completion(tokenizer: Any) -> None:
    # The space at the prompt's end is the beginning of the label's first token.
    prompt, completion = encode_pair(tokenizer, "of the", " st")
    split_inside, rest = encode_pair(tokenizer, "of the s", "t")
    assert tokenizer(" st", add_special_tokens=False)["input_ids"] == completion[-1:]
    assert (split_inside, rest) == (prompt, completion)


@pytest.mark.parametrize(("prompt", "completion"), [("", "joy"), ("joy", ""), ("j", "oy")])
def test_neither_part_is_empty(tokenizer: Any, prompt: str, completion: str) -> None:
    first, second = encode_pair(tokenizer, prompt, completion)
    assert first
    assert second


def test_special_tokens_come_first_and_never_last(tokenizer: Any, framed: Any) -> None:
    plain = encode_texts(tokenizer, ["a joy", ""])
    assert encode_texts(framed, ["a joy", ""]) == [[1, *plain[0]], [1, *plain[1]]]
    prompt, completion = encode_pair(framed, "", "joy")
    assert prompt == [1]
    assert completion == encode_texts(tokenizer, ["joy"])[0]


def test_choices_share_one_prompt(tokenizer: Any) -> None:
    texts = ["The tone is", "The tone is joy", "The tone isn"]
    alone, *joints = encode_texts(tokenizer, texts)
    prompt, completions = cut_choices(tokenizer, alone, joints)
    assert all(completions)
    assert [prompt + completion for completion in completions] == joints
    assert len(prompt) == min(common_prefix(alone, joint) for joint in joints)


def test_no_texts_give_no_tokens(tokenizer: Any) -> None:
    assert encode_texts(tokenizer, []) == []
