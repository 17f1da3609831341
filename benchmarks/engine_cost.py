"""What the engine costs around a pass, beside Optuna alone on the same kind of database.

    python benchmarks/engine_cost.py [--trials 100] [--rounds 5]

A space of 625 points (four parameters of five values), one pass that writes one small file, one
evaluator that reads it. The engine's figure is everything around the two: asking, planning, the
store, the events, the study's tables, Optuna's tables. Optuna's is ask, suggest, constraints and
tell with the same sampler on an SQLite file with the same settings. Rounds alternate, on fresh
databases. The start of a stage's process is measured apart, on warm workers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import optuna

from evaluators.base import Artifact, Estimate, Evaluator, Measurement
from evaluators.machine import cpu_model
from search_spaces import Overrides, find_space, parse_space, read_space
from search_spaces.data import DataSpec
from search_spaces.vocabulary import (
    Aspect,
    EvaluatorSpec,
    MetricSpec,
    ParameterSpec,
    PassSpec,
    Value,
    Vocabulary,
)
from tuner.engine.crew import Crew, Tools
from tuner.engine.session import preload
from tuner.engine.tuning import Parts, Tuning
from tuner.execution.job import Job, Outcome
from tuner.execution.stage_job import RUN_STAGE
from tuner.execution.workers import Workers
from tuner.passes.base import Pass, StageContext
from tuner.pipeline.plan import Source
from tuner.pipeline.store import Store
from tuner.registry import vocabulary
from tuner.search.outlook import StoreOutlook
from tuner.search.strategies import make_strategy
from tuner.study.cooperation import Cooperation
from tuner.study.database import configure_sqlite, open_engine
from tuner.study.events import Event, StudyStarted
from tuner.study.ledger import Ledger
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter

NAMES = ("a", "b", "c", "d")
SPACE = """
model: .
task: text-generation
pipeline:
  - trivial:
      a: {choices: [0, 1, 2, 3, 4]}
      b: {choices: [0, 1, 2, 3, 4]}
      c: {choices: [0, 1, 2, 3, 4]}
      d: {choices: [0, 1, 2, 3, 4]}
objectives: [minimize cost, maximize worth]
constraints: ["cost<9ms", "worth>=10%"]
"""


class Trivial(Pass):
    """Writes its parameters."""

    spec: ClassVar[PassSpec] = PassSpec(
        name="trivial",
        version=1,
        help="writes its parameters",
        parameters=tuple(ParameterSpec(n, int, 0, "a number", low=0, high=4) for n in NAMES),
        accepts=frozenset({"hf"}),
        gives="trivial",
        changes=frozenset(Aspect),
        neutral={},
    )

    def run(self, context: StageContext) -> None:
        """Write one small file."""
        (context.output / "p.json").write_text(json.dumps(dict(context.parameters)))


class TrivialMetrics(Evaluator):
    """Two numbers from the parameters."""

    spec: ClassVar[EvaluatorSpec] = EvaluatorSpec(
        name="trivial_metrics",
        version=1,
        help="two numbers",
        parameters=(),
        metrics=(
            MetricSpec("cost", "s", True, frozenset(Aspect), "seconds"),
            MetricSpec("worth", "fraction", False, frozenset(Aspect), "a share"),
        ),
        formats=frozenset({"trivial"}),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Read the file."""
        p = json.loads((model.path / "p.json").read_text())
        cost, worth = objectives([p[n] for n in NAMES])
        return Measurement({"cost": [[cost]], "worth": [[worth]]})

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The number as it is."""
        value = measurements[0].samples[metric][0][0]
        unit = "s" if metric == "cost" else "fraction"
        return Estimate(metric, statistic, value, value, value, unit, 1)


def objectives(p: Sequence[int]) -> tuple[float, float]:
    """The two values of a point."""
    return (1 + sum(p)) / 1000, (1 + p[0] * p[1]) / 17


class InProcess:
    """Runs jobs in this process and adds up their time, which is not the engine's."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(
        self,
        job: Job,
        *,
        deadline: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Outcome:
        """Run the pass or the evaluator."""
        started = time.perf_counter()
        payload, value = job.payload, {}
        if job.entry == RUN_STAGE:
            model = Artifact.from_json(payload["model"])
            output = Path(payload["output"])
            Trivial().run(StageContext(model, payload["parameters"], output, "", None))
        else:
            model = Artifact.from_json(payload["model"])
            value = TrivialMetrics().measure(model, {}, None, "dev").to_json()
        seconds = time.perf_counter() - started
        self.seconds += seconds
        return Outcome(value, None, seconds, 0)


def engine_ms(folder: Path, trials: int, seed: int, strategy_name: str = "tpe") -> float:
    """Milliseconds per trial around the pass and the evaluator."""
    vocabulary = Vocabulary({"trivial": Trivial.spec}, {"trivial_metrics": TrivialMetrics.spec})
    overrides = Overrides(trials=str(trials), seed=str(seed), strategy=strategy_name)
    space = parse_space(SPACE, folder / "space.yaml", vocabulary, overrides).space
    folder.mkdir(exist_ok=True)
    engine = open_engine(str(folder / "ours.db"))
    executor, writer = InProcess(), StudyWriter(engine, "study")
    writer(StudyStarted("study", False, {"text": ""}, (), (), {}, {}))
    ledger = Ledger(f"sqlite:///{folder / 'ours.db'}", "study", space.objectives)
    source = Source("0" * 64, "text-generation", {"train": "0"})
    passes, evaluators = {"trivial": Trivial()}, {"trivial_metrics": TrivialMetrics()}
    store, reader = Store(folder / "store"), StudyReader(engine)
    outlook = StoreOutlook(space, source, passes, evaluators, store)

    def emit(event: Event) -> None:
        writer(event)
        outlook(event)

    tools = Tools(
        space=space,
        vocabulary=vocabulary,
        passes=passes,
        evaluators=evaluators,
        source=source,
        machine={},
        store=store,
        executors=[executor],
        outlook=outlook,
        emit=emit,
    )
    strategy = make_strategy(space, vocabulary, outlook)
    cooperation = Cooperation(engine, reader, writer, "study")
    tuning = Tuning(Parts(space, strategy, Crew(tools), ledger, cooperation, emit))
    started = time.perf_counter()
    tuning.search()
    spent = time.perf_counter() - started - executor.seconds
    ledger.close()
    engine.dispose()
    return spent / trials * 1000


def optuna_ms(folder: Path, trials: int, seed: int) -> float:
    """Milliseconds per trial of Optuna alone."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    configure_sqlite(storage.engine)
    sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)
    study = optuna.create_study(
        storage=storage, directions=["minimize", "maximize"], sampler=sampler
    )
    started = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        point = [trial.suggest_categorical(n, [0, 1, 2, 3, 4]) for n in NAMES]
        cost, worth = objectives(point)
        trial.set_constraint("cost<9ms", (cost - 0.009) / 0.0009)
        trial.set_constraint("worth>=10%", (0.1 - worth) / 0.01)
        study.tell(trial, [cost, worth])
    spent = time.perf_counter() - started
    storage.engine.dispose()
    return spent / trials * 1000


def process_ms(folder: Path, repeats: int) -> list[float]:
    """Milliseconds to run an empty job in a process of its own, on warm workers."""
    times = []
    space = read_space(find_space("quickstart"), vocabulary()).space
    with Workers(preload(space, vocabulary())) as workers:
        job = Job("builtins:dict", {}, folder / "log.txt")  # gives an empty object
        workers.run(job)
        for _ in range(repeats):
            started = time.perf_counter()
            workers.run(job)
            times.append((time.perf_counter() - started) * 1000)
    return times


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    ours, thrifty, alone = [], [], []
    for seed in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours.append(engine_ms(Path(folder), arguments.trials, seed))
            thrifty.append(engine_ms(Path(folder) / "auto", arguments.trials, seed, "auto"))
            alone.append(optuna_ms(Path(folder), arguments.trials, seed))
    with tempfile.TemporaryDirectory() as folder:
        starts = process_ms(Path(folder), 30)
    ratios = [a / b for a, b in zip(ours, alone, strict=True)]
    print(f"{cpu_model()}, Optuna {optuna.__version__}, {arguments.trials} trials a round\n")
    print("| ms per trial | min | median | max |\n|---|---|---|---|")
    rows = {
        "engine around the pass, tpe": ours,
        "engine around the pass, auto": thrifty,
        "Optuna alone": alone,
        "ratio of tpe": ratios,
        "a stage's process": starts,
    }
    for name, values in rows.items():
        middle = statistics.median(values)
        print(f"| {name} | {min(values):.2f} | {middle:.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
