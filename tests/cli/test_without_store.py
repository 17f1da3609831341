"""A study's SQLite file alone, on another machine: no store, no model, no data, no plug-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import SPACE, Desk

RUN = """
import contextlib, io, json, sys
from tuner.cli.main import main
found = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["tune", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""

COMMANDS = (
    "list",
    "show fits 3",
    "best fits",
    "why fits --json",
    "compare fits 3 5",
    "export fits",
    "rerank fits --constraint cost<15ms",
    "rerank fits --drop-constraints",
    "rerank fits --max worth.p95=3",
    "best tight --json",
    "rerank tight --constraint cost<=15ms",
    "card fits",
)
GO_ON = "To go on with this question:"

Answer = tuple[int, str, str]


@dataclass(frozen=True)
class Answers:
    """What the commands answered where the study was made, and elsewhere."""

    here: dict[str, Answer]
    there: dict[str, Answer]
    elsewhere: Path


def ask(folder: Path, environment: dict[str, str]) -> dict[str, Answer]:
    words = [[*command.split(), "--db", "study.db"] for command in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return {c: (code, out, err) for c, (code, out, err) in zip(COMMANDS, found, strict=True)}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    desk = Desk(tmp_path_factory.mktemp("here"))
    (desk.folder / "model").mkdir()
    (desk.folder / "model" / "config.json").write_text("{}")
    (desk.folder / "model" / "model.safetensors").write_bytes(b"weights")
    desk.write(SPACE)
    command = ["--space", "space.yaml", "--db", "study.db", "--quiet"]
    assert desk.tune(*command, "--study", "fits").returncode == 0
    assert desk.tune(*command, "--study", "tight", "--max", "cost=0.001ms").returncode == 3
    here = ask(desk.folder, desk.settings()["env"])
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "study.db").write_bytes((desk.folder / "study.db").read_bytes())
    desk.folder.rename(desk.folder.with_name("gone"))
    environment = {
        "PATH": os.environ["PATH"],
        "COLUMNS": "80",
        "HOME": "/nowhere",
        "TUNER_STORE": "/dev/null/store",
    }
    return Answers(here, ask(elsewhere, environment), elsewhere)


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith(("rerank", "card"))])
def test_the_same_is_told_as_where_it_was_made(answers: Answers, command: str) -> None:
    assert answers.there[command] == answers.here[command]
    assert answers.here[command][0] in (0, 3)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("rerank")])
def test_a_new_question_is_answered_the_same(answers: Answers, command: str) -> None:
    here, there = answers.here[command], answers.there[command]
    assert there[0] == here[0]
    assert there[1].partition(GO_ON)[0] == here[1].partition(GO_ON)[0]
    assert there[2] == here[2]
    if GO_ON in there[1]:
        assert "is no longer there: the command needs it" in " ".join(there[1].split())


def test_the_card_is_the_same_but_for_what_only_the_plugin_knows(answers: Answers) -> None:
    code, there, _ = answers.there["card fits"]
    here = answers.here["card fits"][1]
    assert code == 0
    kept = ("## Results", "## Limits and known weaknesses", "## Recipe")
    for title in kept:
        section = here.partition(title)[2].partition("\n## ")[0]
        assert section
        assert section in there
    assert "`toy_tail`" in there.partition("## How to run")[2].partition("\n## ")[0]


def test_nothing_is_made_beside_the_file(answers: Answers) -> None:
    names = {path.name for path in answers.elsewhere.iterdir()}
    assert names <= {"study.db", "study.db-wal", "study.db-shm"}
