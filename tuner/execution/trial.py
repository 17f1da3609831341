"""Runs the stages of one candidate, each taken from the store if it is there.

Emits an event for everything that happens. Knows nothing of strategies or of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from evaluators.base import Artifact
from search_spaces.candidates import Candidate, plain
from search_spaces.kinds import kind_of_source, kind_words
from search_spaces.references import Reference
from search_spaces.space import Space
from tuner.execution.checking import Checks
from tuner.execution.job import Failure, Job, Reason
from tuner.execution.making import LostInput, Maker, TrialFailed
from tuner.execution.measuring import Run
from tuner.execution.stage_job import FETCH_SOURCE, RUN_STAGE
from tuner.models.resolver import fingerprint
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source, Stage, key_at, plan
from tuner.pipeline.refusals import refusal
from tuner.pipeline.store import Draft, Entry, Store, StoreError
from tuner.study.events import Event, StageFinished, StageStarted

Json = dict[str, Any]


_TRIES = 3  # of what works on stored results, where those turn out to be lost

T = TypeVar("T")


def insist(store: Store, work: Callable[[], T]) -> T:
    """What `work` gives, which makes what the store has lost; anew where it finds it lost again.

    StoreError where the store does not keep what is written into it.
    """
    for _ in range(_TRIES):
        try:
            return work()
        except LostInput:
            continue
    raise StoreError(
        f"the store {store.root} does not keep what is written into it: results were found "
        "changed or gone three times; set TUNER_STORE to a folder on another disk"
    )


@dataclass
class FailedStages:
    """Stages that failed for certain in a study: they would fail again. Shared by its workers."""

    known: dict[str, tuple[int, Failure]] = field(default_factory=dict)  # key -> trial, why

    def check(self, number: int, stage: Stage) -> None:
        """TrialFailed where an earlier trial met this very stage, and could not pass."""
        found = self.known.get(stage.key)
        if found is not None and found[0] != number:
            first, failure = found
            message = f"as in trial {first}: {failure.message}"
            raise TrialFailed(stage.step, replace(failure, message=message), None)

    def note(self, number: int, stage: Stage, failure: Failure) -> None:
        """Remember a failure that is certain."""
        if failure.deterministic:
            self.known.setdefault(stage.key, (number, failure))


@dataclass
class TrialRunner:
    """Builds the models of one space's candidates.

    `shares`: those of a training after which earlier results may be in the store, to go on from.
    """

    space: Space
    source: Source
    passes: Mapping[str, Pass]
    store: Store
    maker: Maker
    emit: Callable[[Event], None]
    failed: FailedStages = field(default_factory=FailedStages)
    shares: Sequence[float] = ()
    _source_artifact: Artifact | None = field(default=None, init=False)
    _reuse_is_news: bool = field(default=True, init=False)

    def stages(
        self, candidate: Candidate, shares: Mapping[str, float] | None = None
    ) -> tuple[Stage, ...]:
        """A candidate's stages. `shares`: step -> how much of its training is done."""
        return plan(candidate, self.source, self.passes, shares)

    def build(
        self,
        number: int,
        stages: Sequence[Stage],
        *,
        first: int = 0,
        again: bool = False,
    ) -> Run:
        """Run stages. TrialFailed or OutOfTime when one gives no result.

        `first`: the position under which the first is reported. `again`: the trial is over and its
        model is only wanted; that stages are found in the store is then no news, and not emitted.
        """
        self._reuse_is_news = not again
        self._refuse(stages)
        build = partial(self._build, number, stages, first, again=again)
        return insist(self.store, build)

    def _build(self, number: int, stages: Sequence[Stage], first: int, *, again: bool) -> Run:
        artifacts = [self._source(number)]
        _refuse_kind(stages, artifacts[0])
        checks = Checks(self.space, self.source, self.passes, self.maker)
        for position, stage in enumerate(stages):
            artifacts.append(self._stage(number, first + position, stage, artifacts[-1]))
            if not again:
                checks.check(stage, artifacts[-2], artifacts[-1])
        return Run(number, tuple(stages), tuple(artifacts))

    def _refuse(self, stages: Sequence[Stage]) -> None:
        found = refusal(stages, self.passes)
        if found is not None:
            failure = Failure(Reason.REFUSED, found.message, True)
            raise TrialFailed(stages[found.position].step, failure, None)

    def _source(self, number: int) -> Artifact:
        if self._source_artifact is None:
            self._source_artifact = self._whole(number, self.space.model)
        return self._source_artifact

    def _whole(self, number: int, reference: Reference) -> Artifact:
        """A model that comes in, with the base of an adapter."""
        base = None if reference.base is None else self._whole(number, reference.base)
        return Artifact(reference.format, self._source_folder(number, reference), base)

    def _source_folder(self, number: int, reference: Reference) -> Path:
        if reference.path is not None:
            return reference.path
        of_base = reference is self.space.model.base
        key = fingerprint(reference, self.store.root) if of_base else self.source.key

        def job(draft: Draft) -> Job:
            payload = {"reference": reference.text, "output": str(draft.output)}
            return Job(FETCH_SOURCE, payload, draft.log, self.space.limits.time)

        description = {"kind": "source", "reference": reference.text}
        return self._made(_Make(number, -1, "model", "fetch", key), description, job).output

    def _stage(self, number: int, position: int, stage: Stage, model: Artifact) -> Artifact:
        limits = self.space.limits

        def job(draft: Draft) -> Job:
            payload = {
                "pass": stage.spec.name,
                "parameters": plain(stage.parameters),
                "model": model.to_json(),
                "output": str(draft.output),
                "task": self.space.task,
                "data": None if self.space.data is None else self.space.data.to_json(),
                "share": stage.share,
                "earlier": self._earlier(stage),
            }
            return Job(RUN_STAGE, payload, draft.log, limits.time, limits.memory)

        make = _Make(number, position, stage.step, stage.spec.name, stage.key, stage.share)
        self.failed.check(number, stage)
        try:
            entry = self._made(make, stage.description, job, (model,))
        except TrialFailed as failed:
            self.failed.note(number, stage, failed.failure)
            raise
        base = model if stage.output_format == "adapter" else None
        return Artifact(stage.output_format, entry.output, base)

    def _earlier(self, stage: Stage) -> str | None:
        """The result of the same training after the largest smaller share that is stored."""
        smaller = [] if stage.spec.budget is None else [s for s in self.shares if s < stage.share]
        for share in sorted(smaller, reverse=True):
            entry = self.store.verified(key_at(stage, share), self.maker.look)
            if entry is not None:
                return str(entry.output)
        return None

    def _made(
        self,
        make: _Make,
        description: Json,
        job: Callable[[Draft], Job],
        uses: Sequence[Artifact] = (),
    ) -> Entry:
        """The stored result, made now if it is not there. `uses`: the models that the job reads."""
        entry = self.store.get(make.key)
        if entry is not None:
            return self._reused(make, entry)
        with self.store.lock(make.key, self.maker.look):
            entry = self.store.get(make.key)
            if entry is not None:  # somebody else made it meanwhile
                return self._reused(make, entry)
            self.emit(make.started())
            meta = {"description": description, "pass": make.pass_name, "share": make.share}
            entry, outcome = self.maker.make(make.step, make.key, meta, job, uses)
        self.emit(make.finished(entry, outcome.seconds, outcome.peak_memory))
        return entry

    def _reused(self, make: _Make, entry: Entry) -> Entry:
        if self._reuse_is_news:
            self.emit(make.finished(entry))
        return entry


@dataclass(frozen=True, slots=True)
class _Make:
    """A stage of a trial that is to be made, as its events name it."""

    number: int
    position: int
    step: str
    pass_name: str
    key: str
    share: float = 1.0

    def started(self) -> StageStarted:
        """Its beginning."""
        of = (self.number, self.position, self.step, self.pass_name, self.key)
        return StageStarted(*of, share=self.share)

    def finished(
        self, entry: Entry, seconds: float | None = None, peak: int | None = None
    ) -> StageFinished:
        """Its end; without `seconds` it had been in the store."""
        of = (self.number, self.position, self.step, self.pass_name, self.key)
        size, cached = int(entry.meta.get("bytes", 0)), seconds is None
        told = tuple((entry.meta.get("value") or {}).get("notices", ()))
        cost = (cached, seconds or 0.0, size, peak)
        return StageFinished(*of, *cost, _log(entry), self.share, told)


def _refuse_kind(stages: Sequence[Stage], model: Artifact) -> None:
    """What can be known only now that the model is here: whether its kind suits every pass."""
    whole = model.base or model
    kind = kind_of_source(whole.format, whole.path)
    for stage in stages:
        if kind is not None and kind not in stage.spec.kinds:
            takes, given = kind_words(stage.spec.kinds), kind_words([kind])
            message = f"takes {takes}; the model is one of the {given}"
            raise TrialFailed(stage.step, Failure(Reason.REFUSED, message, True), None)


def _log(entry: Entry) -> str | None:
    log = entry.path / "log.txt"
    return str(log) if log.exists() else None
