"""Fixtures of the study's database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

sys.path.insert(0, str(Path(__file__).parent))

from tuner.study.database import open_engine
from tuner.study.events import Event
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter


class Study:
    """A database with a study that events are sent to; its name is "tones" unless told."""

    def __init__(self, engine: Engine, name: str = "tones") -> None:
        self.engine = engine
        self.name = name
        self.reader = StudyReader(engine)

    def send(self, *events: Event) -> None:
        """What one command sends."""
        self.send_all(events)

    def send_all(self, events: Iterable[Event]) -> None:
        with StudyWriter(self.engine, self.name) as writer:
            for event in events:
                writer(event)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    engine = open_engine(str(database))
    yield engine
    engine.dispose()


@pytest.fixture
def study(engine: Engine) -> Study:
    return Study(engine)
