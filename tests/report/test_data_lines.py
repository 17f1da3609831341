"""What a user reads of the data: while the study begins, beside the answer, in its summary."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from study.scripted_study import Study as Recorded
from study.scripted_study import asked, estimate, measured, started

from evaluators.floors import Floors
from search_spaces.data_report import DataReport, Finding
from tuner.report.answer import console, print_answer
from tuner.report.output import summary
from tuner.report.progress import Progress
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.events import DataChecked, Event, Judged, StudyStopped, Told

LEAK = Finding("leaked", "dev", 9, 160, "9 of 160 dev rows are (near) copies of training rows")
REPEATED = Finding("repeated", None, 5, 720, "5 of 720 rows repeat an earlier one")
NOTE = Finding("contradicted", None, 1, 700, "1 of 700 texts comes with two labels", warning=False)


def checked(nearest: float = 0.331) -> DataChecked:
    report = DataReport(
        {"train": 400, "dev": 160, "test": 160},
        {"dev": {"fear": 80, "joy": 80}},
        (LEAK, REPEATED, NOTE),
    )
    floors = [Floors(s, 160, 400, 0.25, "joy", nearest, 160) for s in ("dev", "test")]
    return DataChecked(report.to_json(), {f.split: f.to_json() for f in floors})


def events(check: DataChecked | None = None) -> list[Event]:
    judged = {"limit": 0.7, "value": 0.8, "verdict": "feasible", "violation": -1.0}
    constraint = {"text": "accuracy>=0.7", "metric": "accuracy", "statistic": None} | judged
    return [
        started(),
        *([] if check is None else [check]),
        asked(0, threads=1),
        measured(0, estimate("tpot", 0.01, statistic="p50")),
        measured(0, estimate("accuracy", 0.8, unit="fraction"), evaluator="accuracy"),
        Judged(0, "feasible", (constraint,)),
        Told(0, "complete", (0.01, 0.8), (0,), 9.5),
        StudyStopped("trials", 0, 10.0),
    ]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(open_engine(str(tmp_path / "study.db")))


def answer(recorded: Recorded) -> list[str]:
    stream = io.StringIO()
    print_answer(console(stream), Study(recorded.reader, recorded.name))
    return stream.getvalue().splitlines()


def test_a_run_begins_with_what_is_wrong_with_the_data() -> None:
    stream = io.StringIO()
    with Progress(Console(file=stream, width=80)) as progress:
        progress(checked())
    assert stream.getvalue().splitlines() == [
        "data         400 train, 160 dev, 160 test rows; 2 labels: fear, joy",
        "warning: 9 of 160 dev rows are (near) copies of training rows",
        "warning: 5 of 720 rows repeat an earlier one",
    ]


def test_the_answer_shows_the_floors_and_the_leak_below_the_numbers(recorded: Recorded) -> None:
    recorded.send(*events(checked()))
    lines = answer(recorded)
    at = lines.index("  accuracy floors on dev: always 'joy' 25.0 %, nearest training row 33.1 %")
    assert lines[at + 1].startswith("  accuracy floors on test: always 'joy' 25.0 %")
    assert "  warning: 9 of 160 dev rows are (near) copies of training rows" in lines[at:]
    assert not any("repeat an earlier" in line for line in lines)
    assert any(line.strip().startswith("accuracy") for line in lines[:at])
    assert max(map(len, lines)) <= 80


def test_the_last_look_counts_and_is_in_the_summary(recorded: Recorded) -> None:
    recorded.send(*events(checked(nearest=0.1)))
    recorded.send(started(resumed=True), checked(nearest=0.5))
    assert any("nearest training row 50.0 %" in line for line in answer(recorded))
    data = summary(Study(recorded.reader, recorded.name))["data"]
    assert data["floors"]["test"]["nearest"] == 0.5
    assert data["report"]["splits"] == {"train": 400, "dev": 160, "test": 160}


def test_a_study_of_before_or_without_data_has_no_such_lines(recorded: Recorded) -> None:
    recorded.send(*events())
    assert not any("floors" in line for line in answer(recorded))
    assert summary(Study(recorded.reader, recorded.name))["data"] is None
