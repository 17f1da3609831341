"""Texts against texts: exact match, ROUGE-L, chrF."""

from __future__ import annotations

import pytest

from evaluators.answers import chrf, exact_match, normalised, rouge_l


def test_normalising_leaves_what_an_answer_says() -> None:
    assert normalised("  The Eiffel-Tower, in\nPARIS! ") == "eiffeltower in paris"
    assert normalised("«Straße» — ﬁne") == normalised("STRASSE fine")
    assert normalised("Theatre of an anthem") == "theatre of anthem"  # whole words only
    assert normalised("東京。") == "東京"


@pytest.mark.parametrize(
    ("reference", "text", "loose", "strict"),
    [
        ("Paris", " Paris\n", True, True),
        ("Paris", "paris.", True, False),
        ("The Beatles", "beatles", True, False),
        ("Paris", "Paris, France", False, False),
        ("The", "the", False, False),  # normalising leaves nothing of it
        ("?!", "", False, False),
        ("?!", "?!", True, True),
        ("$5", "5", True, False),
    ],
)
def test_exact_match(reference: str, text: str, loose: bool, strict: bool) -> None:
    assert exact_match(reference, text, normalise=True) is loose
    assert exact_match(reference, text, normalise=False) is strict


@pytest.mark.parametrize(
    ("reference", "text", "expected"),
    [  # as rouge-score 0.1.2 gives them, with use_stemmer=False
        ("the cat sat on the mat", "the cat sat on the mat", 1.0),
        (
            "The quick brown fox jumps over the lazy dog.",
            "The quick brown dog jumps on the log.",
            0.5882352941176471,
        ),
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("Paris", "It is in Paris, France.", 0.33333333333333337),
        ("a b c d e", "e d c b a", 0.20000000000000004),
        ("one two", "three", 0.0),
        ("", "x", 0.0),
        ("x", "", 0.0),
        ("It's 5 o'clock", "its 5 oclock", 0.25),
        ("the the the cat", "the cat the the", 0.75),
    ],
)
def test_rouge_l_is_that_of_the_package_rouge_score(
    reference: str, text: str, expected: float
) -> None:
    assert rouge_l(reference, text) == pytest.approx(expected, abs=1e-12)


def test_rouge_l_agrees_with_the_package_on_random_texts() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
    import random

    draw = random.Random(0)
    theirs = scorer.RougeScorer(["rougeL"], use_stemmer=False)
    for _ in range(200):
        first, second = (
            " ".join(draw.choices(["a", "b", "Cat", "dog,", "x9", "-"], k=draw.randint(0, 12)))
            for _ in range(2)
        )
        expected = theirs.score(first, second)["rougeL"].fmeasure
        assert rouge_l(first, second) == pytest.approx(expected, abs=1e-12)


def test_rouge_l_knows_words_of_any_script() -> None:
    assert rouge_l("мама мыла раму", "Мама, раму!") == pytest.approx(0.8)


def test_chrf_is_that_of_sacrebleu_from_0_to_1() -> None:
    assert chrf("the cat sat on the mat", "the cat sat on the mat") == pytest.approx(1)
    assert chrf("police killed the gunman", "the gunman kill police") == pytest.approx(
        0.624670603683175
    )
    assert chrf("x", "") == 0
    assert chrf("a b c d e", "e d c b a") == pytest.approx(0.2)
