"""The outbox can be delivered: leases, dead letters, what goes first when it is full, and a stream whose rows are numbered.

The number comes from a trigger, so that rows of a release before, after a rollback, have theirs as well.
"""

import sqlalchemy as sa
from alembic import op

from contracts.ids import uuid7

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("seq", sa.Integer))
    # Rows of a release before, which know of no importance, stay longest.
    op.add_column("outbox", sa.Column("importance", sa.Integer, nullable=False, server_default=sa.text("3")))
    op.add_column("outbox", sa.Column("leased_by", sa.String(36)))
    op.add_column("outbox", sa.Column("leased_until", sa.String(32)))
    op.add_column("outbox", sa.Column("dead_at", sa.String(32)))
    stream = op.create_table(
        "outbox_stream",
        sa.Column("stream", sa.String(36), primary_key=True),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("delivered", sa.Integer, nullable=False),
    )
    # The row's own number in SQLite is the order in which the rows came.
    op.execute("UPDATE outbox SET seq = rowid, importance = CASE kind WHEN 'host_result' THEN 3 ELSE 1 END")
    op.execute("UPDATE outbox SET importance = 9 WHERE kind = 'outbox_dropped'")
    op.bulk_insert(stream, [{"stream": uuid7(), "last_seq": 0, "delivered": 0}])
    op.execute("UPDATE outbox_stream SET last_seq = (SELECT coalesce(max(rowid), 0) FROM outbox)")
    op.execute(
        "CREATE TRIGGER outbox_numbered AFTER INSERT ON outbox BEGIN "
        "UPDATE outbox_stream SET last_seq = last_seq + 1; "
        "UPDATE outbox SET seq = (SELECT last_seq FROM outbox_stream) WHERE rowid = new.rowid; "
        "END"
    )
    # Delivered rows are deleted now: of the first release's indexes nothing is asked any more.
    op.drop_index("ix_outbox_waiting", "outbox")
    op.drop_index("ix_outbox_delivered", "outbox")
    # SQLite adds the row's own number to every index, so this one has the order in which rows go.
    op.create_index("ix_outbox_order", "outbox", ["dead_at", "importance"])
