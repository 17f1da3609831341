"""Commands that read a study say something sensible of studies that something is odd about."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_studies import (
    ALL_FAILED,
    ALL_SCREENED,
    BASELINE_FAILED,
    BASELINE_ONLY,
    BUILT_ONLY,
    FOREIGN,
    HOSTILE,
    HOSTILE_TEXT,
    KILLED,
    MIXED,
    NO_NUMBERS,
    NO_TRIAL,
    NOTHING_FITS,
    RUNNING,
    write_odd_studies,
)

from tuner.cli.main import main

Tune = Callable[..., tuple[int, str, str]]

BEST = {
    NO_TRIAL: (1, "No trial has ended yet"),
    BASELINE_ONLY: (1, "No trial has ended yet"),
    BASELINE_FAILED: (1, "No trial has ended yet"),
    ALL_FAILED: (1, "Every candidate failed"),
    ALL_SCREENED: (3, "Nothing is feasible"),
    NOTHING_FITS: (3, "Nothing is feasible"),
    RUNNING: (0, "Chosen: #0"),
    KILLED: (0, "Chosen: #0"),
    BUILT_ONLY: (0, "Chosen: #0"),
    FOREIGN: (0, "Chosen: #0"),
    MIXED: (0, "Chosen: #2"),
    HOSTILE: (0, "Chosen: #1"),
}

COMMANDS = ("show {}", "best {}", "best {} --json", "why {}", "export {}", "card {}")
RERANK = "rerank {} --constraint latency<40ms"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "study.db"
    write_odd_studies(path)
    return path


@pytest.fixture
def tune(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Tune:
    """The command in this process: exit code, what it printed, and its errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tune", *words, "--db", str(database)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, printed.out, printed.err

    return run


@pytest.mark.parametrize("study", [*BEST, NO_NUMBERS])
@pytest.mark.parametrize("command", [*COMMANDS, RERANK])
def test_no_command_fails_on_an_odd_study(tune: Tune, study: str, command: str) -> None:
    name, *rest = command.split()
    code, out, err = tune(name, *(study if word == "{}" else word for word in rest))
    assert code in (0, 1, 2, 3)
    assert out or err
    if code == 2:
        assert len(err.splitlines()) == 1, "one sentence that says why"


@pytest.mark.parametrize("study", list(BEST))
def test_best_says_how_a_study_stands(tune: Tune, study: str) -> None:
    code, out, _ = tune("best", study)
    assert (code, BEST[study][1] in out) == (BEST[study][0], True), out


def test_the_list_has_every_one_of_them(tune: Tune) -> None:
    code, out, _ = tune("list")
    assert code == 0
    for study in (*BEST, NO_NUMBERS):
        assert f"{study}\n  20" in out


@pytest.mark.parametrize("study", [NO_TRIAL, BASELINE_ONLY, ALL_FAILED, NOTHING_FITS])
def test_there_is_no_card_where_nothing_was_chosen(tune: Tune, study: str) -> None:
    code, out, err = tune("card", study)
    assert code in (1, 3)
    assert (out, "has chosen no model" in err) == ("", True)


def test_a_trial_without_a_model_has_no_card(tune: Tune) -> None:
    code, out, err = tune("card", ALL_FAILED, "--trial", "1")
    assert (code, out) == (2, "")
    assert "trial 1 is failed" in err


def test_what_is_not_installed_is_answered_from_what_was_stored(tune: Tune) -> None:
    code, out, err = tune("rerank", FOREIGN, "--constraint", "cost<35ms")
    assert (code, err) == (0, "")
    assert "Chosen: #2" in out
    code, _, err = tune("rerank", FOREIGN, "--constraint", "wit.p95<3")
    assert code == 2
    assert "wit" in err


def test_names_that_others_would_run_are_shown_as_they_are(tune: Tune) -> None:
    _, out, _ = tune("show", HOSTILE)
    assert "</script><script>alert(1)</script>" in out
    _, out, _ = tune("show", HOSTILE, "3")
    assert HOSTILE_TEXT.splitlines()[0] in out
