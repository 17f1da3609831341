"""Schema 4: what runs, and events of one kind, are found without reading all; views tell runs."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the indexes. Views are made anew with every upgrade."""
    running = text("state = 'running'")
    op.create_index(
        "tune_trials_running",
        "tune_trials",
        ["study_id"],
        sqlite_where=running,
        postgresql_where=running,
    )
    op.create_index("tune_events_kinds", "tune_events", ["study_id", "kind", "id"])
