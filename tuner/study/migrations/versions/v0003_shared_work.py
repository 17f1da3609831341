"""Schema 3: who works on a study and lives, where a trial is from, shares of training."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Double, Integer, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("tune_runs", Column("owner", Text))
    op.add_column("tune_runs", Column("beat", BigInteger))
    number = BigInteger().with_variant(Integer(), "sqlite")
    op.add_column("tune_trials", Column("run_id", number))
    op.add_column("tune_trials", Column("origin", Text))
    op.add_column("tune_stages", Column("share", Double))
