"""Every installed pass and evaluator, as the vocabulary that spaces are checked against.

Imports their declarations only, nothing heavy.
"""

from __future__ import annotations

from evaluators import evaluator_specs
from search_spaces.vocabulary import Vocabulary
from tuner.passes import pass_specs


def vocabulary() -> Vocabulary:
    """What a space may name."""
    return Vocabulary(pass_specs(), evaluator_specs())
