"""Every installed pass and evaluator, as the vocabulary that spaces are checked against.

Imports their declarations only, nothing heavy.
"""

from __future__ import annotations

from evaluators import BrokenEvaluator, evaluator_specs
from evaluators.function import function_evaluators
from search_spaces.problems import Problem, SpaceError
from search_spaces.space import Space
from search_spaces.vocabulary import Vocabulary
from tuner.passes import BrokenPass, pass_specs


def vocabulary() -> Vocabulary:
    """What a space may name; SpaceError where an installed pass or evaluator cannot be used."""
    try:
        return Vocabulary(pass_specs(), evaluator_specs())
    except (BrokenPass, BrokenEvaluator) as error:
        raise SpaceError([Problem(str(error))]) from error


def vocabulary_of(space: Space) -> Vocabulary:
    """`vocabulary`, with the metrics of the space's own."""
    words = vocabulary()
    specs = {name: found.spec for name, found in function_evaluators(space).items()}
    return Vocabulary(words.passes, {**words.evaluators, **specs})
