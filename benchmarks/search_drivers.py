"""Drives a strategy over a problem in simulated time, as the program does or as a user would.

"plain" is Optuna's TPE beside an objective function that does everything anew; any other name is a
strategy of the program, with the program's store, lessons, screening and rungs.
"""

from __future__ import annotations

from search_bench import Trace
from search_problem import Problem

PLAIN = "plain"
"""Optuna's TPE sampler as a user would call it: no strategy of the program."""


def run(problem: Problem, strategy: str, seed: int, budget: float | None = None) -> Trace:
    """One run over the problem's budget (or another one), from nothing."""
    budget = problem.budget if budget is None else budget
    if strategy == PLAIN:
        from search_plain import PlainRun

        return PlainRun(problem, seed, budget).trace
    from search_engine import EngineRun

    return EngineRun(problem, strategy, seed, budget).trace
