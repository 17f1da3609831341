"""Turns and news between commands that work on one study."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_study import Study, asked, started
from sqlalchemy import Engine

from tuner.study.cooperation import Cooperation
from tuner.study.events import Told
from tuner.study.writer import StudyWriter


class Enough(Exception):
    """What a test's `look` raises."""


def no_look() -> None:
    """Wait on."""


@pytest.fixture
def writers(study: Study) -> Iterator[tuple[StudyWriter, StudyWriter]]:
    with StudyWriter(study.engine, "tones") as one, StudyWriter(study.engine, "tones") as two:
        one(started())
        two(started(resumed=True))
        yield one, two


def of(study: Study, writer: StudyWriter) -> Cooperation:
    return Cooperation(study.engine, study.reader, writer, "tones")


def test_one_command_has_the_turn_at_a_time(
    study: Study, writers: tuple[StudyWriter, StudyWriter]
) -> None:
    first, second = (of(study, writer) for writer in writers)
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise Enough

    with first.turn("ask", no_look):
        with pytest.raises(Enough), second.turn("ask", look):
            raise AssertionError("two had the turn")
        with second.turn("answer", no_look):
            pass
    with second.turn("ask", no_look):
        pass


def test_who_has_the_turn_may_take_it_again_and_threads_wait(
    study: Study, writers: tuple[StudyWriter, StudyWriter]
) -> None:
    cooperation, order = of(study, writers[0]), []

    def other() -> None:
        with cooperation.turn("ask", no_look):
            order.append("other")

    with cooperation.turn("ask", no_look), cooperation.turn("ask", no_look):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "other"]


def test_a_turn_is_given_back_when_its_holder_is_killed(
    study: Study, writers: tuple[StudyWriter, StudyWriter], database: Path
) -> None:
    code = (
        "import os\nfrom scripted_study import *\nfrom tuner.study.cooperation import Cooperation\n"
        "from tuner.study.database import open_engine\n"
        f"engine = open_engine({str(database)!r})\n"
        "cooperation = Cooperation(engine, StudyReader(engine), None, 'tones')\n"
        "with cooperation.turn('ask', lambda: None):\n    os._exit(9)\n"
    )
    folder = Path(__file__).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 9
    with of(study, writers[0]).turn("ask", no_look):
        pass


def test_news_are_of_the_trials_that_are_not_ones_own(
    study: Study, writers: tuple[StudyWriter, StudyWriter], engine: Engine
) -> None:
    one, two = writers
    one(asked(0))
    two(asked(1))
    two(Told(1, "complete", (0.1, 0.9), (1,), 1.0))
    assert of(study, one).news() == {1: "complete"}
    assert of(study, two).news() == {0: "running"}
