"""What optuna-dashboard is told of each trial beyond what Optuna's own tables hold.

Reads the public views of the study's database; knows nothing of Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from search_spaces.units import format_quantity
from tuner.report.words import metric_name
from tuner.study.database import explained

_TRIALS = """
SELECT number, state, verdict, reason FROM tuner_trials WHERE study = :study AND role = 'trial'
"""
_FRONT = "SELECT number FROM tuner_front WHERE study = :study ORDER BY objective_1, number"
_BASELINE = """
SELECT metric, statistic, value, unit FROM tuner_metrics
WHERE study = :study AND number = -1 AND split = 'dev' ORDER BY metric, statistic
"""
_CHOSEN = "SELECT chosen FROM tuner_studies WHERE study = :study"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a trial stands: its state and verdict, and why it failed, as `tuner_trials` has them."""

    state: str
    verdict: str | None
    reason: str | None

    @property
    def holds(self) -> bool:
        """Whether every constraint was found to hold; what is undecided was not."""
        return self.verdict == "feasible"

    def attributes(self) -> dict[str, str]:
        """What a person is shown of it, by name."""
        found = {"tune state": self.state, "verdict": self.verdict, "failed because": self.reason}
        return {name: value for name, value in found.items() if value is not None}


class Verdicts:
    """Each study's standings, its front and its baseline, read afresh at each call.

    Raises DatabaseError where the database cannot be read.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def standings(self, study: str) -> dict[int, Standing]:
        """Trial number -> how it stands."""
        return {
            r.number: Standing(r.state, r.verdict, r.reason) for r in self._rows(_TRIALS, study)
        }

    def front(self, study: str) -> list[int]:
        """The trials on the front now, by the first objective."""
        return [r.number for r in self._rows(_FRONT, study)]

    def attributes(self, study: str) -> Mapping[str, str]:
        """What a person is shown of the study: the chosen trial, and the unoptimised model."""
        chosen = [f"trial {r.chosen}" for r in self._rows(_CHOSEN, study) if r.chosen is not None]
        metrics = [
            f"{metric_name(r.metric, r.statistic)} {format_quantity(r.value, r.unit or '')}"
            for r in self._rows(_BASELINE, study)
            if r.value is not None
        ]
        found = {"chosen": ", ".join(chosen), "baseline (no trial)": ", ".join(metrics)}
        return {name: value for name, value in found.items() if value}

    def _rows(self, query: str, study: str) -> list[Any]:
        with explained(self._engine), self._engine.connect() as connection:
            return list(connection.execute(text(query), {"study": study}))
