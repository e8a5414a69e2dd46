"""Alembic's entry: runs the revisions on the connection, and in the transaction, of :func:`server.storage.schema.upgrade`."""

from alembic import context

from server.storage.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a column by rebuilding its table
    transactional_ddl=True,  # our SQLite connections begin explicitly, so schema changes roll back there too
)
context.run_migrations()
