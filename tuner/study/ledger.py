"""The study as Optuna and its dashboard know it: every trial mirrored into Optuna's own tables.

Each trial is one insert when it is asked and one update when it is over. Knows nothing of how
candidates are chosen or run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState, create_trial

from search_spaces.constraints import Objective
from tuner.search.distributions import directions
from tuner.study.database import DatabaseError, busy_timeout, configure_sqlite

_OLDER_CONSTRAINTS = "constraints"
"""Trials' attribute before Optuna 5: a list, all of it at most 0 where a trial is feasible."""

_DRAWN_AS_INFEASIBLE = 1e-9  # samplers add it to the real violations, of which it is no part


def _waiting(url: str) -> dict[str, Any]:
    """Before SQLite's settings are made, too, who writes is waited for."""
    return {"connect_args": {"timeout": busy_timeout()}} if url.startswith("sqlite") else {}


class Ledger:
    """Optuna's record of one study.

    Several commands may keep it, each in its turn: nothing is begun or finished twice.
    """

    def __init__(self, url: str, study: str, objectives: Sequence[Objective]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._storage = RDBStorage(url, engine_kwargs=_waiting(url))
        configure_sqlite(self._storage.engine)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=study,
            directions=directions(objectives),
            load_if_exists=True,
        )
        if not self._study.metric_names:
            self._name_metrics([o.text.split()[1] for o in objectives])
        trials = self._study.get_trials(deepcopy=False)
        self._ids = {t.number: t._trial_id for t in trials}
        self._open = {t.number for t in trials if not t.state.is_finished()}

    def begin(
        self,
        number: int,
        parameters: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        candidate: str,
    ) -> None:
        """Record that a trial runs; nothing happens when it is recorded already."""
        if number in self._ids or self._is_there(number):
            return
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(parameters),
            distributions=dict(distributions),
            user_attrs={"candidate": candidate[:12]},
        )
        self._study.add_trial(trial)
        self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(
            self._study._study_id, number
        )
        self._open.add(number)

    def finish(
        self,
        number: int,
        values: Sequence[float] | None,
        violations: Mapping[str, float],
        *,
        transient: bool = False,
        note: str | None = None,
    ) -> None:
        """Record how a trial ended; nothing happens when it has ended already.

        Without values it is pruned with every constraint violated, so that samplers avoid it, or
        failed where `transient`. Feasibility is a user attribute too, for dashboards that do not
        know constraints, and a constraint in the older form, which optuna-dashboard draws.
        """
        if number not in self._open:
            return
        self._open.discard(number)
        if self._storage.get_trial(self._ids[number]).state.is_finished():
            return  # another command was quicker
        trial = Trial(self._study, self._ids[number])
        for text, violation in violations.items():
            trial.set_constraint(text, violation)
        feasible = values is not None and all(v <= 0 for v in violations.values())
        older_form = [0.0 if feasible else _DRAWN_AS_INFEASIBLE]
        self._storage.set_trial_system_attr(self._ids[number], _OLDER_CONSTRAINTS, older_form)
        trial.set_user_attr("feasible", feasible)
        trial.set_user_attr("violations", {k: round(v, 6) for k, v in violations.items()})
        if note is not None:
            trial.set_user_attr("failure", note)
        if values is not None:
            self._study.tell(number, list(values))
        else:
            state = TrialState.FAIL if transient else TrialState.PRUNED
            self._study.tell(number, state=state)

    def _is_there(self, number: int) -> bool:
        """Whether another command recorded the trial; DatabaseError where it cannot be recorded."""
        study = self._study._study_id
        count = self._storage.get_n_trials(study)
        if number > count:
            raise DatabaseError(
                f"the study has {count} trials in Optuna's tables where trial {number} should be "
                "next; something else wrote to it: use another --study name"
            )
        if number == count:
            return False
        self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(study, number)
        self._open.add(number)
        return True

    def close(self) -> None:
        """Release the database."""
        self._storage.engine.dispose()

    def _name_metrics(self, names: list[str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names(names)
