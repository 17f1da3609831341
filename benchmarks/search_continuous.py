"""Constrained problems of the literature, from pymoo: continuous, one stage, no noise.

BNH, OSY, TNK, the welded beam and C2-DTLZ2. An evaluation costs a second, so that seconds count
evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from search_problem import Metrics, Problem, Steps
from search_volume import hypervolume

from search_spaces import Vocabulary
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, PassSpec

REFERENCES: Mapping[str, tuple[float, ...]] = {
    "bnh": (140.0, 50.0),
    "osy": (0.0, 80.0),
    "tnk": (1.1, 1.1),
    "welded_beam": (40.0, 0.01),
    "c2dtlz2": (1.1, 1.1, 1.1),
}
BEST: Mapping[str, float] = {
    "bnh": 5276.805,
    "osy": 16772.52,
    "tnk": 0.432357,
    "welded_beam": 0.3247013,
    "c2dtlz2": 0.6864485,
}
"""The hypervolume of the front that `reference_volume` finds."""

TITLES = {
    "bnh": "BNH",
    "osy": "OSY",
    "tnk": "TNK",
    "welded_beam": "Welded beam",
    "c2dtlz2": "C2-DTLZ2",
}
_EVALUATIONS = 200
_EVERYTHING = frozenset(Aspect)


class Continuous(Problem):
    """The problem that pymoo has under this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = TITLES[name]
        self._problem: Any = get_problem(name)
        self.text = _text(self._problem)
        self.vocabulary = _vocabulary(self._problem)
        self.budget = float(_EVALUATIONS)
        self.reference = REFERENCES[name]
        self.best = BEST[name]

    def stage(self, steps: Steps, share: float = 1.0) -> tuple[float, bool]:
        """A second."""
        return 1.0, False

    def truth(self, steps: Steps, share: float = 1.0) -> Metrics:
        """Objectives f1... and constraints g1..., which hold where they are at most 0."""
        point = np.array([list(steps[0].parameters.values())], dtype=float)
        objectives, constraints = self._problem.evaluate(point, return_values_of=["F", "G"])
        found = {f"f{n}": float(v) for n, v in enumerate(objectives[0], start=1)}
        return found | {f"g{n}": float(v) for n, v in enumerate(constraints[0], start=1)}


def reference_volume(name: str, population: int = 400, generations: int = 500) -> float:
    """The hypervolume that pymoo's NSGA-II reaches with very many evaluations."""
    problem = get_problem(name)
    found = minimize(problem, NSGA2(pop_size=population), ("n_gen", generations), seed=1)
    return hypervolume([tuple(map(float, f)) for f in found.F], REFERENCES[name])


def _bounds(problem: Any) -> list[tuple[str, str]]:
    """Per variable its bounds as text that YAML reads as a number; 1e-30 stays above 0."""
    return [
        (f"{max(low, 1e-9) if low > 0 else low:.9e}", f"{high:.9e}")
        for low, high in zip(problem.xl, problem.xu, strict=True)
    ]


def _vocabulary(problem: Any) -> Vocabulary:
    numbers = []
    for index, (low, high) in enumerate(_bounds(problem), start=1):
        middle = (float(low) + float(high)) / 2
        bounds = float(low), float(high)
        numbers.append(ParameterSpec(f"x{index}", float, middle, "a variable", *bounds))
    passes = PassSpec(
        "evaluate", 1, "a point", tuple(numbers), frozenset({"hf"}), "built", _EVERYTHING
    )
    names = [f"f{n + 1}" for n in range(problem.n_obj)]
    names += [f"g{n + 1}" for n in range(problem.n_ieq_constr)]
    metrics = tuple(MetricSpec(n, "", True, _EVERYTHING, "a value") for n in names)
    values = EvaluatorSpec("values", 1, "the functions", (), metrics, frozenset({"built"}))
    return Vocabulary({passes.name: passes}, {values.name: values})


def _text(problem: Any) -> str:
    ranges = "".join(
        f"      x{n}: {{range: [{low}, {high}]}}\n"
        for n, (low, high) in enumerate(_bounds(problem), start=1)
    )
    objectives = ", ".join(f"minimize f{n + 1}" for n in range(problem.n_obj))
    constraints = ", ".join(f'"g{n + 1}<=0"' for n in range(problem.n_ieq_constr))
    return f"""
model: .
task: text-classification
pipeline:
  - evaluate:
{ranges}metrics: {{values: {{}}}}
objectives: [{objectives}]
constraints: [{constraints}]
"""
