"""The workers of one command: each tries one candidate at a time; they share what they learn.

With one worker everything happens in the caller's thread. With several, each has a thread and
worker processes of its own; what one raises stops them all. Knows nothing of strategies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from evaluators.base import Evaluator
from search_spaces.candidates import Candidate
from search_spaces.space import Space
from search_spaces.vocabulary import Vocabulary
from tuner.engine.confirming import Confirmer
from tuner.engine.ladder import Ladder
from tuner.engine.screening import Screen
from tuner.engine.trying import Front, Trier
from tuner.execution.making import Executor, Maker, OutOfTime
from tuner.execution.measuring import Measurer, Run, Shared
from tuner.execution.trial import FailedStages, TrialRunner
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source
from tuner.pipeline.store import Store
from tuner.search.halving import SHARES
from tuner.search.judging import Judge
from tuner.search.outlook import StoreOutlook
from tuner.study.events import BASELINE, Event, Retrying
from tuner.study.history import History

_LOOK = 0.2  # seconds between looks at the workers


class _Stopped(Exception):
    """Another worker of the command failed, or the command was interrupted."""


@dataclass(frozen=True)
class Tools:
    """What the workers work with. `executors`: one for each. `seconds_left` None: no limit."""

    space: Space
    vocabulary: Vocabulary
    passes: Mapping[str, Pass]
    evaluators: Mapping[str, Evaluator]
    source: Source
    machine: Mapping[str, str]
    store: Store
    executors: Sequence[Executor]
    outlook: StoreOutlook
    emit: Callable[[Event], None]
    seconds_left: float | None = None
    thrifty: bool = False
    night: str | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass
class Crew:
    """Workers that try what they are given."""

    tools: Tools
    judge: Judge = field(init=False)
    _triers: list[Trier] = field(default_factory=list, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _baseline_run: Run | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        t = self.tools
        self.judge = Judge(t.space, t.vocabulary, t.evaluators, t.source.rows)
        self._deadline = None if t.seconds_left is None else t.clock() + t.seconds_left
        self._shared, self._failed = Shared(), FailedStages()
        self._ladder = Ladder(t.outlook.stages_seconds, t.outlook.measuring_seconds)

    def begin(self, front: Front, reference: Callable[[], Run | None]) -> None:
        """Let the workers know what they cannot know of themselves."""
        self._triers = [self._trier(e, front, reference) for e in self.tools.executors]

    @property
    def lead(self) -> Trier:
        """The first worker, for what is done by one alone."""
        return self._triers[0]

    def learn(self, history: History, *, forget_failures: bool) -> None:
        """Take in what was done before, or by others."""
        with self._shared.lock:
            self._shared.own |= history.own
        if not forget_failures:
            self._failed.known |= history.failed_stages
        self.tools.outlook.learn_rows(history.stages)
        self.tools.outlook.learn_measurements(history.measured, history.steps)
        for past in history.trials:
            self._ladder.recall(
                (r.number, r.share, self._losses(r.objectives), r.violation) for r in past.rungs
            )

    def _losses(self, values: Sequence[float | None]) -> list[float | None]:
        pairs = zip(values, self.tools.space.objectives, strict=True)
        return [v if v is None or o.minimize else -v for v, o in pairs]

    def is_out_of_time(self) -> bool:
        """Whether the study's time is up."""
        return self._deadline is not None and self.tools.clock() >= self._deadline

    def no_deadline(self) -> None:
        """What is done from now on is owed, whatever the time."""
        self._deadline = None
        for trier in self._triers:
            trier.runner.maker.deadline = None

    def look(self) -> None:
        """Raises where a worker has to stop; for who waits for somebody."""
        if self._stop.is_set():
            raise _Stopped

    # The baseline

    def measure_baseline(self, candidate: Candidate) -> None:
        """Build and measure it, in full. TrialFailed where it gives no numbers."""
        self._baseline_run = self.lead.build(BASELINE, candidate)
        try:
            self.judge.baseline = self.lead.measure(self._baseline_run)
        except BaseException:
            self._baseline_run = None
            raise

    def reference(self, build: Callable[[], Run]) -> Run | None:
        """The baseline's finished stages, made again by `build`; None where it failed."""
        with self._lock:
            run = self._baseline_run
            lost = run is not None and not all(a.path.is_dir() for a in run.artifacts)
            if (run is None or lost) and self.judge.baseline.estimates:
                self._baseline_run = build()
                for name, measurements in self.judge.baseline.measurements.items():
                    self.lead.measurer.recall(name, self._baseline_run, measurements)
            return self._baseline_run

    # Trials

    def work(self, ask: Callable[[], int | None], do: Callable[[Trier, int], None]) -> None:
        """Every worker asks for a number and does it, until there is none.

        What a worker raises is raised here, when all have stopped; so is a Ctrl-C.
        """

        def loop(trier: Trier) -> None:
            while (number := ask()) is not None:
                do(trier, number)

        if len(self._triers) == 1:
            loop(self.lead)
            return
        errors: list[BaseException] = []

        def guarded(trier: Trier) -> None:
            try:
                loop(trier)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is the caller's
                errors.append(error)
                self._stop.set()

        self._run_threads([threading.Thread(target=guarded, args=(t,)) for t in self._triers])
        self._stop.clear()
        if errors:
            raise min(errors, key=lambda e: (isinstance(e, _Stopped), isinstance(e, OutOfTime)))

    def _run_threads(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                time.sleep(_LOOK)
        finally:  # a Ctrl-C comes to the main thread, whatever the others do
            if any(thread.is_alive() for thread in threads):
                self._stop.set()
            for thread in threads:
                thread.join()

    def confirmer(self, model_of: Callable[[int], Run]) -> Confirmer:
        """What measures the front's best again."""
        t = self.tools
        of_space = (t.space, t.vocabulary, t.evaluators, tuple(t.source.data_keys))
        return Confirmer(*of_space, self.lead.measurer, model_of, t.emit)

    def _trier(
        self, executor: Executor, front: Front, reference: Callable[[], Run | None]
    ) -> Trier:
        t = self.tools
        maker = Maker(t.store, executor, self._deadline, stop=self.look)
        shares = SHARES if t.thrifty else ()
        of_space = (t.space, t.source, t.passes)
        runner = TrialRunner(*of_space, t.store, maker, t.emit, self._failed, shares)
        of_models = (t.evaluators, self.judge.statistics(), t.machine)
        measurer = Measurer(*of_space, *of_models, maker, t.emit, reference, self._shared, t.night)
        screen = Screen(t.space, t.evaluators, self.judge, runner, measurer, t.outlook)
        work = (runner, measurer, screen, self._ladder)
        trier = Trier(t.space, self.judge, *work, front, t.emit, t.thrifty)
        maker.on_retry = lambda *what: t.emit(Retrying(trier.number, *what))
        return trier
