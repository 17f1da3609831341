"""`tune` as its users run it, on passes that cost nothing."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import optuna
import pytest
import yaml
from cli.conftest import SPACE, Desk


def output_of(desk: Desk) -> Path:
    [folder] = [p for p in (desk.folder / "tuned").iterdir() if p.is_dir()]
    return folder


def test_a_run_ends_with_an_answer_and_its_evidence(desk: Desk) -> None:
    done = desk.tune("--space", "space.yaml")
    assert done.returncode == 0, done.stderr
    assert "Chosen" in done.stdout
    assert "baseline" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "answer" not in line)
    folder = output_of(desk)
    summary = json.loads((folder / "summary.json").read_text())
    chosen = summary["chosen"]
    assert chosen["verdict"] == "feasible"
    assert chosen["metrics"]["cost"]["value"] < 0.020
    model = json.loads((folder / "model" / "parameters.json").read_text())
    assert model["c"] == chosen["parameters"]["toy_tail.c"]
    rows = list(csv.DictReader((folder / "pareto.csv").open()))
    assert [int(r["number"]) for r in rows] == [t["number"] for t in summary["front"]]


def test_the_same_command_again_redoes_nothing_and_answers_the_same(desk: Desk) -> None:
    first = desk.answer("--space", "space.yaml")
    ran = desk.ran()
    second = desk.answer("--space", "space.yaml")
    assert desk.ran() == ran
    assert second["chosen"] == first["chosen"]
    assert second["front"] == first["front"]
    assert second["trials"] == first["trials"] == 12


def test_more_trials_go_on_where_the_study_stopped(desk: Desk) -> None:
    few = desk.answer("--space", "space.yaml", "--trials", "6")
    more = desk.answer("--space", "space.yaml", "--trials", "12")
    assert few["study"] == more["study"]
    desk.environment["TUNER_STORE"] = str(desk.folder / "other-store")
    whole = desk.answer("--space", "space.yaml", "--db", "other.db")
    assert more["front"] == [
        {**t, "seconds": s["seconds"]} for t, s in zip(whole["front"], more["front"], strict=True)
    ]


def test_a_recipe_reproduces_the_chosen_model_from_the_store(desk: Desk) -> None:
    answer = desk.answer("--space", "space.yaml")
    recipe = output_of(desk) / "recipe.yaml"
    ran = desk.ran()
    again = desk.answer("--space", str(recipe), "--output", "again")
    assert desk.ran() == ran, "every stage was in the store"
    assert again["chosen"]["metrics"] == answer["chosen"]["metrics"]
    assert again["trials"] == 1
    assert yaml.safe_load(recipe.read_text())["search"]["strategy"] == "grid"


def test_a_stage_shared_by_candidates_runs_once(desk: Desk) -> None:
    done = desk.tune("--space", "space.yaml", "--strategy", "grid", "--trials", "50")
    assert done.returncode == 0, done.stderr
    ran = desk.ran()
    assert len(ran) == len(set(ran))
    assert sum(line.startswith("toy ") for line in ran) == 3, "two, and the baseline's"


def test_nothing_feasible_names_the_nearest_and_exits_3(desk: Desk) -> None:
    done = desk.tune("--space", "space.yaml", "--max", "cost=0.001ms")
    assert done.returncode == 3
    assert "Nothing is feasible" in done.stdout
    assert "misses cost<=0.001ms by" in done.stdout


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("segfault", "segmentation fault"),
        ("memory", "the limit is"),
        ("hang", "longer than its limit"),
        ("exit", "code 7"),
        ("error", "ValueError: a fault was asked for"),
        ("refuse", "the toy pass cannot do this"),
    ],
)
def test_a_fault_ends_one_trial_with_its_reason_and_the_search_goes_on(
    desk: Desk, fault: str, words: str
) -> None:
    space = SPACE.replace("  - toy:\n", f"  - toy:\n      fault: {{choices: [{fault}, none]}}\n")
    space += "limits: {time: 3s, memory: 500MB}\n"
    desk.write(space)
    done = desk.tune("--space", "space.yaml", "--strategy", "random", "--trials", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert words in done.stdout.replace("\n", " ")
    with sqlite3.connect(desk.folder / "tuned" / "study.db") as db:
        states = [row[0] for row in db.execute("select state from tuner_trials where number >= 0")]
        logs = [row[0] for row in db.execute("select log from tuner_trials") if row[0]]
    assert states.count("infeasible") >= 1
    assert states.count("complete") >= 1
    assert len(states) == 4
    assert all("toy runs with" in Path(log).read_text() for log in logs)
    assert logs


def test_everything_failed_gives_the_cause_and_exits_1(desk: Desk) -> None:
    desk.write(SPACE.replace("  - toy:\n", "  - toy:\n      fault: error\n"))
    done = desk.tune("--space", "space.yaml", "--trials", "3")
    assert done.returncode == 1
    assert "3 x toy: ValueError: a fault was asked for" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_exits_130(desk: Desk, sent: int) -> None:
    desk.write(SPACE.replace("  - toy:\n", "  - toy:\n      seconds: 0.3\n"))
    run = desk.start("--space", "space.yaml")
    _wait_for(lambda: len(desk.ran()) >= 4)
    time.sleep(0.15)  # the fourth is stored, the fifth runs
    run.send_signal(sent)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    done = desk.tune("--space", "space.yaml")
    assert done.returncode == 0, done.stderr
    ran = desk.ran()
    assert len(ran) == len(set(ran)), "nothing finished was done again"


def test_max_time_holds(desk: Desk) -> None:
    desk.write(SPACE.replace("  - toy:\n", "  - toy:\n      seconds: 2\n"))
    started = time.monotonic()
    answer = desk.answer("--space", "space.yaml", "--max-time", "5s", "--trials", "600")
    assert time.monotonic() - started < 60, "six hundred trials take twenty minutes"
    assert answer["stopped"] == "max_time"
    again = desk.answer("--space", "space.yaml", "--max-time", "5s", "--trials", "600")
    assert again["trials"] <= answer["trials"] + 1, "the budget is the study's, not the command's"


def test_killed_at_random_moments_it_ends_as_if_undisturbed(desk: Desk) -> None:
    desk.write(SPACE.replace("  - toy:\n", "  - toy:\n      seconds: 0.1\n"))
    for delay in (0.4, 0.9, 1.3, 0.7):
        run = desk.start("--space", "space.yaml")
        time.sleep(delay)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate(timeout=30)
    killed = desk.answer("--space", "space.yaml")
    made = _stages_made(desk.folder / "tuned" / "study.db")
    assert len(made) == len(set(made)), "no stage ran to completion twice"
    desk.environment |= {"TUNER_STORE": str(desk.folder / "calm"), "TOY_COUNTER": "/dev/null"}
    calm = desk.answer("--space", "space.yaml", "--db", "calm.db")
    assert [t["parameters"] for t in killed["front"]] == [t["parameters"] for t in calm["front"]]
    assert killed["chosen"]["metrics"] == calm["chosen"]["metrics"]
    assert killed["trials"] == calm["trials"]


def test_optuna_opens_the_study(desk: Desk) -> None:
    answer = desk.answer("--space", "space.yaml")
    path = desk.folder / "tuned" / "study.db"
    study = optuna.load_study(study_name=answer["study"], storage=f"sqlite:///{path}")
    assert len(study.trials) == 12
    assert study.metric_names == ["cost", "worth"]
    feasible = {t.number for t in study.trials if t.user_attrs["feasible"]}
    front = {t.number for t in study.best_trials}
    ours = {t["number"] for t in answer["front"]}
    assert ours <= front, "Optuna keeps points that tie with ours, too"
    assert front <= feasible


def test_two_commands_on_one_study_share_its_work(desk: Desk) -> None:
    desk.write(SPACE.replace("  - toy:\n", "  - toy:\n      seconds: 0.7\n"))
    first = desk.start("--space", "space.yaml", "--strategy", "random")
    _wait_for(lambda: bool(desk.ran()))
    second = desk.tune("--space", "space.yaml", "--strategy", "random")
    _, errors = first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0), errors + second.stderr
    database = desk.folder / "tuned" / "study.db"
    with sqlite3.connect(database) as db:
        tried = db.execute("select number, run_id from tune_trials where number >= 0").fetchall()
    assert sorted(number for number, _ in tried) == list(range(12))
    assert len({run for _, run in tried}) == 2, "both tried some"
    made = _stages_made(database)
    assert len(made) == len(set(made))
    assert len(desk.ran()) == len(set(desk.ran()))


def test_several_workers_give_the_grid_that_one_gives(desk: Desk) -> None:
    one = desk.answer("--space", "space.yaml", "--strategy", "grid", "--study", "one")
    three = desk.answer(
        "--space", "space.yaml", "--strategy", "grid", "--study", "three", "--workers", "3"
    )
    facts = [
        (answer["chosen"]["parameters"], [t["parameters"] for t in answer["front"]])
        for answer in (one, three)
    ]
    assert facts[0] == facts[1]
    assert len(desk.ran()) == len(set(desk.ran()))


def test_a_worker_that_meets_a_full_stop_stops_them_all(desk: Desk) -> None:
    desk.write(SPACE.replace("  - toy:\n", "  - toy:\n      seconds: 5\n"))
    command = desk.start("--space", "space.yaml", "--workers", "2", "--strategy", "grid")
    _wait_for(lambda: bool(desk.ran()))  # the baseline's stage
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "the same command goes on" in errors


def test_events_come_as_json_lines(desk: Desk) -> None:
    done = desk.tune("--space", "space.yaml", "--trials", "2", "--json")
    kinds = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert kinds[0] == "StudyStarted"
    assert kinds[-2:] == ["StudyStopped", "Answer"]
    assert kinds.count("Told") == 3


def test_another_space_under_the_same_study_name_is_its_next_revision(desk: Desk) -> None:
    assert desk.tune("--space", "space.yaml", "--study", "mine", "--trials", "1").returncode == 0
    answer = desk.answer(
        "--space", "space.yaml", "--study", "mine", "--trials", "1", "--constraint", "worth>0.1"
    )
    assert answer["study"] == "mine-2"


def _stages_made(database: Path) -> list[str]:
    """The key of every stage that was run to completion, as the log of events has it."""
    with sqlite3.connect(database) as db:
        bodies = db.execute("select body from tuner_events where kind = 'stage_finished'")
        events = [json.loads(row[0]) for row in bodies]
    return [e["key"] for e in events if not e["cached"]]


def _wait_for(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
