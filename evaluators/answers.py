"""How near a text comes to the one that was expected: exact match, ROUGE-L and chrF, 0 to 1.

Knows nothing of models or of data.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WORD = re.compile(r"[^\W_]+")


def normalised(text: str) -> str:
    """A text without what two spellings of one answer differ in, as SQuAD compares answers.

    In this order: Unicode NFKC, case folded; every character of ASCII's or of Unicode's
    punctuation taken out; the English words a, an and the taken out; each stretch of white space
    one space, none at either end.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(c for c in folded if not _is_punctuation(c))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def exact_match(reference: str, text: str, normalise: bool) -> bool:
    """Whether the two are equal: once `normalised`, or else apart from white space at the ends.

    A reference of which normalising leaves nothing ("The", "?!") is compared as it is.
    """
    if normalise and (expected := normalised(reference)):
        return expected == normalised(text)
    return reference.strip() == text.strip()


def rouge_l(reference: str, text: str) -> float:
    """ROUGE-L (Lin, "ROUGE", 2004): F1 of the longest common subsequence of words.

    Words are stretches of letters and digits of any script, in lower case, not stemmed; recall is
    of the reference's words, precision of the text's. 0 where one of the two has no word. On
    English text it gives what the package rouge-score does without its stemmer.
    """
    expected, found = words(reference), words(text)
    common = _longest_common(expected, found)
    return 2 * common / (len(expected) + len(found)) if common else 0.0


def words(text: str) -> list[str]:
    """What ROUGE-L compares: stretches of letters and digits, in lower case."""
    return _WORD.findall(text.lower())


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    lengths = [0] * (len(second) + 1)  # of what has been seen of `first`, and so much of `second`
    for a in first:
        before = 0
        for i, b in enumerate(second, 1):
            before, lengths[i] = lengths[i], before + 1 if a == b else max(lengths[i - 1 : i + 1])
    return lengths[-1]


def chrf(reference: str, text: str) -> float:
    """ChrF of sacrebleu (Popovic 2015; characters 1 to 6, no words, beta 2), divided by 100."""
    return float(_chrf().sentence_score(text, [reference]).score) / 100


@cache
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()
