"""Schema 2: ratios to the baseline, and the verdicts of confirmations."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Double, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns. An index is added too, which the very first databases lack."""
    for name in ("ratio", "ratio_low", "ratio_high"):
        op.add_column("tune_metrics", Column(name, Double))
    for name in ("verdict", "constraints"):
        op.add_column("tune_confirmations", Column(name, Text))
    op.create_index(
        "tune_measurements_cost",
        "tune_measurements",
        ["study_id", "evaluator", "split", "cached", "seconds"],
        if_not_exists=True,
    )
