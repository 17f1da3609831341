"""What is known of a running study from its events, and the line that an event is worth.

Knows nothing of terminals.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from search_spaces.data_report import DataReport
from search_spaces.units import format_quantity
from tuner.report.words import duration, ending, estimate_text, metric_name, parameter_texts, plural
from tuner.study.events import (
    BASELINE,
    Confirmed,
    DataChecked,
    Event,
    Failed,
    Judged,
    LessonLearned,
    Measured,
    MeasureStarted,
    Mismatched,
    Retrying,
    RungReached,
    Screened,
    StageFinished,
    StageStarted,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
    WarmStarted,
)


@dataclass
class Trying:
    """A trial that is being tried. `since`: when it began to do what it is `doing`."""

    parameters: Mapping[str, Any]
    doing: str = "asking"
    since: float = field(default_factory=time.monotonic)
    estimates: dict[str, str] = field(default_factory=dict)
    judged: Judged | None = None
    failed: Failed | None = None
    screened: Screened | None = None
    rung: RungReached | None = None
    made: int = 0
    reused: int = 0

    def does(self, what: str) -> None:
        """It begins to do something else."""
        self.doing, self.since = what, time.monotonic()


class Following:
    """Follows one command's events. `trying`: by number, what its workers do now."""

    def __init__(self) -> None:
        self.trying: dict[int, Trying] = {}
        self.idle, self.since = "starting", time.monotonic()
        self.done = 0
        self.limit: int | None = None
        self.max_time: float | None = None
        self.best: str | None = None  # the best first objective on the front, in words
        self.began = time.monotonic()
        self.trial_seconds: list[float] = []
        self._names: list[str] = []
        self._minimize = True
        self._told_before: set[str] = set()
        self._first: dict[int, tuple[float, str]] = {}  # trial -> its first objective

    def take(self, event: Event) -> str | None:
        """Note an event; the line to print, if any."""
        match event:
            case StudyStarted():
                return self._started(event)
            case DataChecked():
                return _data_lines(event)
            case WarmStarted():
                return event.text
            case LessonLearned():
                return f"lesson: {event.text}; no longer tried (--retry-failed tries it again)"
            case Told():
                return self._told(event)
            case Confirmed():
                self._rest("writing the answer")
            case StudyStopped():
                self._rest("done")
            case TrialAsked():
                self.trying[event.number] = Trying(event.parameters)
            case _:
                trying = self.trying.get(getattr(event, "number", BASELINE - 1))
                return None if trying is None else self._of_a_trial(trying, event)
        return None

    def _of_a_trial(self, trying: Trying, event: Event) -> str | None:
        match event:
            case StageStarted():
                trying.does(event.step)
            case StageFinished():
                trying.made += not event.cached
                trying.reused += event.cached
                trying.does(event.step)
                return self._notices(event)
            case MeasureStarted():
                trying.does(f"measuring {event.evaluator}")
            case Measured() if event.split == "dev":
                trying.estimates |= {e["metric"]: estimate_text(e) for e in event.estimates}
            case Judged():
                trying.judged = event
            case Failed():
                trying.failed = event
            case Screened():
                trying.screened = event
            case RungReached():
                trying.rung = event
            case Mismatched():
                return _mismatch(event)
            case Retrying():
                return _retry(event)
            case _:
                pass
        return None

    def _notices(self, event: StageFinished) -> str | None:
        """What a pass told of its result, once in a command: candidates share data and lengths."""
        told = [f"{event.step}: {text}" for text in event.notices]
        new = [line for line in dict.fromkeys(told) if line not in self._told_before]
        self._told_before.update(new)
        return "\n".join(new) or None

    def _started(self, event: StudyStarted) -> str:
        self.limit, self.max_time = event.settings["trials"], event.settings["max_time"]
        self._minimize = bool(event.objectives[0]["minimize"])
        asked = (*event.objectives, *event.constraints)
        self._names = list(dict.fromkeys(a["metric"] for a in asked))
        lines = {
            "study": event.study + (" (continued)" if event.resumed else ""),
            "model": event.space["model"].partition("#")[0],
            "objectives": ", ".join(o["text"] for o in event.objectives),
            "constraints": ", ".join(c["text"] for c in event.constraints) or "none",
        }
        return "\n".join(f"{name:<13}{text}" for name, text in lines.items())

    def _rest(self, what: str) -> None:
        self.trying.clear()
        self.idle, self.since = what, time.monotonic()

    def _told(self, event: Told) -> str | None:
        trying = self.trying.pop(event.number, None)
        if trying is None:
            return None
        self.idle, self.since = "asking for the next candidate", time.monotonic()
        if event.number == BASELINE:
            head = "baseline" + _outcome(trying, event)
            return "\n    ".join([head, *self._numbers(trying)])
        self.done = max(self.done, event.number + 1)  # of a continued study, too
        self._note_best(event, trying)
        self.trial_seconds.append(event.seconds)
        [parameters] = parameter_texts([trying.parameters], all_of_them=True)
        mark = " *" if event.number in event.front else ""
        head = f"#{event.number}{mark}{_outcome(trying, event)}"
        return "\n    ".join([head, " ".join(parameters), *self._numbers(trying)])

    def _note_best(self, event: Told, trying: Trying) -> None:
        first = None if event.objectives is None else event.objectives[0]
        if first is not None:
            self._first[event.number] = (first, trying.estimates.get(self._names[0], ""))
        known = [(*self._first[n], n) for n in event.front if n in self._first]
        if known:
            _, text, number = (min if self._minimize else max)(known)
            self.best = f"best #{number} {text}"

    def _numbers(self, trying: Trying) -> list[str]:
        """The line of metrics, if there is anything to say."""
        texts = [trying.estimates[n] for n in self._names if n in trying.estimates]
        return ["  ".join(texts)] if texts else []


def _outcome(trying: Trying, event: Told) -> str:
    """How it ended and what it took: `  feasible, 12 s, 2 of 4 stages reused`."""
    parts = [duration(event.seconds)]
    failed = trying.failed
    if failed is not None:
        why = f"{failed.where}: {failed.message}"
        parts.insert(0, f"built; no {why}" if event.state == "built" else f"failed in {why}")
    elif event.state == "screened" and trying.screened is not None:
        limits = " and ".join(trying.screened.constraints)
        parts.insert(0, f"cannot fit {limits} (seen beforehand)")
    elif event.state == "stopped" and trying.rung is not None:
        rung = trying.rung
        share = Fraction(rung.share).limit_denominator(100)
        parts.insert(0, f"stopped after {share} of its training ({rung.better} did better)")
    elif trying.judged is not None:
        parts.insert(0, ending(event.state, trying.judged.verdict))
    if trying.reused:
        parts.append(f"{trying.reused} of {plural(trying.made + trying.reused, 'stage')} reused")
    return "  " + ", ".join(parts)


def _mismatch(event: Mismatched) -> str:
    shared, own = (format_quantity(e["value"], event.unit) for e in (event.shared, event.own))
    name = metric_name(event.metric, event.statistic)
    return (
        f"#{event.number} has {name} {own}, where a model of the same structure has {shared}: "
        f"from now on {event.evaluator} measures every model itself"
    )


def _retry(event: Retrying) -> str:
    return (
        f"#{event.number} {event.where}: {event.message}; attempt {event.attempt} in "
        f"{duration(event.wait)}"
    )


def _data_lines(event: DataChecked) -> str:
    """The rows there are, and a line for each thing that may make a result wrong."""
    found = DataReport.from_json(event.report)
    warnings = [f"warning: {finding.message}" for finding in found.warnings]
    return "\n".join([f"{'data':<13}{found}", *warnings])
