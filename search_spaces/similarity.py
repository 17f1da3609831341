"""How alike two texts are by the words in them, and a fast search for the most alike.

Knows nothing of labels, splits or files.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

_WORD = re.compile(r"\w+(?:['’]\w+)*")

Words = frozenset[str]


def normalised(text: str) -> str:
    """The text with case, spacing and Unicode form (NFKC) put aside."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words_of(text: str) -> Words:
    """The words of a text, each once, in lower case; punctuation between them is left out."""
    return frozenset(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def likeness(first: Words, second: Words) -> float:
    """Jaccard similarity: shared words / all words of both; 0 where neither has any."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared) if shared else 0.0


def alike_pairs(texts: Sequence[Words], least: float) -> Iterator[tuple[int, int]]:
    """(text, an earlier one) wherever their likeness is `least` or more; one pair for each text.

    Exact. Texts so alike share one of their rarest words: of n words, one of the n - least*n + 1
    rarest (Chaudhuri et al., "A Primitive Operator for Similarity Joins", 2006).
    """
    counts = Counter(word for words in texts for word in words)
    holding: dict[str, list[int]] = {}
    for number, words in enumerate(texts):
        rarest = sorted(words, key=lambda word: (counts[word], word))
        shared = rarest[: len(words) - math.ceil(least * len(words) - 1e-9) + 1]
        before = {other for word in shared for other in holding.get(word, ())}
        found = (other for other in sorted(before) if likeness(words, texts[other]) >= least)
        first = next(found, None)
        if first is not None:
            yield number, first
        for word in shared:
            holding.setdefault(word, []).append(number)


T = TypeVar("T")


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many items, evenly over the sequence: a file may be sorted by label."""
    if most >= len(items):
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]


class WordIndex:
    """Finds which of many texts is most like another. Exact; about 0.2 ms among 20,000 texts.

    A set of texts is an integer with a bit for each. Shared words are counted for all texts at
    once, in binary: the integer at place k of a count holds bit k of every text's count.
    """

    def __init__(self, texts: Sequence[Words]) -> None:
        # Of texts with the same words only the first can be found, so the others are left out.
        self._first: dict[Words, int] = {}
        for position, words in enumerate(texts):
            self._first.setdefault(words, position)
        # Shortest first: of texts that share as many words, the lowest bit is the most alike.
        self._texts = sorted(self._first, key=len)
        self._containing: dict[str, list[int]] = {}
        for number, words in enumerate(self._texts):
            for word in words:
                self._containing.setdefault(word, []).append(number)
        self._kept: dict[str, int] = {}

    def nearest(self, words: Words) -> tuple[int, float] | None:
        """(position, likeness) of the most similar text, of equals the first; None: none is."""
        if words and words in self._first:
            return self._first[words], 1.0
        best: tuple[float, int] | None = None
        for shared, texts in self._by_shared(words):
            text = self._texts[(texts & -texts).bit_length() - 1]
            alike = shared / (len(words) + len(text) - shared)
            found = alike, -self._first[text]
            best = found if best is None else max(best, found)
        return None if best is None else (-best[1], best[0])

    def _by_shared(self, words: Words) -> Iterator[tuple[int, int]]:
        """(how many words are shared, the texts that share so many), wherever there are any."""
        places: list[int] = []
        for word in words:
            carry, place = self._holding(word), 0
            while carry:
                if place == len(places):
                    places.append(0)
                places[place], carry = places[place] ^ carry, places[place] & carry
                place += 1
        yield from _counts(places)

    def _holding(self, word: str) -> int:
        """The texts that hold a word."""
        found = self._kept.get(word)
        if found is not None:
            return found
        numbers = self._containing.get(word, ())
        bits = bytearray(len(self._texts) // 8 + 1)
        for number in numbers:
            bits[number >> 3] |= 1 << (number & 7)
        mask = int.from_bytes(bits, "little")
        if len(numbers) * 64 > len(self._texts):  # kept where it is asked for often
            self._kept[word] = mask
        return mask


def _counts(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Split texts by their count: from every bit's texts to (count, its texts)."""
    groups = {0: -1}
    for place in reversed(range(len(places))):
        here = places[place]
        groups = {
            count: texts
            for before, among in groups.items()
            for count, texts in ((before << 1, among & ~here), (before << 1 | 1, among & here))
            if texts
        }
    yield from ((count, texts) for count, texts in groups.items() if count)
