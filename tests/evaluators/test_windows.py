"""Text to windows: every token once, and the bytes that each window accounts for."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from evaluators.base import MeasurementError
from evaluators.windows import (
    Tokens,
    chunks,
    encode,
    encode_most,
    read_texts,
    spread,
    strided,
    window_size,
)
from search_spaces.data import DataSpec

MIXED = "Zoë said 你好，世界 😀👩‍👩‍👧 and left.\r\n\n  Дверь  закрыта\t🏳️‍🌈 "


@pytest.fixture(scope="module")
def words() -> Any:
    """Byte-level BPE without any special token before a text."""
    return tiny_models.tokenizer()


@pytest.fixture(scope="module")
def fallback_words() -> Any:
    """As sentencepiece has it: spaces are ▁, one is put first, rare characters are bytes."""
    from tokenizers import Tokenizer, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghilmnorstZ,."]
    bare = Tokenizer(
        models.BPE(
            {piece: i for i, piece in enumerate([*pieces, "an", "▁an"])},
            [("a", "n"), ("▁", "an")],
            byte_fallback=True,
            unk_token="<unk>",
            fuse_unk=True,
        )
    )
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    bare.normalizer = normalizers.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>")


@pytest.fixture(scope="module")
def folding_words() -> Any:
    """A tokenizer whose pieces do not spell the text: it folds case and drops white space."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.WordLevel({"<unk>": 0, "zoë": 1, "said": 2}, unk_token="<unk>"))
    bare.normalizer = normalizers.Lowercase()
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>")


def spans(tokens: Tokens, text: str) -> list[bytes]:
    """The bytes of the text that are said to be each token's."""
    content = text.encode()
    bounds = [0, *tokens.ends]
    return [content[a:b] for a, b in itertools.pairwise(bounds)]


def test_bytes_are_those_of_each_token_even_within_a_character(words: Any) -> None:
    tokens = encode(words, MIXED)
    parts = spans(tokens, MIXED)
    assert b"".join(parts) == MIXED.encode()
    assert any(len(part) == 1 and part[0] > 127 for part in parts)  # less than a character
    for id_, part in zip(tokens.ids, parts, strict=True):
        assert words.decode([id_]) == part.decode("utf-8", "replace")


def test_bytes_of_a_sentencepiece_tokenizer_leave_out_the_space_that_it_adds(
    fallback_words: Any,
) -> None:
    text = "Zand 你 and 😀 an"
    tokens = encode(fallback_words, text)
    parts = spans(tokens, text)
    assert b"".join(parts) == text.encode()
    assert "😀".encode()[:1] in parts  # each of its bytes is a token
    pieces = fallback_words.convert_ids_to_tokens(list(tokens.ids))
    assert pieces[-1] == "▁an"
    assert parts[-1] == b" an"
    assert pieces[0] == "▁"
    assert parts[0] == b""


def test_bytes_are_told_from_offsets_where_the_pieces_do_not_spell_the_text(
    folding_words: Any,
) -> None:
    text = "Zoë  said 你好 "
    assert spans(encode(folding_words, text), text) == [
        "Zoë".encode(),
        b"  said",
        " 你好 ".encode(),
    ]


def test_a_tokenizer_that_tells_nothing_is_refused(folding_words: Any) -> None:
    class Blind:
        def __call__(self, text: str, **_: Any) -> Any:
            return folding_words(text, return_special_tokens_mask=True)

        def convert_ids_to_tokens(self, ids: list[int]) -> Any:
            return folding_words.convert_ids_to_tokens(ids)

    with pytest.raises(MeasurementError, match="bytes cannot be counted"):
        encode(Blind(), "Zoë said nothing at all")


def test_special_tokens_before_a_text_are_its_prefix_and_those_behind_are_dropped() -> None:
    tokens = encode(tiny_models.encoder_tokenizer(), "Who knew?")
    assert tokens.prefix == (1,)
    assert tokens.ids == encode(tiny_models.tokenizer(), "Who knew?").ids
    assert tokens.ends[-1] == len("Who knew?")


@pytest.mark.parametrize("prefix", [(), (7,), (7, 8)])
@pytest.mark.parametrize(("context", "stride"), [(8, 1), (8, 4), (9, 5), (16, 3), (64, 32)])
@pytest.mark.parametrize("count", [2, 7, 8, 9, 41])
def test_every_token_counts_once_with_what_is_before_it(
    prefix: tuple[int, ...], context: int, stride: int, count: int
) -> None:
    tokens = Tokens(prefix, tuple(range(100, 100 + count)), tuple(range(3, 3 * count + 1, 3)))
    windows = strided(tokens, context, stride)
    scored = [id_ for window in windows for id_ in window.ids[-window.scored :]]
    assert scored == list(tokens.ids if prefix else tokens.ids[1:])
    assert sum(window.bytes for window in windows) == 3 * len(scored)
    for window in windows:
        assert window.ids[: len(prefix)] == prefix
        assert window.bytes == 3 * window.scored
        assert len(window.ids) <= context
        own = window.ids[len(prefix) :]
        assert own == tuple(range(own[0], own[0] + len(own)))
        before = len(own) - window.scored
        at = own[-window.scored] - 100  # tokens of the text before the first that counts
        assert before >= min(at, context - len(prefix) - stride)


def test_windows_cut_within_a_character_still_count_its_bytes_once(words: Any) -> None:
    text = "😀你" * 12
    tokens = encode(words, text)
    first = tokens.ends[0]
    for stride in range(1, 9):
        windows = strided(tokens, 10, stride)
        assert sum(window.bytes for window in windows) == len(text.encode()) - first
        assert all(window.bytes == window.scored for window in windows)  # a token is a byte here


@pytest.mark.parametrize("stride", [0, 8, 9])
def test_a_stride_that_leaves_nothing_before_a_token_is_refused(stride: int) -> None:
    tokens = Tokens((), tuple(range(20)), tuple(range(1, 21)))
    message = f"stride is {stride}, but windows of 8 tokens leave room for 1 to 7"
    with pytest.raises(MeasurementError, match=message):
        strided(tokens, 8, stride)


def test_chunks_lie_side_by_side() -> None:
    tokens = Tokens((7,), tuple(range(100, 120)), tuple(range(1, 21)))
    found = chunks(tokens, 8)
    assert [window.ids[:1] for window in found] == [(7,)] * 3
    assert [id_ for window in found for id_ in window.ids[1:]] == list(tokens.ids)
    assert [window.scored for window in found] == [7, 7, 6]
    assert sum(window.bytes for window in found) == 20
    with pytest.raises(MeasurementError, match="no room for text"):
        chunks(tokens, 1)


def test_a_beginning_of_the_spread_order_is_spread() -> None:
    order = spread(1000)
    assert sorted(order) == list(range(1000))
    tenth = sorted(order[:100])
    assert max(b - a for a, b in itertools.pairwise(tenth)) < 30


def test_no_more_tokens_than_asked_for_are_read(words: Any) -> None:
    whole = encode(words, MIXED * 20)
    (cut,) = encode_most(words, [MIXED * 20], 50)
    assert cut.ids == whole.ids[:50]
    assert cut.ends == whole.ends[:50]
    (everything,) = encode_most(words, [MIXED * 20], None)
    assert everything == whole


def test_a_text_of_many_characters_a_token_is_read_as_far_as_it_takes() -> None:
    text = "said" + " " * 3000 + "more " * 10  # no token for most of it
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.WordLevel({"<unk>": 0, "said": 1, "more": 2}, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    sparse = PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>")
    (tokens,) = encode_most(sparse, [text], 4)
    assert tokens.ids == (1, 2, 2, 2)


def test_of_many_texts_some_are_read_in_their_order_and_the_last_is_cut(words: Any) -> None:
    texts = [f"{i} and so on" for i in range(100)]
    found = encode_most(words, texts, 50)
    assert sum(len(tokens.ids) for tokens in found) == 50
    numbers = [int(words.decode(tokens.ids).split()[0]) for tokens in found]
    assert numbers == sorted(numbers)
    assert numbers[-1] > 50


@pytest.mark.parametrize("text", ["", "a"])
def test_fewer_than_two_tokens_are_refused(words: Any, text: str) -> None:
    with pytest.raises(MeasurementError, match="expected 2 or more"):
        encode_most(words, [text], None)


def test_a_file_is_one_text_and_keeps_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + MIXED.encode())
    assert read_texts(str(path), None, "dev") == [MIXED]


def test_without_a_file_the_rows_of_the_split_are_texts(tone_file: Path) -> None:
    data = DataSpec((("all", tone_file),), tiny_models.TEMPLATE, "tone")
    texts = read_texts(None, data, "dev")
    assert len(texts) > 4
    assert all(text.startswith("### Text: ") for text in texts)


def test_a_text_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="say `file`, or give the space data"):
        read_texts(None, None, "dev")
    path = tmp_path / "text.txt"
    with pytest.raises(MeasurementError, match="cannot be read: No such file"):
        read_texts(str(path), None, "dev")
    path.write_text(" \n\n")
    with pytest.raises(MeasurementError, match="the file has no text in it"):
        read_texts(str(path), None, "dev")
    path.write_bytes("Zoë".encode("latin-1"))
    with pytest.raises(MeasurementError, match="expected text in UTF-8, found other bytes at 2"):
        read_texts(str(path), None, "dev")


def test_a_window_is_no_longer_than_a_model_can_take() -> None:
    assert window_size(512, None) == 512
    assert window_size(512, 2048, None, 256) == 256
