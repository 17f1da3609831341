"""What alembic runs to bring a database up to date: on the connection that it was given.

The caller's transaction holds all of it, so that a kill in the middle leaves the older schema.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
