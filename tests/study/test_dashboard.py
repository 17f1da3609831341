"""What Optuna's dashboard shows of a study, asked of the dashboard itself."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.constraints import Objective
from tuner.study.ledger import Ledger

wsgi = pytest.importorskip("optuna_dashboard", reason="needs the extra `dashboard`").wsgi

OBJECTIVES = [Objective("minimize tpot", "tpot", None, True)]
CHOICES = {"precision": optuna.distributions.CategoricalDistribution(["int4", "fp32"])}


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    ledger = Ledger(url, "mine", OBJECTIVES)
    outcomes: list[tuple[str, list[float] | None, float]] = [
        ("int4", [0.005], -1.0),
        ("fp32", [0.021], 3.0),
        ("int4", None, 10.0),
    ]
    for number, (precision, values, violation) in enumerate(outcomes):
        ledger.begin(number, {"precision": precision}, CHOICES, "0" * 64)
        note = "it cannot be loaded" if values is None else None
        ledger.finish(number, values, {"latency<300ms": violation}, note=note)
    ledger.begin(3, {"precision": "fp32"}, CHOICES, "0" * 64)
    ledger.close()
    return url


def test_the_dashboard_shows_trials_with_their_feasibility(url: str) -> None:
    detail = _get(url, "/api/studies/1?after=0")
    trials = {t["number"]: t for t in detail["trials"]}
    attributes = {n: {a["key"]: a["value"] for a in t["user_attrs"]} for n, t in trials.items()}
    assert [trials[n]["state"] for n in range(4)] == ["Complete", "Complete", "Pruned", "Running"]
    assert [attributes[n]["feasible"] for n in range(3)] == ["True", "False", "False"]
    assert json.loads(attributes[1]["violations"]) == {"latency<300ms": 3.0}
    assert attributes[2]["failure"] == "it cannot be loaded"


def test_what_the_dashboard_draws_as_feasible_is(url: str) -> None:
    trials = _get(url, "/api/studies/1?after=0")["trials"]
    drawn = {t["number"]: all(v <= 0 for v in t["constraints"]) for t in trials}
    assert {n for n, feasible in drawn.items() if feasible} == {0, 3}, "3 runs yet"
    assert all(t["constraints"] for t in trials if t["number"] != 3)


def test_what_is_written_for_the_dashboard_changes_nothing_for_samplers(url: str) -> None:
    study = optuna.load_study(study_name="mine", storage=url)
    for number, violation in enumerate([-1.0, 3.0, 10.0]):
        constraints = study.trials[number].constraints
        assert constraints["latency<300ms"] == violation
        missed = sum(max(0.0, v) for v in constraints.values())  # what TPE ranks by
        assert missed == pytest.approx(max(0.0, violation), abs=1e-6)
        assert (missed > 0) == (violation > 0)


def test_a_resumed_ledger_goes_on_and_ends_what_was_open(url: str) -> None:
    ledger = Ledger(url, "mine", OBJECTIVES)
    ledger.begin(3, {"precision": "fp32"}, CHOICES, "0" * 64)
    ledger.finish(3, [0.02], {"latency<300ms": 2.0})
    ledger.finish(3, [9.9], {"latency<300ms": 2.0})
    ledger.close()
    study = optuna.load_study(study_name="mine", storage=url)
    assert [t.number for t in study.trials] == [0, 1, 2, 3]
    assert study.trials[3].values == [0.02]
    assert study.trials[3].constraints["latency<300ms"] == 2.0
    assert study.best_trial.number == 0


def _get(url: str, path: str) -> dict[str, Any]:
    app = wsgi(optuna.storages.RDBStorage(url))
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
    status: list[str] = []
    body = b"".join(app(environ, lambda code, _headers, _exc=None: status.append(code)))
    assert status[0].startswith("200"), (status, body)
    result: dict[str, Any] = json.loads(body)
    return result
