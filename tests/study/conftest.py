"""Fixtures of the study's database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

sys.path.insert(0, str(Path(__file__).parent))

from scripted_study import Study

from tuner.study.database import open_engine


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
