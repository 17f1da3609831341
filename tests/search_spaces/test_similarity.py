"""How alike two texts are, and the search for the most alike."""

from __future__ import annotations

import random

import pytest

from search_spaces.similarity import (
    WordIndex,
    Words,
    alike_pairs,
    likeness,
    normalised,
    spread,
    words_of,
)


def test_words_are_without_case_punctuation_and_form() -> None:
    assert words_of("Don't STOP -- \ufb01ne, don't!") == {"don't", "stop", "fine"}
    assert words_of("café CAFE\u0301") == {"café"}
    assert words_of(" ?! ") == frozenset()


def test_case_spacing_and_form_do_not_make_a_text_another() -> None:
    assert normalised("  Stra\u00dfe\t\n1 ") == normalised("STRASSE 1")
    assert normalised("a b") != normalised("ab")


def test_likeness_is_shared_words_over_all_words() -> None:
    assert likeness(words_of("a b c"), words_of("b c d")) == 0.5
    assert likeness(words_of("a"), words_of("a")) == 1.0
    assert likeness(frozenset(), frozenset()) == 0.0


def plain(texts: list[Words], words: Words) -> tuple[int, float] | None:
    """The nearest text by looking at every one."""
    alike = [likeness(words, text) for text in texts]
    return None if not any(alike) else (alike.index(max(alike)), max(alike))


@pytest.mark.parametrize("seed", range(3))
def test_the_index_finds_what_looking_at_every_text_finds(seed: int) -> None:
    source = random.Random(seed)
    # Few words, so that equal likenesses, equal texts and empty ones come often.
    pool = [f"w{i}" for i in range(12)]

    def some() -> Words:
        return frozenset(source.choices(pool, k=source.randint(0, 9)))

    texts = [some() for _ in range(300)]
    index = WordIndex(texts)
    asked = [some() | {"unknown"} for _ in range(150)] + texts[:20]
    assert [index.nearest(words) for words in asked] == [plain(texts, words) for words in asked]


def test_of_equally_similar_texts_the_first_is_found() -> None:
    texts = [words_of(text) for text in ("x y z", "a b c d", "a q", "a b", "c b", "a b")]
    index = WordIndex(texts)
    assert index.nearest(words_of("a b")) == (3, 1.0)
    assert index.nearest(words_of("b")) == (3, 0.5)
    assert index.nearest(words_of("a")) == (2, 0.5)
    assert index.nearest(words_of("nothing")) is None
    assert WordIndex([]).nearest(words_of("a")) is None


def test_a_part_is_taken_evenly_over_the_whole() -> None:
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread(range(3), 5) == [0, 1, 2]


@pytest.mark.parametrize("least", [0.5, 0.8, 1.0])
def test_alike_texts_are_those_of_comparing_all(least: float) -> None:
    chance = random.Random(3)
    texts: list[Words] = [frozenset(chance.choices("abcdefgh", k=6)) for _ in range(150)]
    texts.append(frozenset())
    expected = []
    for number, words in enumerate(texts):
        alike = (i for i, other in enumerate(texts[:number]) if likeness(words, other) >= least)
        first = next(alike, None)
        if first is not None:
            expected.append((number, first))
    assert expected
    assert list(alike_pairs(texts, least)) == expected
