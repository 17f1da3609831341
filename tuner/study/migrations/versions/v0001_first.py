"""Schema 1: the tables as they were first. Only databases that have them start here."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: new databases are made whole, of the newest schema."""
