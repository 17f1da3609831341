"""Whether what a stage made computes what its pass can explain, and not something else.

A pass that declares how far it may move a model (`Pass.tolerance`) is held to it, once for each
result. What cannot be compared is let pass: the measurements say then what there is to say.
Knows nothing of candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evaluators.base import Artifact
from evaluators.fidelity import COMPARE_JOB, LIBRARIES, VERSION, Drift
from evaluators.runtimes.models import generates
from search_spaces.candidates import digest
from search_spaces.space import Space
from tuner.execution.job import Failure, Job, Reason
from tuner.execution.making import Maker, TrialFailed
from tuner.passes.base import Pass
from tuner.passes.tolerances import HALF
from tuner.pipeline.plan import Source, Stage, library_versions
from tuner.pipeline.store import Draft

Json = dict[str, Any]

_COARSE = ("float16", "bfloat16")
"""Data types of which one model may round otherwise than the other: torch's on a GPU."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Compares what goes out of stages with what came in. What was found stays in the store."""

    space: Space
    source: Source
    passes: Mapping[str, Pass]
    maker: Maker

    def check(self, stage: Stage, before: Artifact, after: Artifact) -> None:
        """TrialFailed where a stage made another model of what came in than it can explain."""
        tolerance = self.passes[stage.spec.name].tolerance(stage.parameters, stage.input_format)
        if tolerance is None or self.space.build_only or not self.space.limits.fidelity:
            return
        found = self._found(stage, before, after)
        message = None
        if "dead" in found:
            message = f"what came in was alive, but of what went out, {found['dead']}"
        elif "drift" in found:
            if any(dtype in _COARSE for dtype in found["dtypes"]):
                tolerance = max(tolerance, HALF)
            message = _complaint(generates(before), Drift(**found["drift"]), tolerance)
        if message is not None:
            raise TrialFailed(stage.step, Failure(Reason.DEAD, message, True), None)

    def _found(self, stage: Stage, before: Artifact, after: Artifact) -> Json:
        """What `evaluators.fidelity.compare_job` gave, now where it is not in the store."""
        description = self._description(stage)
        key = digest(description)
        entry = self.maker.store.get(key)
        meta = {"description": description, "pass": f"check {stage.spec.name}"}
        try:
            if entry is None:
                job = self._job(before, after)
                entry, _ = self.maker.make_once(stage.step, key, meta, job, (before, after))
        except TrialFailed as failed:  # a crash in a runtime, say: measuring will tell
            found = {"skipped": failed.failure.message}
            if failed.failure.deterministic:
                with self.maker.store.draft(key) as draft:
                    draft.commit(meta | {"value": found})
            return found
        return dict(entry.meta["value"])

    def _description(self, stage: Stage) -> Json:
        return {
            "kind": "check",
            "version": VERSION,
            "stage": stage.key,
            "data": self.source.data_keys.get("train"),
            "libraries": library_versions(LIBRARIES),
        }

    def _job(self, before: Artifact, after: Artifact) -> Callable[[Draft], Job]:
        data, limits = self.space.data, self.space.limits
        payload = {
            "before": before.to_json(),
            "after": after.to_json(),
            "data": None if data is None else data.to_json(),
        }
        return lambda draft: Job(COMPARE_JOB, payload, draft.log, limits.time, limits.memory)


def _complaint(generating: bool, drift: Drift, tolerance: float) -> str | None:
    if drift.kl <= tolerance:
        return None
    what = "next-token" if generating else "label"
    return (
        f"the model that went out computes something else than the one that came in: its {what} "
        f"distributions lie {drift.kl:.2g} nats away (mean KL divergence at {drift.positions} "
        f"positions), of which {tolerance:.2g} can be explained"
    )
