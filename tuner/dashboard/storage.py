"""A study database as an Optuna storage that can be read and not changed.

What Optuna 5 records of constraints is given in the form that optuna-dashboard draws, with our own
verdicts: what is undecided is not drawn as feasible. Knows nothing of HTTP.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, inspect

from tuner.dashboard.verdicts import Standing, Verdicts
from tuner.study.database import DatabaseError, explained, place

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

CONSTRAINTS = "constraints"
"""The system attribute that optuna-dashboard draws: a list, all at most 0 where feasible."""

_NOT_SHOWN_TO_HOLD = 1e-9
_NEEDED = ("studies", "trials", "version_info")


class NotWritableError(Exception):
    """Something was to be written to a study that is only shown."""


def open_storage(engine: Engine, studies: Container[str] | None, *, notes: bool) -> ShownStorage:
    """The database behind `engine`. `studies` None: all; `notes`: notes may be written.

    Raises DatabaseError where it holds nothing of Optuna's, or cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = engine.url.render_as_string(hide_password=False)
    with explained(engine):
        _require_tables(engine)
        try:  # over the very connections that the rest of the program reads with
            rdb = RDBStorage(
                _literal(url), engine_kwargs={"pool": engine.pool}, skip_table_creation=True
            )
        except RuntimeError as error:
            raise DatabaseError(f"optuna cannot read {place(engine)}: {error}") from error
    return ShownStorage(optuna.storages.get_storage(rdb), Verdicts(engine), studies, notes=notes)


def _require_tables(engine: Engine) -> None:
    there = set(inspect(engine).get_table_names())
    if not there.issuperset(_NEEDED):
        raise DatabaseError(
            f"{place(engine)} holds nothing that optuna-dashboard could show: no command has "
            "tried anything in it yet, or Optuna's tables were left out of a copy"
        )


def _literal(url: str) -> str:
    """Optuna takes braces in a URL for places to fill in."""
    return url.replace("{", "{{").replace("}", "}}")


class ShownStorage(BaseStorage):
    """Reads as the storage within does; whatever would write raises NotWritableError.

    But for studies' notes, where `notes`. Studies that are not in `studies` are not there.
    """

    def __init__(
        self,
        inner: BaseStorage,
        verdicts: Verdicts,
        studies: Container[str] | None = None,
        *,
        notes: bool = False,
    ) -> None:
        self._inner = inner
        self._verdicts = verdicts
        self._shown = studies
        self._notes = notes
        self._marked: dict[int, FrozenTrial] = {}  # those that are over never change
        self._lock = threading.Lock()

    def get_all_studies(self) -> list[FrozenStudy]:
        """Every study that is shown, in the order of their ids."""
        found = [s for s in self._inner.get_all_studies() if self._is_shown(s.study_name)]
        for study in found:
            study.user_attrs = study.user_attrs | dict(self._verdicts.attributes(study.study_name))
        return sorted(found, key=lambda s: s._study_id)

    def get_study_id_from_name(self, study_name: str) -> int:
        """The study's id; KeyError where it is not shown."""
        if not self._is_shown(study_name):
            raise KeyError(study_name)
        return self._inner.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """The study's name; KeyError where it is not shown."""
        name = self._inner.get_study_name_from_id(study_id)
        if not self._is_shown(name):
            raise KeyError(study_id)
        return name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """As the storage within has them."""
        self.get_study_name_from_id(study_id)
        return self._inner.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The study's own, and what we know of it."""
        name = self.get_study_name_from_id(study_id)
        return self._inner.get_study_user_attrs(study_id) | dict(self._verdicts.attributes(name))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """As the storage within has them."""
        self.get_study_name_from_id(study_id)
        return self._inner.get_study_system_attrs(study_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial as Optuna has it: nobody is shown a single one."""
        return self._inner.get_trial(trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Any = None,
    ) -> list[FrozenTrial]:
        """Every trial with its feasibility, its verdict and its state."""
        name = self.get_study_name_from_id(study_id)
        trials = self._inner.get_all_trials(study_id, deepcopy=False, states=states)
        standings = self._verdicts.standings(name) if self._has_unmarked(trials) else {}
        found = [self._mark(trial, standings.get(trial.number)) for trial in trials]
        return copy.deepcopy(found) if deepcopy else found

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best trial that is feasible; the best of all where none is."""
        trials = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.COMPLETE,))
        feasible = [t for t in trials if all(v <= 0 for v in t.system_attrs[CONSTRAINTS])]
        if not feasible:
            return self._inner.get_best_trial(study_id)
        least = self.get_study_directions(study_id)[0] == StudyDirection.MINIMIZE
        sign = 1.0 if least else -1.0
        return min(feasible, key=lambda t: (sign * t.values[0], t.number))

    def remove_session(self) -> None:
        """Give back what this thread holds of the database."""
        self._inner.remove_session()

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write a note of the study or of a trial, where that is allowed."""
        self.get_study_name_from_id(study_id)
        if not (self._notes and key.startswith("dashboard:")):
            self._refuse()
        self._inner.set_study_system_attr(study_id, key, value)

    def _is_shown(self, name: str) -> bool:
        return self._shown is None or name in self._shown

    def _has_unmarked(self, trials: Sequence[FrozenTrial]) -> bool:
        with self._lock:
            return any(trial._trial_id not in self._marked for trial in trials)

    def _mark(self, trial: FrozenTrial, standing: Standing | None) -> FrozenTrial:
        with self._lock:
            if trial._trial_id in self._marked:
                return self._marked[trial._trial_id]
        marked = marked_trial(trial, standing)
        if trial.state.is_finished() and standing is not None:
            with self._lock:
                self._marked[trial._trial_id] = marked
        return marked

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotWritableError("studies are only shown here: nothing can be changed")

    # What only a study that is worked on needs

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Refused."""
        self._refuse()

    def delete_study(self, study_id: int) -> None:
        """Refused."""
        self._refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refused."""
        self._refuse()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Refused."""
        self._refuse()

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Refused."""
        self._refuse()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Refused."""
        self._refuse()

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refused."""
        self._refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refused."""
        self._refuse()

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refused."""
        self._refuse()


def marked_trial(trial: FrozenTrial, standing: Standing | None) -> FrozenTrial:
    """A copy with the constraints as a list, and with what a person is shown of its standing.

    The list holds the violations; where they do not say it, one more that makes the trial
    infeasible: a trial whose constraints were not shown to hold is not drawn as if they did.
    """
    if trial.state == TrialState.RUNNING:
        return trial
    found = list(trial.constraints.values())
    holds = all(v <= 0 for v in found) if standing is None else standing.holds
    if not holds and all(v <= 0 for v in found):
        found.append(_NOT_SHOWN_TO_HOLD)
    marked = copy.copy(trial)
    marked.system_attrs = trial.system_attrs | {CONSTRAINTS: found or [0.0]}
    if standing is not None:  # its verdict says more than the attribute that knows two
        own = {name: value for name, value in trial.user_attrs.items() if name != "feasible"}
        marked.user_attrs = own | standing.attributes()
    return marked
