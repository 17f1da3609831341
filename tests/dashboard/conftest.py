"""One database with every kind of trial, and ways to ask a site without a socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from shown_studies import HOSTILE, write_studies


@pytest.fixture(scope="session")
def shown_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies "mine" and HOSTILE. Read only."""
    path = tmp_path_factory.mktemp("shown") / "study.db"
    write_studies(path, ["mine", HOSTILE])
    return path
