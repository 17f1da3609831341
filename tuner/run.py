"""From a request to a finished study: all that a tuning needs, put together and taken apart.

The Python API and the command line both come through here. Knows nothing of how results look.
"""

from __future__ import annotations

import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from evaluators import all_evaluators, machine
from evaluators.floors import floors
from evaluators.function import function_evaluators
from search_spaces import data as space_data
from search_spaces.candidates import digest
from search_spaces.data_report import report
from search_spaces.identity import describe
from search_spaces.space import Space, steps_of
from search_spaces.vocabulary import Vocabulary
from tuner.execution.job import Job, Outcome
from tuner.execution.making import TrialFailed
from tuner.execution.workers import Workers
from tuner.models.resolver import fingerprint
from tuner.passes import all_passes
from tuner.pipeline.plan import Source, library_versions
from tuner.pipeline.store import Store, default_root
from tuner.registry import vocabulary_of
from tuner.report.output import write_answer
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.events import DataChecked, Event, Listener, StudyStarted, StudyStopped
from tuner.study.history import History, load_history
from tuner.study.ledger import Ledger
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter
from tuner.tuning import Parts, Tuning

_LIBRARIES = ("optuna", "torch", "transformers", "peft", "onnxruntime", "onnxruntime-genai")


class RunError(Exception):
    """The run cannot start or go on, for a reason that a person understands (one sentence)."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop (SIGTERM); what is done is saved."""


@dataclass(frozen=True)
class Request:
    """What to do. `space_text`: the space as its author wrote it, kept with the study."""

    space: Space
    space_text: str
    study: str | None = None
    db: str = "tuned/study.db"
    store: Path | None = None
    output: Path | None = None
    listeners: Sequence[Listener] = field(default_factory=tuple)


def run(request: Request) -> Study:
    """Work on the study until its budget is spent, write the answer, and return the study."""
    with ExitStack() as stack:
        session = _open(request, stack)
        reason = "error"
        started = time.monotonic()
        chosen = None
        try:
            reason = session.tuning.search()
            session.tuning.confirm()
            chosen = session.tuning.chosen
        except KeyboardInterrupt:
            reason = "interrupted"
            raise
        except TrialFailed as failure:  # of a trial in the search it is that trial's end
            reason = "error"
            raise RunError(f"the best candidate could not be confirmed: {failure}") from failure
        finally:
            session.emit(StudyStopped(reason, chosen, time.monotonic() - started))
        study = Study(session.reader, session.study, reason)
        if chosen is not None:
            artifact = session.tuning.model_of(chosen).model
            folder = request.output or default_output(session.study)
            write_answer(folder, study, request.space, artifact)
            study.output = folder
        study.load()
        return study


def default_output(study: str) -> Path:
    """Where a study's answer goes when nothing else is asked for."""
    return Path("tuned") / study


def study_name(space: Space, source: Source) -> str:
    """The space's name and the first letters of its identity: another question, another study."""
    return f"{space.name}-{identity(space, source)[:8]}"


def identity(space: Space, source: Source) -> str:
    """A digest of all that makes a space the question it is, the content of model and data too."""
    return digest(describe(space) | {"model": source.key, "data_keys": dict(source.data_keys)})


def open_source(space: Space, store_root: Path) -> Source:
    """The keys of the model that comes in and of the data. Reads files, imports nothing heavy."""
    keys: dict[str, str] = {}
    if space.data is not None:
        names = space_data.split_names(space.data)
        keys = {name: space_data.content_key(space.data, name) for name in names}
    return Source(fingerprint(space.model, store_root), space.task, keys)


_JOBS = ("evaluators.measure", "evaluators.fidelity", "tuner.passes", "tuner.execution.stage_job")


@dataclass
class _Session:
    tuning: Tuning
    reader: StudyReader
    study: str
    emit: Callable[[Event], None]


def _open(request: Request, stack: ExitStack) -> _Session:
    space, root = request.space, request.store or default_root()
    source = open_source(space, root)
    name = request.study or study_name(space, source)
    store = Store(root)
    engine = open_engine(request.db)
    stack.callback(engine.dispose)
    stack.enter_context(_alone(store, request.db, name))
    reader = StudyReader(engine)
    history = load_history(reader, name)
    _same_question(reader, name, space, source, resumed=history.baseline is not None)
    ledger = Ledger(engine.url.render_as_string(hide_password=False), name, space.objectives)
    stack.callback(ledger.close)
    words = vocabulary_of(space)
    executor = stack.enter_context(_Executor(preload(space, words)))
    stack.enter_context(_sigterm_interrupts())
    emit = _Bus([StudyWriter(engine, name), *request.listeners])
    emit(_started(request, name, source, history))
    parts = Parts(
        space=space,
        vocabulary=words,
        passes=all_passes(),
        evaluators=all_evaluators() | function_evaluators(space),
        source=source,
        machine=machine.fingerprint(),
        store=store,
        executor=executor,
        ledger=ledger,
        history=history,
        emit=emit,
    )
    left = space.search.max_time
    tuning = Tuning(parts, None if left is None else left - history.seconds)
    if not tuning.finished:
        executor.warm_up()
    if space.data is not None:
        emit(_data_checked(space.data))  # while the workers import
    return _Session(tuning, reader, name, emit)


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


class _Executor:
    """Runs jobs in worker processes of this machine; the workers start when first needed."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = preload
        self._workers: Workers | None = None

    def __enter__(self) -> _Executor:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.close()

    def warm_up(self) -> Workers:
        """Let the workers import what they need while the coordinator goes on."""
        if self._workers is None:
            self._workers = Workers(self._preload)
        return self._workers

    def run(self, job: Job, *, deadline: float | None = None) -> Outcome:
        """Run a job and wait for it."""
        return self.warm_up().run(job, deadline=deadline)


class _Bus:
    """Hands every event to every listener, the database first."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


def _started(request: Request, name: str, source: Source, history: History) -> StudyStarted:
    space = request.space
    return StudyStarted(
        study=name,
        resumed=history.baseline is not None,
        space={
            "name": space.name,
            "path": None if space.path is None else str(space.path),
            "model": space.model.text,
            "fingerprint": identity(space, source),
            "text": request.space_text,
        },
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


def _same_question(
    reader: StudyReader, name: str, space: Space, source: Source, *, resumed: bool
) -> None:
    """Refuse to go on with a study that asked something else."""
    if not resumed:
        return
    before = reader.study(name).space.get("fingerprint")
    if before != identity(space, source):
        raise RunError(
            f"the study {name!r} was made for another space (its model, data, pipeline, metrics, "
            "constraints, strategy or seed differ); choose another --study name"
        )


@contextmanager
def _alone(store: Store, db: str, name: str) -> Iterator[None]:
    """Hold the study for this process; RunError when another one works on it."""

    def taken() -> None:
        raise RunError(f"another tune is working on the study {name!r}; wait for it to end")

    with store.lock(digest(["study", str(Path(db).absolute()), name]), on_wait=taken):
        yield


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, where signals can be handled (in the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
