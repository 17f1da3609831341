"""How long a candidate is expected to take, by what the store has and what things took so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_spaces import CONVERT, FOLD, HEAD, METRICS, SETTINGS, TUNE

from evaluators import all_evaluators
from evaluators.base import Evaluator
from search_spaces import Overrides, Vocabulary, parse_space
from search_spaces.candidates import Candidate, build, default_candidate
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect, PassSpec
from tuner.passes import Pass, StageContext
from tuner.pipeline.plan import Source, Stage, plan
from tuner.pipeline.store import Store
from tuner.search.outlook import StoreOutlook
from tuner.study.events import Measured, StageFinished, TrialAsked
from tuner.study.rows import StageRow

SOURCE = Source("a" * 64, "text-generation", {"train": "b" * 64, "dev": "c" * 64})
RUNTIME = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
SPEED = replace(METRICS, metrics=tuple(replace(m, depends_on=RUNTIME) for m in METRICS.metrics))
TRAINING = replace(TUNE, budget="y")  # y says how long it trains
SPECS = (TRAINING, FOLD, CONVERT, SETTINGS)
TEXT = (
    HEAD
    + """
pipeline:
  - tune_weights:
      x: {choices: [1, 4, 16]}
      y: {choices: [10, 20]}
  - fold
  - convert: {kind: {choices: [full, half]}}
  - settings: {threads: {choices: [1, 2]}}
"""
)


class Toy(Pass):
    """A pass that is never run."""

    def __init__(self, spec: PassSpec) -> None:
        self.spec = spec  # type: ignore[misc]

    def run(self, context: StageContext) -> None:
        raise NotImplementedError


PASSES: Mapping[str, Pass] = {spec.name: Toy(spec) for spec in SPECS}


def space() -> Space:
    """A small staged space over the toy vocabulary."""
    words = Vocabulary({spec.name: spec for spec in SPECS}, {SPEED.name: SPEED})
    found = parse_space(TEXT, Path("toy.yaml"), words, Overrides()).space
    assert found is not None
    return found


def speed() -> Evaluator:
    """Something that is declared as the toy evaluator; it is never asked to measure."""

    class Speed(type(all_evaluators()["latency"])):  # type: ignore[misc]
        spec = SPEED

    made: Evaluator = Speed()
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def outlook(store: Store) -> StoreOutlook:
    """An outlook that has seen nothing yet."""
    return StoreOutlook(space(), SOURCE, PASSES, {SPEED.name: speed()}, store)


def candidate(**values: Any) -> Candidate:
    """The candidate of these values by their last names, and of defaults."""

    def choose(decision: Any) -> Any:
        return values.get(decision.name.rpartition(".")[2], decision.default)

    return build(space(), choose)


def tried(outlook: StoreOutlook, number: int, made: Candidate, took: Mapping[str, float]) -> None:
    """Let the outlook hear of a trial whose stages took so many seconds, by pass."""
    steps = tuple(step.to_json() for step in made.steps)
    outlook(TrialAsked(number, "trial", made.key, {}, steps))
    for position, stage in enumerate(plan(made, SOURCE, PASSES)):
        outlook(finished(number, position, stage, took[stage.spec.name]))
    outlook(Measured(number, SPEED.name, "dev", "k", False, took["measuring"], (), ()))


def finished(number: int, position: int, stage: Stage, seconds: float) -> StageFinished:
    """The event of a stage that was run."""
    return StageFinished(
        number, position, stage.step, stage.spec.name, stage.key, False, seconds, 1, None, None
    )


TOOK = {"tune_weights": 100.0, "fold": 3.0, "convert": 20.0, "settings": 1.0, "measuring": 7.0}


def test_where_nothing_is_known_every_candidate_takes_as_long(outlook: StoreOutlook) -> None:
    assert outlook.seconds(candidate(x=1)) == outlook.seconds(candidate(x=16)) > 0


def test_what_was_made_and_measured_costs_nothing_again(outlook: StoreOutlook) -> None:
    made = candidate(x=1, y=10)
    tried(outlook, 0, made, TOOK)
    assert outlook.seconds(made) == 0


def test_only_what_follows_a_shared_prefix_is_counted(outlook: StoreOutlook) -> None:
    tried(outlook, 0, candidate(x=1, y=10, kind="full", threads=1), TOOK)
    assert outlook.seconds(candidate(x=1, y=10, kind="full", threads=2)) == pytest.approx(1 + 7)
    assert outlook.seconds(candidate(x=1, y=10, kind="half", threads=1)) == pytest.approx(21 + 7)


def test_a_measurement_that_training_cannot_change_is_known(outlook: StoreOutlook) -> None:
    tried(outlook, 0, candidate(x=1, y=10), TOOK)
    assert outlook.seconds(candidate(x=4, y=10)) == pytest.approx(124)  # and no measuring


def test_training_is_paid_for_by_its_length(outlook: StoreOutlook) -> None:
    tried(outlook, 0, candidate(x=1, y=10), TOOK)
    assert outlook.seconds(candidate(x=4, y=20)) == pytest.approx(224)


def test_a_part_of_a_training_tells_what_the_whole_takes(outlook: StoreOutlook) -> None:
    made = candidate(x=1, y=10)
    outlook(TrialAsked(0, "trial", made.key, {}, tuple(s.to_json() for s in made.steps)))
    [first, *_] = plan(made, SOURCE, PASSES, {"tune_weights": 0.25})
    outlook(replace(finished(0, 0, first, 30.0), share=0.25))
    found = outlook.stages_seconds(plan(made, SOURCE, PASSES)[:1])
    assert found == pytest.approx(120)


def test_of_stages_that_were_never_seen_nothing_is_claimed(outlook: StoreOutlook) -> None:
    assert outlook.stages_seconds(plan(candidate(), SOURCE, PASSES)) is None
    assert outlook.measuring_seconds() == 0


def test_what_the_store_holds_is_known_without_an_event(
    outlook: StoreOutlook, store: Store
) -> None:
    made = candidate(x=1, y=10)
    [first, *_] = plan(made, SOURCE, PASSES)
    before = outlook.seconds(made)
    with store.draft(first.key) as draft:
        draft.commit({"pass": "tune_weights", "seconds": 50.0, "description": first.description})
    assert outlook.seconds(made) == before - 1  # of three unknown seconds and a measurement's


def test_what_other_studies_took_is_a_first_guess(store: Store) -> None:
    other = plan(candidate(x=1, y=10), replace(SOURCE, key="f" * 64), PASSES)[0]
    with store.draft(other.key) as draft:
        draft.commit({"pass": "tune_weights", "seconds": 50.0, "description": other.description})
    outlook = StoreOutlook(space(), SOURCE, PASSES, {SPEED.name: speed()}, store)
    short, long = (outlook.seconds(candidate(y=y)) for y in (10, 20))
    assert long - short == pytest.approx(50)


def test_a_study_that_goes_on_knows_what_its_stages_took(
    outlook: StoreOutlook, store: Store
) -> None:
    stage = plan(candidate(x=1, y=10), SOURCE, PASSES)[2]
    row = StageRow(0, 2, "convert", "convert", stage.key, "done", False, 20.0, 1, None, None, 0, 20)
    lost = replace(row, outcome="failed", seconds=900.0)
    outlook.learn_rows([row, lost])
    assert outlook.stages_seconds([stage]) == pytest.approx(20)


def test_several_threads_may_ask_and_tell(outlook: StoreOutlook) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for x in (1, 4, 16) * 20:
                tried(outlook, number, candidate(x=x), TOOK)
                outlook.seconds(candidate(x=x, threads=2))
        except BaseException as error:  # noqa: BLE001  # whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_look_takes_microseconds(outlook: StoreOutlook) -> None:
    """Measured 23 us on one core; the test admits a machine that is busy."""
    candidates = [candidate(x=x, threads=t) for x in (1, 4, 16) for t in (1, 2)]
    for one in candidates:
        outlook.seconds(one)
    started = time.process_time()
    for _ in range(100):
        for one in candidates:
            outlook.seconds(one)
    assert (time.process_time() - started) / 600 < 300e-6


def test_the_default_is_a_candidate_like_any_other(outlook: StoreOutlook) -> None:
    assert outlook.seconds(default_candidate(space())) == pytest.approx(
        5
    )  # 4 stages, a measurement
