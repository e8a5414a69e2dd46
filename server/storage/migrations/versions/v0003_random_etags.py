"""The ETag of a configuration is a random id; the hash of its content goes away, because it lets people guess weak secrets.

Nothing of it may stay behind where the database keeps what was deleted, see :func:`server.storage.schema.upgrade`.
"""

import secrets
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from server.storage.schema import TO_BE_WRITTEN_AGAIN

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("configurations", sa.Column("etag", sa.String(32)))
    table = sa.table("configurations", sa.column("id", sa.Integer), sa.column("etag", sa.String))
    connection = op.get_bind()
    rows: Sequence[int] = connection.execute(sa.select(table.c.id)).scalars().all()
    for row in rows:
        connection.execute(table.update().where(table.c.id == row).values(etag=secrets.token_hex(16)))
    with op.batch_alter_table("configurations") as batch:
        batch.alter_column("etag", existing_type=sa.String(32), nullable=False)
        batch.drop_column("digest")
    if connection.dialect.name == "postgresql":
        # A dropped column stays in the rows until the table is written again.
        op.execute("CLUSTER configurations USING pk_configurations")
        op.execute("ALTER TABLE configurations SET WITHOUT CLUSTER")
    elif rows:
        op.execute(f"PRAGMA user_version = {TO_BE_WRITTEN_AGAIN}")
