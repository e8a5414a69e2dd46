"""The schema of the local state, step by step (Alembic). HEAD is the newest step that this release knows."""

HEAD = "0010"
