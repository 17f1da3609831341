"""`tune sweep` as users run it: nights, exit codes, what is written, and what a kill costs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cli.conftest import Desk
from sweep.conftest import SPACE

PLAN = """
name: toys
results: results
entries:
  - {space: space.yaml, name: one, trials: 2}
"""


def desk_in(folder: Path) -> Desk:
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    desk = Desk(folder)
    desk.write(SPACE)
    desk.write(PLAN, "plan.yaml")
    return desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_in(tmp_path)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, list[Any]]:
    """Two nights, of which the second is slower, and what the command said of each."""
    desk = desk_in(tmp_path_factory.mktemp("sweep"))
    done = [desk.tune("sweep", "plan.yaml", "--night", "night-1")]
    desk.environment["TOY_SLOWER"] = "1.5"
    ci = ("--junit", "out/junit.xml", "--github")
    done.append(desk.tune("sweep", "plan.yaml", "--night", "night-2", *ci))
    return desk, done


def record(desk: Desk, night: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((desk.folder / "results" / night / "night.json").read_text())
    return found


def test_a_night_without_regression_exits_0_and_one_with_it_4(
    nights: tuple[Desk, list[Any]],
) -> None:
    desk, (first, second) = nights
    assert (first.returncode, second.returncode) == (0, 4), second.stderr
    assert [record(desk, f"night-{n}")["verdict"] for n in (1, 2)] == ["ok", "regression"]
    assert "REGRESSION one: pace of the answer of night-1 is 1.5" in second.stdout
    assert first.stderr == second.stderr == ""


def test_the_terminal_shows_each_entry_in_80_columns(nights: tuple[Desk, list[Any]]) -> None:
    _, (first, second) = nights
    lines = first.stdout.splitlines()
    assert lines[0] == "toys, night night-1: 1 entry to run"
    assert lines[1].startswith("one: answer #")
    assert "compared with night-1" in second.stdout
    shown = (*lines, *second.stdout.splitlines())
    own = [line for line in shown if not line.startswith("::")]
    assert max(map(len, own)) <= 80


def test_a_nights_folder_has_what_others_read(nights: tuple[Desk, list[Any]]) -> None:
    desk, _ = nights
    results = desk.folder / "results"
    names = {path.name for path in (results / "night-2").iterdir()}
    assert {"night.json", "summary.md", "results.csv", "one.recipe.yaml"} <= names
    assert "night-2" in (results / "index.html").read_text()


def test_ci_gets_junit_and_annotations(nights: tuple[Desk, list[Any]]) -> None:
    desk, (_, second) = nights
    root = ElementTree.parse(desk.folder / "out" / "junit.xml").getroot()
    assert root.findall(".//failure"), "the regression is a failure"
    assert "::error title=" in second.stdout


def test_a_finished_night_is_judged_again_without_running(nights: tuple[Desk, list[Any]]) -> None:
    desk, _ = nights
    ran = desk.ran()
    again = desk.tune("sweep", "plan.yaml", "--night", "night-2", "--json")
    assert again.returncode == 4
    lines = [json.loads(line) for line in again.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["NightStarted", "NightJudged"]
    assert lines[0]["entries"] == []
    assert (lines[1]["verdict"], lines[1]["reference"]) == ("regression", "night-1")
    assert desk.ran() == ran


def test_the_answer_with_its_model_is_kept_and_hidden_from_git(
    nights: tuple[Desk, list[Any]],
) -> None:
    desk, _ = nights
    latest = desk.folder / "results" / "latest"
    assert (latest / "one" / "model" / "parameters.json").is_file()
    assert (latest / ".gitignore").read_text() == "*\n"
    assert [p.name for p in latest.iterdir() if p.name.startswith(".watched")] == []


def test_a_dry_run_says_what_would_run_and_writes_nothing(desk: Desk) -> None:
    done = desk.tune("sweep", "plan.yaml", "--night", "x", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "night        toys x",
        "compared     with nothing yet",
    ]
    assert "one: 2 trials" in done.stdout
    assert not (desk.folder / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plain.yaml",), "there is no such plan; did you mean 'plan.yaml'?"),
        (("plan.yaml", "--only", "on"), "no entry 'on', expected one; did you mean 'one'?"),
        (("plan.yaml", "--baseline", "x"), "no earlier night 'x'; there is none before it"),
        (("plan.yaml", "--night", "a/b"), "a night's name: found 'a/b'"),
        (("broken.yaml",), "broken.yaml:1: unknown key 'entrys'"),
    ],
)
def test_a_wrong_command_or_plan_exits_2(desk: Desk, arguments: tuple[str, ...], said: str) -> None:
    desk.write("entrys: []", "broken.yaml")
    done = desk.tune("sweep", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (desk.folder / "results").exists()


def test_a_damaged_record_is_told_with_its_file(desk: Desk) -> None:
    folder = desk.folder / "results" / "old"
    folder.mkdir(parents=True)
    (folder / "night.json").write_text('{"format": 1, "entries"')
    done = desk.tune("sweep", "plan.yaml")
    assert done.returncode == 2
    assert "results/old/night.json is no record of a night" in done.stderr


SLOW = SPACE.replace("a: {choices: [0, 1, 3]}", "a: {choices: [0, 1, 3]}\n      seconds: 0.4")
TWO = PLAN + "  - {space: space.yaml, name: two, trials: 1, set: {pipeline.toy.a: 1}}\n"


def test_a_night_that_is_stopped_or_killed_goes_on_and_makes_nothing_twice(desk: Desk) -> None:
    desk.write(SLOW)
    desk.write(TWO, "plan.yaml")
    for number, made, code in ((signal.SIGINT, 1, 130), (signal.SIGKILL, 3, -signal.SIGKILL)):
        command = desk.start("sweep", "plan.yaml")  # a name by the date
        _wait_for(lambda made=made: len(desk.ran()) >= made)  # type: ignore[misc]
        command.send_signal(number)
        _, errors = command.communicate(timeout=60)
        assert command.returncode == code
        assert number == signal.SIGKILL or "the same command goes on" in errors
        assert "Traceback" not in errors
    [folder] = [path.parent for path in (desk.folder / "results").glob("*/night.json")]
    assert record(desk, folder.name)["finished"] is None
    done = desk.tune("sweep", "plan.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    night = record(desk, folder.name)
    assert night["finished"] is not None
    assert [entry["state"] for entry in night["entries"]] == ["done", "done"]
    assert [entry["trials"] for entry in night["entries"]] == [2, 1]
    again = len(desk.ran()) - len(set(desk.ran()))
    assert again <= 2, "each end cost the running stage at most"


def test_a_failed_entry_exits_1_and_the_reason_is_shown(desk: Desk) -> None:
    desk.write(SPACE.replace("a: {choices: [0, 1, 3]}", "fault: error"))
    done = desk.tune("sweep", "plan.yaml")
    assert done.returncode == 1
    assert "a fault was asked for" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr


def test_help_and_a_dry_run_import_nothing_heavy(desk: Desk) -> None:
    code = (
        "import sys; sys.argv = ['tune', 'sweep', 'plan.yaml', '--dry-run']\n"
        "from tuner.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, **desk.settings()
    )
    assert done.stdout.splitlines()[-1] == "[]"


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
