"""The commands that run nothing: help, check, plan, list, show, best, cache."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli.conftest import SPACE, Desk

from tuner.cli.arguments import COMMANDS

HEAVY = ("torch", "transformers", "onnxruntime", "optuna", "numpy", "pandas", "sqlalchemy")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["check", "--space", "phi3"],
        ["plan", "quickstart"],
        ["passes"],
        ["passes", "lora"],
        ["metrics"],
        ["schema"],
        ["init", "--model", "org/model-of-the-hub", "-o", "new.yaml"],
    ],
)
def test_what_runs_nothing_imports_nothing_heavy(desk: Desk, arguments: list[str]) -> None:
    code = (
        "import sys\nsys.argv = ['tune', *sys.argv[1:]]\n"
        "from tuner.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        f"    loaded = [m for m in {HEAVY} if m in sys.modules]\n"
        "    print('LOADED', loaded, end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        check=False,
        **desk.settings(),
    )
    assert done.stdout.splitlines()[-1] == "LOADED [] 0", done.stderr


def test_help_fits_a_terminal_of_80_columns_and_names_every_command(desk: Desk) -> None:
    done = desk.tune("--help")
    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for command in COMMANDS:
        assert f"\n    {command} " in done.stdout


def test_check_says_how_many_candidates_a_good_space_has(desk: Desk) -> None:
    done = desk.tune("check", "space.yaml")
    assert (done.returncode, done.stdout.strip()) == (0, "space: fine, 625 candidates")


def test_check_names_everything_wrong_with_file_and_line(desk: Desk) -> None:
    desk.write(SPACE.replace("toy_tail", "toy_tale").replace("cost<20ms", "cost<20"))
    done = desk.tune("check", "space.yaml")
    assert done.returncode == 2
    assert "space.yaml:8:" in done.stderr
    assert "toy_tail" in done.stderr
    assert "space.yaml:12:" in done.stderr
    assert "cost<20ms" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--space", "nowhere.yaml"], "nowhere.yaml"),
        (["--space", "quickstrat"], "did you mean 'quickstart'"),
        (["--spce", "space.yaml"], "did you mean --space"),
        (["chekc", "space.yaml"], "did you mean check"),
        (["--trials", "3"], "--space is missing"),
        (["--space", "space.yaml", "--trials", "many"], "--trials"),
        (["--space", "space.yaml", "--strategy", "tpa"], "tpe"),
        (["--space", "space.yaml", "--max", "costs=5ms"], "did you mean 'cost'"),
        (["--space", "space.yaml", "--constraint", "cost>30ms"], "cost<20ms"),
        (["--space", "space.yaml", "--model", "./nothing"], "nothing"),
        (["--space", "space.yaml", "--set", "pipeline.toy.aa=3"], "a"),
        (["--space", "space.yaml", "--db", "."], "is a folder"),
    ],
)
def test_a_mistake_gets_one_clear_message_and_code_2(
    desk: Desk, arguments: list[str], words: str
) -> None:
    done = desk.tune(*arguments)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_plan_knows_the_stages_and_after_a_run_what_they_cost(desk: Desk) -> None:
    before = desk.tune("plan", "space.yaml").stdout
    assert "650 when shared by candidates, 1,250 without sharing" in before
    assert "not run yet" in before
    desk.tune("--space", "space.yaml", "--trials", "2")
    after = desk.tune("plan", "space.yaml").stdout
    assert "not run yet" not in after
    assert "cost         about" in after


def test_a_studys_story_is_told_by_list_show_and_best(desk: Desk) -> None:
    run = desk.tune("--space", "space.yaml", "--study", "mine", "--trials", "4")
    assert desk.tune("list").stdout.startswith("mine\n")
    best = desk.tune("best", "mine")
    assert best.returncode == 0
    assert "Chosen" in best.stdout
    chosen = next(line for line in run.stdout.splitlines() if line.startswith("Chosen"))
    assert chosen in best.stdout
    assert "verdict" in desk.tune("show", "mine").stdout
    trial = desk.tune("show", "mine", "0").stdout
    assert "toy_tail  c=2 d=2" in trial
    assert "cost<20ms" in trial
    assert json.loads(desk.tune("show", "mine", "baseline", "--json").stdout)["number"] == -1
    wrong = desk.tune("show", "mien")
    assert wrong.returncode == 2
    assert "'mine'" in wrong.stderr
    assert desk.tune("show", "mine", "99").returncode == 2


def test_there_must_be_a_database_to_read(desk: Desk) -> None:
    done = desk.tune("list")
    assert done.returncode == 2
    assert "there is no study database" in done.stderr


def test_the_cache_is_listed_explained_and_cleared(desk: Desk) -> None:
    desk.tune("--space", "space.yaml", "--trials", "3")
    listing = desk.tune("cache", "ls").stdout
    assert "toy_tail" in listing
    stage = next(line.split()[0] for line in listing.splitlines() if "toy_tail" in line)
    why = desk.tune("cache", "why", stage[:8]).stdout
    assert '"pass": "toy_tail"' in why
    assert "differs from" in why
    assert desk.tune("cache", "why", "zz").returncode == 2
    assert desk.tune("cache", "gc").returncode == 2
    assert "removed 0" in desk.tune("cache", "gc", "--max-age", "1h").stdout
    assert "kept 0" in desk.tune("cache", "gc", "--all").stdout


def test_a_study_is_answered_without_the_store(desk: Desk) -> None:
    desk.tune("--space", "space.yaml", "--study", "mine", "--trials", "4")
    desk.tune("cache", "gc", "--all")
    best = desk.tune("best", "mine")
    assert best.returncode == 0
    assert "Chosen" in best.stdout


def test_a_reader_that_goes_away_is_no_fault(desk: Desk) -> None:
    desk.tune("--space", "space.yaml", "--trials", "2", "--study", "mine")
    line = f"{' '.join(desk.command('show', 'mine', '0', '--json'))} | head -c 1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False, **desk.settings())
    assert "Traceback" not in done.stderr


def test_shipped_spaces_are_found_from_any_folder(desk: Desk) -> None:
    for name in ("quickstart", "phi3"):
        done = desk.tune("check", name)
        assert done.returncode == 0, done.stderr
