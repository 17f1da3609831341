"""What is not done: what cannot fit is not trained, what is not promising not to the end."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from cli.conftest import Desk

SPACE = """
model: model
task: text-generation
pipeline:
  - toy_train:
      rank: {choices: [1, 2, 4, 8]}
    optional: true
  - toy:
      a: {choices: [1, 2, 3, 4]}
metrics: {toy_speed: {}, toy_skill: {}}
objectives: [maximize skill, minimize delay]
constraints: ["delay<25ms"]
search: {trials: 20, seed: 1}
"""


def events(desk: Desk, kind: str) -> list[dict[str, Any]]:
    with sqlite3.connect(desk.folder / "tuned" / "study.db") as db:
        rows = db.execute("select body from tuner_events where kind = ? order by id", (kind,))
        return [json.loads(row[0]) for row in rows]


def states(desk: Desk) -> dict[str, int]:
    with sqlite3.connect(desk.folder / "tuned" / "study.db") as db:
        query = "select state, count(*) from tuner_trials where number >= 0 group by 1"
        return dict(db.execute(query).fetchall())


def test_what_cannot_fit_is_never_trained(desk: Desk) -> None:
    desk.write(SPACE)
    answer = desk.answer("--space", "space.yaml")
    assert states(desk)["screened"] >= 6, "of rank 1, 2, 4, 8 with a = 3 and 4"
    trained = [line for line in desk.ran() if line.startswith("train")]
    assert len(trained) == 4, "each rank once, for the structures that fit"
    assert {tuple(e["constraints"]) for e in events(desk, "screened")} == {("delay<25ms",)}
    assert answer["chosen"]["parameters"]["toy.a"] in (1, 2)


def test_other_strategies_try_every_candidate_whole(desk: Desk) -> None:
    desk.write(SPACE)
    desk.answer("--space", "space.yaml", "--strategy", "grid")
    assert set(states(desk)) == {"complete"}


def test_a_screened_candidate_says_why_on_the_screen(desk: Desk) -> None:
    desk.write(SPACE)
    done = desk.tune("--space", "space.yaml")
    assert "cannot fit delay<25ms (seen beforehand)" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_number_that_does_not_hold_of_the_trained_model_is_told_and_learned_from(
    desk: Desk,
) -> None:
    desk.environment["TOY_LIES"] = "1"
    desk.write(SPACE)
    answer = desk.answer("--space", "space.yaml")
    [mismatch] = events(desk, "mismatched")
    assert mismatch["metric"] == "delay"
    assert mismatch["own"]["value"] == pytest.approx(2 * mismatch["shared"]["value"])
    with sqlite3.connect(desk.folder / "tuned" / "study.db") as db:
        told = db.execute(
            "select t.number, m.value, json_extract(t.parameters, '$.\"toy.a\"') "
            "from tuner_trials t join tuner_metrics m on m.number = t.number "
            "where m.metric = 'delay' and m.split = 'dev' and t.number >= ? and "
            "json_extract(t.parameters, '$.toy_train') = 1 and t.state = 'complete'",
            (mismatch["number"],),
        ).fetchall()
    assert told
    assert all(value == pytest.approx(0.02 * a) for _, value, a in told)
    for trial in answer["front"]:
        assert trial["metrics"]["delay"]["value"] < 0.025


def test_where_everything_is_screened_the_nearest_is_trained_to_tell_the_price(desk: Desk) -> None:
    text = SPACE.replace("delay<25ms", "delay<5ms").replace("    optional: true\n", "")
    desk.write(text)
    done = desk.tune("--space", "space.yaml")
    assert done.returncode == 3
    assert states(desk) == {"screened": 15, "complete": 1}
    assert "10" in done.stdout, "what it would take: 10 ms"


def test_what_is_not_promising_is_stopped_and_the_rest_goes_on_where_it_stood(desk: Desk) -> None:
    text = SPACE.replace(
        "rank: {choices: [1, 2, 4, 8]}", "rank: {range: [1, 40]}\n      seconds: 1"
    )
    text = text.replace("a: {choices: [1, 2, 3, 4]}", "a: 2").replace("    optional: true\n", "")
    text = text.replace(
        "objectives: [maximize skill, minimize delay]", "objectives: [maximize skill]"
    )
    desk.write(text.replace("trials: 20", "trials: 14"))
    desk.answer("--space", "space.yaml")
    rungs = events(desk, "rung_reached")
    stopped = {e["number"] for e in rungs if not e["promoted"]}
    assert stopped
    assert states(desk)["stopped"] == len(stopped)
    pieces: dict[str, list[tuple[int, int]]] = {}
    for line in desk.ran():
        if line.startswith("train"):
            _, _, rank, _, start, _, end = line.split()
            pieces.setdefault(rank, []).append((int(start), int(end)))
    assert any(len(made) > 1 for made in pieces.values()), "in pieces: how many, the costs decide"
    for made in pieces.values():
        ends = [end for _, end in made]
        assert [start for start, _ in made] == [0, *ends[:-1]], "each goes on where the last stood"
        assert set(ends) <= {1, 3, 9}
    whole = [rank for rank, made in pieces.items() if made[-1][1] == 9]
    assert len(whole) == len(pieces) - len(stopped)


FAULTY = """
model: model
task: text-generation
pipeline:
  - toy:
      a: {choices: [0, 1, 2, 3, 4]}
      b: {choices: [0, 1, 2, 3, 4]}
      fault: {choices: [none, refuse]}
objectives: [minimize cost, maximize worth]
search: {strategy: random, trials: 30, seed: 3}
"""


def test_failures_with_a_common_cause_are_not_repeated_until_asked_for(desk: Desk) -> None:
    desk.write(FAULTY)
    desk.answer("--space", "space.yaml")
    [lesson] = events(desk, "lesson_learned")
    assert lesson["decisions"] == {"toy.fault": "refuse"}
    failed = states(desk)["infeasible"]
    assert failed == lesson["failures"] == 3
    again = desk.answer("--space", "space.yaml", "--trials", "33")
    assert states(desk)["infeasible"] == failed, "the next command knows it too"
    desk.answer("--space", "space.yaml", "--trials", "33", "--retry-failed")
    asked = [e["number"] for e in events(desk, "trial_asked")]
    retried = [number for number in set(asked) if asked.count(number) > 1 and number >= 0]
    assert len(retried) == failed
    assert again["failed"] == failed
