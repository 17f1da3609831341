"""What a report says first: what was chosen and how it compares, or what would fit.

Plain data; knows nothing of how it is collected or shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.report.page.figure_parts import Figure


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a step. `chosen`: the search decided it, the space did not fix it."""

    name: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """A step of a candidate's pipeline: `genai_builder`, its pass and every parameter."""

    name: str
    pass_name: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """A constraint and what a trial makes of it.

    `verdict`: "feasible", "infeasible" or "undecided". `limit`: what is allowed, canonical unit.
    `confirmed`: the verdict by held-out data; None: not confirmed. `sentence`: how it stands, in
    words.
    """

    text: str
    metric: str
    limit: Figure
    value: Figure
    verdict: str
    confirmed: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class AnswerMetric:
    """A metric that was asked for, of the trial that the answer shows.

    `search`: as the search measured it; `confirmed`: on held-out data; `baseline` and
    `baseline_confirmed`: the unoptimised model likewise. `change`: against the baseline by the
    confirmation where there is one, else by the search: a ratio (`form` "ratio") or a difference of
    fractions (`form` "points"). `better`: whether the change is for the better, for certain
    (True), for the worse for certain (False), or neither (None).
    """

    name: str
    label: str
    unit: str
    direction: str
    search: Figure | None
    confirmed: Figure | None
    baseline: Figure | None
    baseline_confirmed: Figure | None
    change: Figure | None
    better: bool | None


@dataclass(frozen=True, slots=True)
class Use:
    """How the chosen model is used. Paths are relative to the answer's folder.

    `format`: "genai", "onnx", "hf", ...; "" where it is not known. `language` of the snippet:
    "python" or "". `commands`: shell commands with a sentence each.
    """

    format: str
    sentence: str
    language: str
    snippet: str
    commands: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Nearest:
    """A trial that nearly fits: its decisions in words, and a sentence per limit it misses."""

    number: int
    parameters: tuple[str, ...]
    metrics: tuple[tuple[str, Figure | None], ...]
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Price:
    """What relaxing limits to `limits` would let in: a trial, and its objectives.

    `remark`: what is to be known of it, such as "not trained"; "" where nothing is.
    """

    limits: str
    number: int
    relaxation: Figure
    objectives: tuple[tuple[str, Figure | None], ...]
    remark: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """Constraints that keep everything out, and the prices of relaxing them, cheapest first."""

    constraints: tuple[str, ...]
    sentence: str
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why trials failed: where, the message of one, and how many."""

    where: str
    message: str
    count: Figure


@dataclass(frozen=True, slots=True)
class Answer:
    """What the study found.

    `kind`: "chosen", "running" (the best so far of a study that is worked on), "nothing_fits",
    "all_failed" or "nothing_yet". `title`: the answer in a few words; `sentence`: why. `trial`: the
    one that `pipeline`, `metrics`, `limits` and `use` are of: the chosen, or None. `notes`: what is
    to be known with it, such as floors of accuracy and warnings; `mattered`: the clearest effects.
    `nearest`, `prices`, `no_prices`: where nothing fits. `causes`: where all failed.
    """

    kind: str
    title: str
    sentence: str
    trial: int | None = None
    decisions: tuple[str, ...] = ()
    pipeline: tuple[PipelineStep, ...] = ()
    metrics: tuple[AnswerMetric, ...] = ()
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()
    mattered: tuple[str, ...] = ()
    use: Use | None = None
    nearest: tuple[Nearest, ...] = ()
    prices: tuple[PriceList, ...] = ()
    no_prices: str | None = None
    causes: tuple[Cause, ...] = ()
