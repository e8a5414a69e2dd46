"""Revisions, oldest first by their number. A new one: ``alembic`` is not needed, copy the last one and write what changes."""
