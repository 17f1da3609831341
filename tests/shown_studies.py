"""Studies for dashboards: every kind of trial, in our tables and in Optuna's as a command would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optuna.distributions import BaseDistribution, CategoricalDistribution
from sqlalchemy import Engine, text
from stored_studies import Maker, Model

from search_spaces.constraints import Objective
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.ledger import Ledger

LIMIT = "latency<100ms"
BASELINE = Model(0.2, 0.9)
MODELS = {
    "best": Model(0.05, 0.9),
    "fast": Model(0.03, 0.7),
    "beaten": Model(0.08, 0.6),
    "slow": Model(0.15, 0.95),
    "undecided": Model(0.09, 0.85, sessions=1),
    "screened": Model(0.15, 0.5, "screened"),
    "stopped": Model(0.06, 0.5, "stopped"),
    "failed": Model(0.05, 0.5, "failed"),
}
NUMBERS = {name: number for number, name in enumerate(MODELS)}
HOSTILE = "a/b \"'&|=cmd <script>alert(1)</script> \U0001f600\n%2e"


def write_studies(database: Path | str, names: Sequence[str]) -> None:
    """A database (a file, or a URL) with the study above under each of these names."""
    url = f"sqlite:///{database}" if isinstance(database, Path) else database
    engine = open_engine(url)
    for name in names:
        made = Maker(engine, [LIMIT], name=name, noise=0.05).study(BASELINE, *MODELS.values())
        mirror(url, made)
    engine.dispose()


def mirror(url: str, study: Study) -> None:
    """Enter a finished study's trials into Optuna's tables, as the command that tried them did."""
    ledger = Ledger(url, study.name, _objectives(study))
    for trial in study.trials:
        chosen = {"genai_builder.precision": str(trial.parameters["genai_builder.precision"])}
        kinds: dict[str, BaseDistribution] = {
            "genai_builder.precision": CategoricalDistribution(["fp32", "fp16", "int8", "int4"])
        }
        ledger.begin(trial.number, chosen, kinds, trial.row.candidate)
        missed = {c.text: c.violation or 0.0 for c in trial.constraints}
        values = trial.objectives if trial.row.state == "complete" else None
        note = trial.row.message
        ledger.finish(trial.number, values, missed or {LIMIT: 1.0}, note=note)
    ledger.close()


def forget_older_form(engine: Engine) -> None:
    """Leave Optuna's constraints in its newer form only, as earlier versions wrote them."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM trial_system_attributes WHERE key = 'constraints'"))


def _objectives(study: Study) -> list[Objective]:
    return [
        Objective(o["text"], o["metric"], o["statistic"], o["minimize"])
        for o in study.info.objectives
    ]
