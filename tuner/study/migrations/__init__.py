"""The schema's history: alembic's revisions of the study's own tables, one file each.

Revision "0003" leads to schema version 3. A step is written once and never changed: databases out
there have taken it. It names tables and columns as they were then, and does not import `schema`,
which says how they are now. Views are no part of it: `migrating` makes them again after each step.
"""
