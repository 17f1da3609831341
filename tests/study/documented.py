"""The queries of docs/database.md, by their titles, and how a test asks them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Row, text

from tuner.study.database import open_engine

DOCUMENT = Path(__file__).parents[2] / "docs" / "database.md"
QUERIES = dict(
    re.findall(r"^### ([^\n]+)\n(?:(?!^#).)*?```sql\n(.*?)```", DOCUMENT.read_text(), re.M | re.S)
)


def ask(engine: Engine, title: str, **parameters: Any) -> list[Row[Any]]:
    """The rows of a documented query."""
    with engine.connect() as connection:
        return list(connection.execute(text(QUERIES[title]), parameters).all())


@contextmanager
def new_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[Engine]:
    """An empty database of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        url = str(folder / "study.db")
    else:
        url = request.getfixturevalue("postgres").new_database()
    engine = open_engine(url)
    yield engine
    engine.dispose()
