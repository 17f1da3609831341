"""Runs the stages of one candidate, each taken from the store if it is there.

Emits an event for everything that happens. Knows nothing of strategies or of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluators.base import Artifact
from search_spaces.candidates import Candidate, plain
from search_spaces.kinds import kind_of_folder, kind_words
from search_spaces.references import Reference
from search_spaces.space import Space
from tuner.execution.checking import Checks
from tuner.execution.job import Failure, Job, Reason
from tuner.execution.making import Maker, TrialFailed
from tuner.execution.measuring import Run
from tuner.execution.stage_job import FETCH_SOURCE, RUN_STAGE
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source, Stage, plan
from tuner.pipeline.refusals import refusal
from tuner.pipeline.store import Draft, Entry, Store
from tuner.study.events import Event, StageFinished, StageStarted

Json = dict[str, Any]


@dataclass
class TrialRunner:
    """Builds the models of one space's candidates."""

    space: Space
    source: Source
    passes: Mapping[str, Pass]
    store: Store
    maker: Maker
    emit: Callable[[Event], None]
    _source_artifact: Artifact | None = field(default=None, init=False)
    _reuse_is_news: bool = field(default=True, init=False)

    def build(self, number: int, candidate: Candidate, *, again: bool = False) -> Run:
        """Run the candidate's stages. TrialFailed or OutOfTime when one gives no result.

        `again`: the trial is over and its model is only wanted; that stages are found in the
        store is then no news, and not emitted.
        """
        self._reuse_is_news = not again
        stages = plan(candidate, self.source, self.passes)
        self._refuse(stages)
        artifacts = [self._source(number)]
        _refuse_kind(stages, artifacts[0].path)
        checks = Checks(self.space, self.source, self.passes, self.maker)
        for position, stage in enumerate(stages):
            artifacts.append(self._stage(number, position, stage, artifacts[-1]))
            if not again:
                checks.check(stage, artifacts[-2], artifacts[-1])
        return Run(number, stages, tuple(artifacts))

    def _refuse(self, stages: Sequence[Stage]) -> None:
        found = refusal(stages, self.passes)
        if found is not None:
            failure = Failure(Reason.REFUSED, found.message, True)
            raise TrialFailed(stages[found.position].step, failure, None)

    def _source(self, number: int) -> Artifact:
        if self._source_artifact is None:
            self._source_artifact = Artifact("hf", self._source_folder(number))
        return self._source_artifact

    def _source_folder(self, number: int) -> Path:
        reference: Reference = self.space.model
        if reference.path is not None:
            return reference.path
        key = self.source.key

        def job(draft: Draft) -> Job:
            payload = {"reference": reference.text, "output": str(draft.output)}
            return Job(FETCH_SOURCE, payload, draft.log, self.space.limits.time)

        description = {"kind": "source", "reference": reference.text}
        return self._made(number, -1, "model", "fetch", key, description, job).output

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
            }
            return Job(RUN_STAGE, payload, draft.log, limits.time, limits.memory)

        entry = self._made(
            number, position, stage.step, stage.spec.name, stage.key, stage.description, job
        )
        base = model if stage.output_format == "adapter" else None
        return Artifact(stage.output_format, entry.output, base)

    def _made(
        self,
        number: int,
        position: int,
        step: str,
        pass_name: str,
        key: str,
        description: Json,
        job: Callable[[Draft], Job],
    ) -> Entry:
        """The stored result for `key`, made now if it is not there."""
        entry = self.store.get(key)
        if entry is not None:
            finished = StageFinished(
                number, position, step, pass_name, key, True, 0.0, _bytes(entry), None, _log(entry)
            )
            if self._reuse_is_news:
                self.emit(finished)
            return entry
        with self.store.lock(key):
            if self.store.get(key) is not None:  # another command made it meanwhile
                return self._made(number, position, step, pass_name, key, description, job)
            self.emit(StageStarted(number, position, step, pass_name, key))
            entry, outcome = self.maker.make(
                step, key, {"description": description, "pass": pass_name}, job
            )
        peak = outcome.peak_memory
        finished = StageFinished(
            number,
            position,
            step,
            pass_name,
            key,
            False,
            outcome.seconds,
            _bytes(entry),
            peak,
            _log(entry),
        )
        self.emit(finished)
        return entry


def _refuse_kind(stages: Sequence[Stage], folder: Path) -> None:
    """What can be known only now that the model is here: whether its kind suits every pass."""
    kind = kind_of_folder(folder)
    for stage in stages:
        if kind is not None and kind not in stage.spec.kinds:
            takes, given = kind_words(stage.spec.kinds), kind_words([kind])
            message = f"takes {takes}; the model is one of the {given}"
            raise TrialFailed(stage.step, Failure(Reason.REFUSED, message, True), None)


def _bytes(entry: Entry) -> int:
    return int(entry.meta.get("bytes", 0))


def _log(entry: Entry) -> str | None:
    log = entry.path / "log.txt"
    return str(log) if log.exists() else None
