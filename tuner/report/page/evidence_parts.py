"""What a report's answer rests on: measurements, stages, failures, machine, recipe and data.

Plain data; knows nothing of how it is collected or shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.report.page.figure_parts import Figure


@dataclass(frozen=True, slots=True)
class Block:
    """Requests that were sent in a row: the model's values, and the baseline's beside it.

    `first`: which of the two came first. `disturbance`: how much slower than its best a fixed
    calculation was beside it (1: not at all); None: not known. `left_out`: how many values were
    left out of `values` and `baseline` to keep the page small.
    """

    values: tuple[float, ...]
    baseline: tuple[float, ...]
    median: float
    baseline_median: float | None
    first: str
    disturbance: float | None
    left_out: int


@dataclass(frozen=True, slots=True)
class Session:
    """A process of the model and one of the baseline, and the blocks that were kept of them.

    `repeated`: pairs of blocks that were measured again, as something disturbed them;
    `disturbed`: of those that were kept, how many were disturbed nevertheless. `load`: of the
    machine, before and after. `stolen`: seconds that other machines on its hardware took.
    """

    blocks: tuple[Block, ...]
    repeated: int
    disturbed: int
    load_before: float | None
    load_after: float | None
    stolen: float | None
    measured_at: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """How a timed metric of a trial was measured. `role`: "chosen", "baseline" or "front".

    `source`: SQL that gives the raw detail (JSON, an object per session) that `sessions` show.
    `estimate`: what came of it; `samples`: how many values it rests on. `took`: seconds of
    measuring; `reused`: it was answered from the store.
    """

    number: int
    role: str
    evaluator: str
    metric: str
    unit: str
    split: str
    sessions: tuple[Session, ...]
    estimate: Figure | None
    samples: Figure | None
    took: Figure
    reused: bool
    source: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Half of the baseline's blocks of a session over the other half: a ratio that should be 1."""

    number: int
    session: int
    split: str
    ratio: Figure
    holds_one: bool


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """The A/A check: the baseline compared with itself, session by session, as if it were two.

    `share`: of the intervals that contain 1, with the 95 % interval of such a share; it should be
    `expected` or more. `half_width`: the median of the intervals' half widths, as a share of the
    ratio. `comparisons` are those that the page shows, `compared` is how many there were.
    `pooled`: the ratio over all sessions together. `sentence` says what it means. Empty where no
    times were measured: `note` says why.
    """

    metric: str
    comparisons: tuple[Comparison, ...]
    compared: int
    share: Figure | None
    expected: float
    half_width: Figure | None
    sentence: str
    note: str
    pooled: Figure | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """How well things were measured: the block plots' data, and the A/A check."""

    measured: tuple[Measured, ...]
    check: SelfCheck
    sentence: str


@dataclass(frozen=True, slots=True)
class StageNode:
    """A stage after the stages above it, and what follows it: a prefix of pipelines.

    `kind`: see `Stages`. `runs`: how often it was run; `hits`: how often the store had it; `spent`:
    seconds of running it; `saved`: seconds that the hits would have cost; `bytes`: of its result.
    `share`: how much of its training it did (1: all). `trials`: how many trials went through it.
    `more`: how many further nodes below it were left out of the page; the totals count them.
    """

    step: str
    pass_name: str
    parameters: str
    kind: str
    runs: Figure
    hits: Figure
    failed: Figure
    spent: Figure
    saved: Figure
    bytes: Figure | None
    share: float
    trials: Figure
    children: tuple[StageNode, ...]
    more: int


@dataclass(frozen=True, slots=True)
class StageTotal:
    """All stages of one pass together, or all measurements of one evaluator."""

    name: str
    runs: Figure
    hits: Figure
    spent: Figure
    saved: Figure


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the time went.

    `roots`: trees of stages. `kind` of a node: "pipeline", "twin" (of the un-tuned model that
    screened candidates) or "share" (of a candidate with a share of its training). `spent`, `saved`:
    by all stages; `measuring`: seconds of all measurements; `hit_rate`: of the stages that were
    done, the share that the store had. `more`: how many roots were left out of the page.
    """

    roots: tuple[StageNode, ...]
    passes: tuple[StageTotal, ...]
    evaluators: tuple[StageTotal, ...]
    spent: Figure
    saved: Figure
    measuring: Figure
    hit_rate: Figure | None
    more: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Trials that failed for one reason at one place. `deterministic`: they would fail again.

    `numbers`: the first of them. `message`: of the first; `messages`: how many different ones.
    """

    reason: str
    where: str
    message: str
    messages: Figure
    count: Figure
    numbers: tuple[int, ...]
    deterministic: bool | None
    log: str | None


@dataclass(frozen=True, slots=True)
class Failures:
    """What failed and what the search learned from it, in words."""

    total: Figure
    groups: tuple[FailureGroup, ...]
    lessons: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value in words: `cores`, `2`."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command that worked on the study. `reason`: why it ended; "" where it did not say."""

    started: Figure
    seconds: Figure
    reason: str
    owner: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Something of the environment, the settings or the question that changed between commands.

    `texts`: its value in each command, in their order, as `Environment.commands` are.
    """

    name: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    """On what, with which versions and how the study was run: as the last command declared it."""

    machine: tuple[Fact, ...]
    versions: tuple[Fact, ...]
    settings: tuple[Fact, ...]
    commands: tuple[Command, ...]
    differences: tuple[Difference, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """The chosen trial's recipe, and the space as it was written, in YAML; "" where not known.

    `note`: why there is no recipe, or what is to be known of it.
    """

    text: str
    trial: int | None
    space: str
    space_path: str
    note: str
    source: str


@dataclass(frozen=True, slots=True)
class Split:
    """A part of the data: rows, and rows by label; `floors` of accuracy on it, in words."""

    name: str
    rows: int
    labels: tuple[tuple[str, int], ...]
    floors: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data. `warning`: it flatters or spoils the answer."""

    kind: str
    message: str
    warning: bool


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What the last command found in the data. `source`: SQL for the event that says it."""

    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    source: str
