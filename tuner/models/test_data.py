"""Made-up rows, for trying a workflow whose data is not here. Knows nothing of files or spaces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

_WHO = ("The baker", "My sister", "An old man", "The pilot", "Our teacher", "A child", "The doctor")
_DID = ("found", "lost", "painted", "sold", "carried", "repaired", "forgot", "promised")
_WHAT = ("a red bicycle", "the last letter", "two warm loaves", "a broken clock", "the blue boat")
_LABELS = ("yes", "no")


def test_rows(columns: Sequence[str], label: str | None) -> list[dict[str, str]]:
    """280 rows of short English sentences, no two alike in a column; `label`: "yes" or "no".

    Nothing can be learned from them.
    """
    sentences = [f"{who} {did} {what}." for who, did, what in product(_WHO, _DID, _WHAT)]
    return [
        {
            column: _LABELS[i % len(_LABELS)] if column == label else _shifted(sentences, i, shift)
            for shift, column in enumerate(columns)
        }
        for i in range(len(sentences))
    ]


test_rows.__test__ = False  # type: ignore[attr-defined]  # it is no test, whatever its name


def _shifted(sentences: Sequence[str], row: int, shift: int) -> str:
    """Other columns of a row say something else."""
    return sentences[(row + 41 * shift) % len(sentences)]
