"""The typed events of a study: the one stream that database, terminal and `--json` listen to.

Events hold plain values only (JSON after `dataclasses.asdict`). Knows nothing of who listens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

BASELINE = -1
"""The number of the baseline's trial."""

TWIN = 100
"""From this position on stages are of a candidate's un-tuned twin."""

RUNG = 200
"""From this position on stages are of a candidate after a share of its training."""


@dataclass(frozen=True, slots=True)
class StudyStarted:
    """A command began to work on the study; `resumed` when it had been worked on before."""

    study: str
    resumed: bool
    space: Json  # name, path, model, fingerprint, the space's text
    objectives: tuple[Json, ...]  # text, metric, statistic, minimize
    constraints: tuple[Json, ...]  # text, metric, statistic, operator
    settings: Json  # strategy, trials, max_time, seed
    environment: Json  # machine, CPU model, cores, python, versions of libraries


@dataclass(frozen=True, slots=True)
class DataChecked:
    """What the data holds, and what accuracy is to be read against. Not sent without data.

    `floors`: for each split that is judged; empty where the data has no labels to tell apart.
    """

    report: Json  # search_spaces.data_report.DataReport: splits, labels, findings
    floors: Mapping[str, Json]  # split -> evaluators.floors.Floors


@dataclass(frozen=True, slots=True)
class TrialAsked:
    """A candidate is about to be tried. The baseline has number -1 and role "baseline"."""

    number: int
    role: str  # "baseline" or "trial"
    candidate: str  # the candidate's key
    parameters: Mapping[str, Any]  # decision -> value, as the strategy chose (JSON values)
    steps: tuple[Json, ...]  # id, pass, parameters: the whole pipeline with every value
    origin: str | None = None  # "STUDY#NUMBER": not tried here, taken over from another study


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A pass begins to run for a trial (not sent for a stage found in the store)."""

    number: int
    position: int  # in the pipeline; from `TWIN` on: of the un-tuned twin
    step: str
    pass_name: str
    key: str
    share: float = 1.0  # of its training


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A pass's result is in the store. `cached`: it had been there already (seconds 0)."""

    number: int
    position: int
    step: str
    pass_name: str
    key: str
    cached: bool
    seconds: float
    bytes: int
    peak_memory: int | None  # bytes
    log: str | None
    share: float = 1.0  # of its training
    notices: tuple[str, ...] = ()  # what its pass told of the result: sentences


@dataclass(frozen=True, slots=True)
class MeasureStarted:
    """An evaluator begins to measure a trial's model."""

    number: int
    evaluator: str
    key: str


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluator's result. `estimates`: metric, statistic, value, low, high, unit, samples."""

    number: int
    evaluator: str
    split: str  # "dev" in the search, "test" in the confirmation, "verify": see `Mismatched`
    key: str
    cached: bool
    seconds: float
    estimates: tuple[Json, ...]  # and "ratio": to the baseline's, [value, low, high] or None
    detail: tuple[Json, ...]  # the measurements of every process: samples, items, conditions


@dataclass(frozen=True, slots=True)
class Screened:
    """By what its un-tuned twin shows, a candidate cannot fit; it is not trained.

    The twin is the model put through the same later passes without the training. Its stages were
    sent with positions from `TWIN` on, its measurements as the candidate's own.
    """

    number: int
    constraints: tuple[str, ...]  # the texts of those that it cannot meet


@dataclass(frozen=True, slots=True)
class RungReached:
    """A candidate was measured after a share of its training, and goes on or is stopped there."""

    number: int
    share: float
    objectives: tuple[float | None, ...]  # canonical units
    violation: float  # of all constraints, scaled; 0 where they hold
    better: int  # of those that reached the same share before, how many did better
    peers: int  # how many there were
    promoted: bool


@dataclass(frozen=True, slots=True)
class Mismatched:
    """A number that was taken from another model of the same structure did not hold of this one.

    From now on the evaluator measures every model itself.
    """

    number: int
    evaluator: str
    metric: str
    statistic: str | None
    shared: Json  # value, low, high: what the other model had
    own: Json
    unit: str


@dataclass(frozen=True, slots=True)
class LessonLearned:
    """Failures have a cause in common: candidates that have it are no longer tried."""

    decisions: Mapping[str, Any]  # decision -> value: what the failed have in common
    where: str  # the step or evaluator in which they failed
    reason: str
    message: str  # of the last of them
    failures: int
    text: str  # the whole for a person, in one line


@dataclass(frozen=True, slots=True)
class Retrying:
    """Something failed for a reason that may pass; it is tried again after `wait` seconds."""

    number: int
    where: str
    message: str
    attempt: int  # of the one to come, from 2
    wait: float


@dataclass(frozen=True, slots=True)
class WarmStarted:
    """What another study gave to this one before it began.

    `exact`: trials taken over as they are; `similar`: those that only guide the search;
    `left_out`: reason -> how many. `hints`: what the similar ones found, kept for later commands.
    """

    study: str
    exact: int
    similar: int
    left_out: Mapping[str, int]
    text: str  # the whole for a person
    hints: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts: text, metric, statistic, limit, value, verdict, violation (scaled)."""

    number: int
    verdict: str  # feasible, infeasible or undecided: the worst of the constraints
    constraints: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial ended without numbers. `where`: the step or evaluator."""

    number: int
    where: str
    reason: str  # code: error, refused, dead, crashed, out_of_memory, timeout, killed
    message: str  # one line for a person
    deterministic: bool
    log: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """A trial is over.

    `state`: complete, built (and not to be run), failed, infeasible (failed for certain),
    screened (by its un-tuned twin), stopped (at a rung) or baseline.
    """

    number: int
    state: str
    objectives: tuple[float | None, ...] | None  # canonical units; None: not measured
    front: tuple[int, ...]  # the numbers on the front from now on
    seconds: float


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One of the front's best was measured again, on held-out data; estimates as in `Measured`.

    `verdict` and `constraints` as in `Judged`, by these numbers.
    """

    number: int
    estimates: tuple[Json, ...]
    baseline: tuple[Json, ...]
    verdict: str = "feasible"
    constraints: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyStopped:
    """A command ended its work. `reason`: trials, max_time, exhausted, interrupted, error."""

    reason: str
    chosen: int | None
    seconds: float  # of this command's work


Event = (
    StudyStarted
    | DataChecked
    | TrialAsked
    | StageStarted
    | StageFinished
    | MeasureStarted
    | Measured
    | Screened
    | RungReached
    | Mismatched
    | LessonLearned
    | Retrying
    | WarmStarted
    | Judged
    | Failed
    | Told
    | Confirmed
    | StudyStopped
)

Listener = Callable[[Event], None]
