"""Text to windows of token ids, and how many bytes of the text each of them accounts for.

Knows nothing of models; a tokenizer is anything that is called like one of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from evaluators.base import MeasurementError
from evaluators.rows import Rows
from search_spaces.data import DataSpec, read_split
from search_spaces.vocabulary import Value

_CHARACTERS = 16  # a token has fewer as a rule: how much of a long text is encoded at first
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's tokens.

    `prefix`: the special tokens that the tokenizer puts before it. `ends`: for every token, the
    UTF-8 bytes of the text up to its end.
    """

    prefix: tuple[int, ...]
    ids: tuple[int, ...]
    ends: tuple[int, ...]

    def bytes(self, start: int, end: int) -> int:
        """The bytes of the text that the tokens from `start` to before `end` stand for."""
        return self.ends[end - 1] - (self.ends[start - 1] if start else 0)


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids to feed at once, of which the last `scored` count, which are so many `bytes`."""

    ids: tuple[int, ...]
    scored: int
    bytes: int


def read_texts(file: Value, data: DataSpec | None, split: str, tokenizer: Any = None) -> list[str]:
    """What to read: the file as one text, or with None the rows of the split as the model does.

    `tokenizer`: the model's, which chats are written with. MeasurementError where there is neither
    file nor data, or the file is empty or no UTF-8.
    """
    if file is not None:
        return [_read_file(Path(str(file)))]
    return Rows(tokenizer, _data(data)).texts(read_split(_data(data), split))


def _data(data: DataSpec | None) -> DataSpec:
    if data is None:
        raise MeasurementError("there is no text to read: say `file`, or give the space data")
    return data


def _read_file(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MeasurementError(f"{path}: the text cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MeasurementError(
            f"{path}: expected text in UTF-8, found other bytes at {error.start}"
        ) from None
    if not text.strip():
        raise MeasurementError(f"{path}: the file has no text in it")
    return text


def spread(count: int) -> list[int]:
    """0 to `count` - 1 in an order whose every beginning is spread evenly over all of them."""
    return sorted(range(count), key=lambda i: i * _GOLDEN % 1)


def encode_most(tokenizer: Any, texts: Sequence[str], most: int | None) -> list[Tokens]:
    """The texts' tokens, no more than `most` in all, in the texts' order.

    Of many texts some are taken, spread over all of them, and the last of these is cut; of a
    single one the beginning. MeasurementError where they are fewer than 2 tokens.
    """
    found: dict[int, Tokens] = {}
    left = most
    for i in spread(len(texts)):
        if left == 0:
            break
        tokens = _encode_beginning(tokenizer, texts[i], left)
        if tokens.ids:
            found[i] = tokens
        left = None if left is None else left - len(tokens.ids)
    total = sum(len(tokens.ids) for tokens in found.values())
    if total < 2:
        raise MeasurementError(f"the text has {total} token(s), expected 2 or more")
    return [found[i] for i in sorted(found)]


def _encode_beginning(tokenizer: Any, text: str, most: int | None) -> Tokens:
    """The first tokens of a text, of which no more is encoded than it takes."""
    size = len(text) if most is None else min(len(text), most * _CHARACTERS)
    while True:
        tokens = encode(tokenizer, text[:size])
        if size == len(text) or (most is not None and len(tokens.ids) >= most):
            return Tokens(tokens.prefix, tokens.ids[:most], tokens.ends[:most])
        size = min(len(text), 2 * size)


def encode(tokenizer: Any, text: str) -> Tokens:
    """The tokens of a text; special tokens behind it are left out."""
    offsets = bool(getattr(tokenizer, "is_fast", False))
    found = tokenizer(
        text, return_special_tokens_mask=True, return_offsets_mapping=offsets, verbose=False
    )
    ids, mask = found["input_ids"], found["special_tokens_mask"]
    start = next((i for i, special in enumerate(mask) if not special), len(ids))
    end = next((i for i in range(len(ids), start, -1) if not mask[i - 1]), start)
    own = tuple(ids[start:end])
    places = found["offset_mapping"][start:end] if offsets else None
    # What the tokenizer puts first may stand in the text already, as chat templates write it.
    first = start - (start > 0 and own[:1] == (ids[start - 1],))
    return Tokens(tuple(ids[:first]), own, tuple(_ends(tokenizer, text, own, places)))


def _ends(
    tokenizer: Any, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]] | None
) -> Iterator[int]:
    """The bytes of the text up to the end of every token.

    From the tokens' own spelling where that adds up to the text, since it tells the bytes of a
    character apart; else from the characters that the tokenizer says each token is of.
    """
    total = len(text.encode("utf-8"))
    pieces = [str(piece) for piece in tokenizer.convert_ids_to_tokens(list(ids))]
    for size in (len, _sentencepiece_bytes):
        added = sum(map(size, pieces)) - total
        if added == 0 or (added == 1 and pieces[0].startswith("▁")):
            return _running(pieces, size, added)
    if offsets is None:
        raise MeasurementError(
            "the model's tokenizer does not say which text a token is of: bytes cannot be counted"
        )
    return _by_offsets(text, offsets)


def _running(pieces: Sequence[str], size: Callable[[str], int], added: int) -> Iterator[int]:
    """Running sums of the pieces' bytes, less what was added before the first."""
    return (end - added for end in accumulate(map(size, pieces)))


def _sentencepiece_bytes(piece: str) -> int:
    """Of a piece that has ▁ for a space, and <0xE2> for a byte of a character not in it."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return 1
    return len(piece.replace("▁", " ").encode("utf-8"))


def _by_offsets(text: str, offsets: Sequence[tuple[int, int]]) -> Iterator[int]:
    """What lies between two tokens belongs to the second, and what is after the last to it."""
    sizes = [0, *accumulate(len(character.encode("utf-8")) for character in text)]
    ends = [*accumulate((end for _, end in offsets), max)]
    ends[-1:] = [len(text) for _ in ends[-1:]]
    return (sizes[end] for end in ends)


def strided(tokens: Tokens, context: int, stride: int) -> list[Window]:
    """Windows in which every token counts once, with `context` - `stride` tokens or more before it.

    Those of the first window have what the text has before them. Each window begins with the
    prefix; in a text without one, the first token does not count, since nothing foretells it.
    MeasurementError where the stride leaves no room for anything before.
    """
    room = context - len(tokens.prefix)
    if not 1 <= stride < room:
        raise MeasurementError(
            f"stride is {stride}, but windows of {context} tokens leave room for 1 to {room - 1}"
        )
    count = len(tokens.ids)
    found = []
    done = 0 if tokens.prefix else 1
    end = min(room, count)
    while done < count:
        ids = tokens.prefix + tokens.ids[max(0, end - room) : end]
        found.append(Window(ids, end - done, tokens.bytes(done, end)))
        done, end = end, min(end + stride, count)
    return found


def chunks(tokens: Tokens, context: int) -> list[Window]:
    """Windows side by side, in which every token counts; each begins with the prefix."""
    room = context - len(tokens.prefix)
    if room < 1:
        raise MeasurementError(f"windows of {context} tokens leave no room for text")
    starts = range(0, len(tokens.ids), room)
    bounds = [(start, min(start + room, len(tokens.ids))) for start in starts]
    return [
        Window(tokens.prefix + tokens.ids[start:end], end - start, tokens.bytes(start, end))
        for start, end in bounds
    ]


def window_size(asked: Value, *limits: int | None) -> int:
    """The tokens of a window: what is asked for, or the least that a model can take."""
    return min([int(str(asked)), *(limit for limit in limits if limit is not None)])
