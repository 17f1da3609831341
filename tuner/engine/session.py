"""All that a command on a study works with, put together from a request.

Knows nothing of how results look.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from evaluators import all_evaluators, machine
from evaluators.floors import floors
from evaluators.function import function_evaluators
from search_spaces import data as space_data
from search_spaces.data_report import report
from search_spaces.space import Space, steps_of
from search_spaces.vocabulary import Vocabulary
from tuner.engine.crew import Crew, Tools
from tuner.engine.tuning import Parts, Tuning
from tuner.execution.local import LocalExecutor
from tuner.models.resolver import fingerprint
from tuner.passes import all_passes
from tuner.pipeline.plan import Source, library_versions
from tuner.pipeline.store import Store, default_root
from tuner.registry import vocabulary_of
from tuner.search.outlook import StoreOutlook
from tuner.search.strategies import make_strategy
from tuner.study.cooperation import Cooperation
from tuner.study.database import explained, open_engine
from tuner.study.events import DataChecked, Event, Listener, StudyStarted
from tuner.study.ledger import Ledger
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter
from tuner.warm.edits import StudyChoice, identity, question, resolve_study
from tuner.warm.sorting import NewStudy
from tuner.warm.source import Origin, find_origins
from tuner.warm.start import warm_start

NO_WARM_START = "none"
"""In place of a study: begin with nothing."""

_LIBRARIES = (
    "tuner",
    "optuna",
    "torch",
    "transformers",
    "peft",
    "onnxruntime",
    "onnxruntime-genai",
)


@dataclass(frozen=True)
class Request:
    """What to do. `space_text`: the space as its author wrote it, kept with the study.

    `warm_start`: studies to begin with, as `warm.source.find_origins` takes them. `workers`: how
    many candidates are tried at once. `retry_failed`: those that failed are tried again. `night`:
    what was not measured for it is measured again, and no answer is written; stages come from the
    store all the same.
    """

    space: Space
    space_text: str
    study: str | None = None
    warm_start: Sequence[str] = ()
    db: str = "tuned/study.db"
    store: Path | None = None
    output: Path | None = None
    workers: int = 1
    retry_failed: bool = False
    night: str | None = None
    listeners: Sequence[Listener] = field(default_factory=tuple)


def wait_for_ever() -> None:
    """Who waits for an answer waits as long as it takes; a Ctrl-C ends it."""


def open_source(space: Space, store_root: Path) -> Source:
    """The keys of the model that comes in and of the data. Reads files, imports nothing heavy."""
    keys: dict[str, str] = {}
    rows: dict[str, int] = {}
    if space.data is not None:
        space_data.fetch(space.data, store_root)
        names = space_data.split_names(space.data)
        keys = {name: space_data.content_key(space.data, name) for name in names}
        rows = {name: len(space_data.read_split(space.data, name)) for name in names}
    key = fingerprint(space.model, store_root)
    return Source(key, space.task, keys, rows, space.model.flow)


_JOBS = ("evaluators.measure", "evaluators.fidelity", "tuner.passes", "tuner.execution.stage_job")


@dataclass
class Session:
    """What a command works with."""

    tuning: Tuning
    cooperation: Cooperation
    reader: StudyReader
    store: Store
    study: str
    emit: Callable[[Event], None]


def open_session(request: Request, stack: ExitStack) -> Session:
    """All that a command works with; `stack` closes it."""
    space, root = request.space, request.store or default_root()
    source, store, engine = open_source(space, root), Store(root), open_engine(request.db)
    stack.callback(engine.dispose)
    stack.enter_context(explained(engine))  # what Optuna wraps, too
    reader, words = StudyReader(engine), vocabulary_of(space)
    choice = resolve_study(reader, request.study, space, source)
    writer = stack.enter_context(StudyWriter(engine, choice.name))
    cooperation = Cooperation(engine, reader, writer, choice.name)
    url = engine.url.render_as_string(hide_password=False)
    with cooperation.turn("ask", wait_for_ever):
        ledger = Ledger(url, choice.name, space.objectives)
    stack.callback(ledger.close)
    executors = [
        stack.enter_context(LocalExecutor(preload(space, words))) for _ in range(request.workers)
    ]
    evaluators = all_evaluators() | function_evaluators(space)
    outlook = StoreOutlook(space, source, all_passes(), evaluators, store)
    emit = _Bus([writer, outlook, *request.listeners])
    spent = _seconds_spent(reader, choice.name)
    origins = _origins(request, choice, reader, stack)
    started = _started(request, choice.name, source, resumed=spent is not None)
    emit(started)
    writer.live()
    what = (choice.name, space, words, all_passes(), evaluators, source)
    new = NewStudy(*what, machine.fingerprint(), started.environment)
    with cooperation.turn("ask", wait_for_ever):
        hints = warm_start(new, origins, reader, writer, _Bus(request.listeners))
    strategy = make_strategy(space, words, outlook)
    for candidate, result, origin in hints:
        strategy.recall(candidate, result, origin)
    limit = space.search.max_time
    tools = Tools(
        space=space,
        vocabulary=words,
        passes=all_passes(),
        evaluators=evaluators,
        source=source,
        machine=machine.fingerprint(),
        store=store,
        executors=executors,
        outlook=outlook,
        emit=emit,
        seconds_left=None if limit is None else limit - (spent or 0.0),
        thrifty=strategy.thrifty,
        night=request.night,
    )
    parts = (space, strategy, Crew(tools), ledger, cooperation, emit, request.retry_failed)
    tuning = Tuning(Parts(*parts))
    if not tuning.finished:
        for executor in executors:
            executor.warm_up()
    if space.data is not None:
        emit(_data_checked(space.data))  # while the workers import
    return Session(tuning, cooperation, reader, store, choice.name, emit)


def _seconds_spent(reader: StudyReader, study: str) -> float | None:
    """How long commands have worked on a study; None where it is new."""
    if study not in {summary.name for summary in reader.studies()}:
        return None
    return reader.seconds_spent(study)


def _origins(
    request: Request, choice: StudyChoice, reader: StudyReader, stack: ExitStack
) -> list[Origin]:
    """The studies to begin with: those asked for, else the one that this one continues."""
    named = [name for name in request.warm_start if name != NO_WARM_START]
    if choice.continues is not None and not request.warm_start:
        earlier = choice.continues
        return [Origin(earlier, earlier, reader, continues=True, edits=choice.edits)]
    return find_origins(named, request.db, reader, choice.name, stack)


def _data_checked(data: space_data.DataSpec) -> DataChecked:
    classes = data.label is not None and not data.answers
    judged = [s for s in space_data.split_names(data) if s != "train" and classes]
    return DataChecked(
        report=report(data).to_json(), floors={s: floors(data, s).to_json() for s in judged}
    )


def preload(space: Space, words: Vocabulary) -> list[str]:
    """The modules that workers should find imported: what jobs are, and the libraries they need."""
    steps = [s for item in space.pipeline for s in steps_of(item)]
    specs = [step.spec for step in steps] + [words.evaluators[e] for e in space.evaluators]
    libraries = dict.fromkeys(name for spec in specs for name in spec.libraries)
    return [*(name.replace("-", "_") for name in libraries), *_JOBS]


class _Bus:
    """Hands every event to every listener, the database first; one event after the other."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            for listener in self._listeners:
                listener(event)


def _started(request: Request, name: str, source: Source, *, resumed: bool) -> StudyStarted:
    space = request.space
    return StudyStarted(
        study=name,
        resumed=resumed,
        space={
            "name": space.name,
            "path": None if space.path is None else str(space.path),
            "model": space.model.text,
            "model_format": space.model.format,
            "fingerprint": identity(space, source),
            "question": question(space, source),
            "limits": asdict(space.limits),
            "text": request.space_text,
        }
        | ({"test_model": True} if space.test_model else {}),
        objectives=tuple(asdict(o) for o in space.objectives),
        constraints=tuple(
            {
                "text": c.text,
                "metric": c.metric,
                "statistic": c.statistic,
                "operator": str(c.operator),
            }
            for c in space.constraints
        ),
        settings=asdict(space.search),
        environment=machine.fingerprint()
        | {"python": platform.python_version()}
        | library_versions(_LIBRARIES),
    )
