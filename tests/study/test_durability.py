"""Readers beside a writer, and writers that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripted_study
from scripted_study import Script, Study, started

from tuner.study.database import open_engine
from tuner.study.reader import StudyNotFoundError, StudyReader
from tuner.study.recording import event_kind


@pytest.fixture
def writing(database: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes a long study and prints how many events it has written."""
    command = [sys.executable, scripted_study.__file__, str(database), "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def written(process: subprocess.Popen[str], at_least: int) -> int:
    """How many events the process says it has written, once there are enough of them."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= at_least:
            return int(line)
    raise AssertionError("the writing process ended by itself")


@pytest.mark.parametrize("moment", [1, 2, 40, 300])
def test_every_event_whose_call_returned_outlives_a_kill(
    writing: subprocess.Popen[str], database: Path, moment: int
) -> None:
    count = written(writing, moment)
    writing.send_signal(signal.SIGKILL)
    assert writing.stdout is not None
    count = max([count, *(int(line) for line in writing.stdout if line.endswith("\n"))])
    writing.wait()

    study = Study(open_engine(str(database)))
    with study.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    log = study.reader.events("tones")
    assert len(log) in (count, count + 1)  # one may be in that was not yet printed
    sent = [event_kind(e) for e, _ in zip(Script(100_000).events(), log, strict=False)]
    assert [row.kind for row in log] == sent
    study.send(started(resumed=True))
    assert "running" not in {t.state for t in study.reader.trials("tones")}
    study.engine.dispose()


def test_a_reader_sees_whole_events_while_another_process_writes(
    writing: subprocess.Popen[str], database: Path
) -> None:
    written(writing, 1)
    reader = StudyReader(open_engine(str(database)))
    last = 0
    told: set[int | None] = set()
    while len(told) < 20:
        for row in reader.events("tones", after=last):
            assert row.id == last + 1
            last = row.id
            told |= {row.number} if row.kind == "told" else set()
        states = {t.number: t.state for t in reader.trials("tones")}
        assert not {n for n in told if n is not None and states[n] == "running"}
    assert writing.poll() is None


def test_a_writer_waits_for_another_one(writing: subprocess.Popen[str], database: Path) -> None:
    written(writing, 1)
    other = Study(open_engine(str(database)), "other")
    other.send_all(Script(20, "other").events())
    assert writing.poll() is None
    assert len(other.reader.trials("other")) == 21
    with pytest.raises(StudyNotFoundError):
        other.reader.trials("another")
    other.engine.dispose()
