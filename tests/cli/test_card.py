"""`tune card`: the model card of the chosen model, or of another trial."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_studies import MIXED, write_odd_studies

from tuner.cli.main import main

Tune = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("card") / "study.db"
    write_odd_studies(path)
    return path


@pytest.fixture
def tune(
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Tune:
    """The command in this process, in a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tune", *words, "--db", str(database)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, printed.out, printed.err

    return run


def test_a_card_goes_to_the_terminal_or_into_a_file(tune: Tune, tmp_path: Path) -> None:
    code, out, err = tune("card", MIXED)
    assert (code, err) == (0, "")
    assert out.startswith("---\nlicense: unknown\n")
    assert tune("card", MIXED, "-o", "cards/README.md") == (0, "wrote cards/README.md\n", "")
    assert (tmp_path / "cards" / "README.md").read_text(encoding="utf-8") == out


def test_another_trial_and_the_baseline_have_cards_too(tune: Tune) -> None:
    code, out, _ = tune("card", MIXED, "--trial", "5")
    assert (code, "# odd, trial 5" in out, "The study chose trial 2." in out) == (0, True, True)
    code, out, _ = tune("card", MIXED, "--trial", "baseline")
    assert (code, "the unoptimised model itself" in out) == (0, True)


def test_a_trial_that_there_is_not_names_those_there_are(tune: Tune) -> None:
    code, out, err = tune("card", MIXED, "--trial", "77")
    assert (code, out) == (2, "")
    assert "0 to 5" in err


def test_a_folder_is_no_place_for_a_card(tune: Tune, tmp_path: Path) -> None:
    code, _, err = tune("card", MIXED, "-o", ".")
    assert (code, "is a folder: name a file in it" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []
