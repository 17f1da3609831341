"""Which tokens of a conversation are learned, in the chat templates that models have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from search_spaces.chat import Chat
from search_spaces.data import DataError, DataSpec
from tuner.passes import PassError
from tuner.training.examples import examples_of, read_examples

PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}"
    "{% endif %}"
)
CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} "
    "[/INST]{% else %} {{ m['content'] | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
BARE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
TALK = [
    {"role": "user", "content": "Is it warm?"},
    {"role": "assistant", "content": "Yes, very."},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "It rains"},
]


def tokenizer(template: str | None, *signs: str) -> Any:
    words = tiny_models.tokenizer()
    words.add_special_tokens({"additional_special_tokens": list(signs)})
    words.chat_template = template
    return words


PHI3_SIGNS = ("<|user|>", "<|assistant|>", "<|end|>", "<|system|>")
CHATML_SIGNS = ("<|im_start|>", "<|im_end|>")


def conversations(folder: Path, *rows: list[dict[str, str]]) -> DataSpec:
    file = folder / "talks.jsonl"
    file.write_text("".join(json.dumps({"said": row}) + "\n" for row in rows), encoding="utf-8")
    chat = Chat("said")
    return DataSpec((("train", file),), "", chat.answer, (), answers=True, chat=chat)


def learned(words: Any, example: Any) -> list[str]:
    """The runs of tokens that are learned, as text."""
    runs: list[list[int]] = []
    before = -1
    for place in example.places:
        if place != before + 1 or not runs:
            runs.append([])
        runs[-1].append(example.ids[place])
        before = place
    return [str(words.decode(run)) for run in runs]


@pytest.mark.parametrize(
    ("template", "signs", "expected"),
    [
        (PHI3, PHI3_SIGNS, ["Yes, very.<|end|>\n", "It rains<|end|>\n</s>"]),
        (CHATML, CHATML_SIGNS, ["Yes, very.<|im_end|>\n", "It rains<|im_end|>\n"]),
        (LLAMA2, (), ["Yes, very. </s>", "It rains </s>"]),
        (BARE, (), [" Yes, very.\n", " It rains\n</s>"]),
    ],
    ids=["phi3", "chatml", "llama2", "without an end"],
)
def test_every_answer_is_learned_with_what_closes_its_turn(
    template: str, signs: tuple[str, ...], expected: list[str], tmp_path: Path, settings: Any
) -> None:
    words = tokenizer(template, *signs)
    [example] = read_examples(words, conversations(tmp_path, TALK), settings())
    assert [text.lstrip(" ") for text in learned(words, example)] == [
        text.lstrip(" ") for text in expected
    ]
    assert example.learned == len(example.places)


def test_text_of_a_chat_is_the_template_s_own(tmp_path: Path, settings: Any) -> None:
    words = tokenizer(LLAMA2)
    [example] = read_examples(words, conversations(tmp_path, TALK), settings())
    expected = words.apply_chat_template(TALK, tokenize=True, return_dict=True)["input_ids"]
    assert example.ids == list(expected)
    assert example.ids.count(words.bos_token_id) == 1


def test_full_loss_learns_all_of_a_chat_and_ends_it_once(tmp_path: Path, settings: Any) -> None:
    words = tokenizer(PHI3, *PHI3_SIGNS)
    data = conversations(tmp_path, TALK)
    [example] = read_examples(words, data, settings(loss="full"))
    assert example.places == tuple(range(1, len(example.ids)))
    assert example.ids[-1] == words.eos_token_id != example.ids[-2]


def test_end_is_not_added_where_it_is_not_wanted(tmp_path: Path, settings: Any) -> None:
    words = tokenizer(BARE)
    [example] = read_examples(words, conversations(tmp_path, TALK), settings(learn_end=False))
    assert learned(words, example)[-1].endswith("It rains\n")


def test_long_conversation_loses_its_start(tmp_path: Path, settings: Any) -> None:
    words = tokenizer(CHATML, *CHATML_SIGNS)
    data = conversations(tmp_path, TALK)
    told: list[str] = []
    [whole] = read_examples(words, data, settings())
    limit = len(whole.ids) - 20
    [example] = read_examples(words, data, settings(max_length=limit), told.append)
    assert example.ids == whole.ids[20:]
    assert [example.ids[p] for p in example.places] == [
        whole.ids[p] for p in whole.places if p > 20
    ]
    share = 100 * 20 / len(whole.ids)
    assert told == [f"1 of 1 texts were cut to {limit} tokens ({share:.1f} % of all tokens lost)"]


def test_long_answer_loses_its_end_and_keeps_some_prompt(tmp_path: Path, settings: Any) -> None:
    words = tokenizer(CHATML, *CHATML_SIGNS)
    talk = [TALK[0], {"role": "assistant", "content": "and so on " * 40}]
    [example] = read_examples(words, conversations(tmp_path, talk), settings(max_length=24))
    assert len(example.ids) == 24
    assert example.start == 12
    assert words.decode(example.ids[:12]).endswith("<|im_start|>assistant\n")


def test_model_without_a_chat_template_is_refused_in_words(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(DataError, match="no chat template; say by template"):
        read_examples(tokenizer(None), conversations(tmp_path, TALK), settings())


def test_chat_template_that_refuses_a_role_says_so(tmp_path: Path, settings: Any) -> None:
    words = tokenizer("{{ raise_exception('System role not supported') }}")
    with pytest.raises(DataError, match="refuses a row: System role not supported"):
        read_examples(words, conversations(tmp_path, TALK), settings())


def test_chat_template_that_drops_answers_is_refused(tmp_path: Path, settings: Any) -> None:
    words = tokenizer("{% for m in messages %}{{ m['role'] }}{% endfor %}")
    with pytest.raises(DataError, match="cannot be told which part is the answer"):
        read_examples(words, conversations(tmp_path, TALK), settings())


def test_columns_are_put_into_turns(tone_file: Path, settings: Any) -> None:
    words = tokenizer(PHI3, *PHI3_SIGNS)
    chat = Chat(None, "{phrase}", "It is {tone}.", "Tell the tone.")
    data = DataSpec((("train", tone_file),), "", "tone", (), chat=chat)
    row = {"phrase": "A red day", "tone": "joy"}
    [example] = examples_of(words, data, [row], settings())
    assert words.decode(example.ids) == (
        "<|system|>\nTell the tone.<|end|>\n<|user|>\nA red day<|end|>\n<|assistant|>\n"
        "It is joy.<|end|>\n</s>"
    )
    assert learned(words, example) == ["It is joy.<|end|>\n</s>"]


LAB = "<|user|>\n{prompt}<|end|>\n<|assistant|>\n{response}<|end|>"


def test_special_tokens_of_a_template_become_the_tokenizer_s(tmp_path: Path, settings: Any) -> None:
    words = tokenizer(PHI3, *PHI3_SIGNS)
    data = DataSpec((("train", tmp_path),), LAB, "response", (), answers=True)
    row = {"prompt": "Is it warm?", "response": "Yes"}
    [example] = examples_of(words, data, [row], settings())
    signs = {sign: words.convert_tokens_to_ids(sign) for sign in PHI3_SIGNS}
    assert example.ids[0] == signs["<|user|>"]
    assert example.ids.count(signs["<|end|>"]) == 2
    assert learned(words, example) == ["Yes<|end|></s>"]
    [full] = examples_of(words, data, [row], settings(loss="full"))
    assert full.ids == example.ids


def test_end_that_the_template_says_is_not_said_twice(tones: DataSpec, settings: Any) -> None:
    words = tiny_models.tokenizer()
    data = DataSpec(tones.files, "{phrase}\n{tone}</s>", "tone", ())
    row = {"phrase": "A red day", "tone": "joy"}
    for loss in ("label", "full"):
        [example] = examples_of(words, data, [row], settings(loss=loss))
        assert example.ids.count(words.eos_token_id) == 1


def test_label_that_is_too_long_is_still_refused(tones: DataSpec, settings: Any) -> None:
    data = DataSpec(tones.files, "{phrase}\n{tone}, and much is said after it", "tone", ())
    with pytest.raises(PassError, match="leaves no room"):
        read_examples(tiny_models.tokenizer(), data, settings(max_length=4))
