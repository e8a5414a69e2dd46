"""Alembic's entry: runs the steps on the connection that the caller opened, inside its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
