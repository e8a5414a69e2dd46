"""Which keys were pinned before anybody asked machines who they are; numbers of points of sale; who accepted a machine."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A machine that was asked, and is known by nothing, was in doubt at every login: that one stays in doubt.
_MARK = """
    UPDATE host_keys SET unasked = 1
    WHERE retired_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM host_memory AS m
        WHERE m.network = host_keys.network AND m.name = host_keys.name AND m.port = host_keys.port
        AND m.said_hostname IS NOT NULL AND m.known_hostname IS NULL
    )
"""
_NUMBERS = ("known_store", "known_terminal", "said_store", "said_terminal")


def upgrade() -> None:
    op.add_column("host_keys", sa.Column("unasked", sa.Boolean))
    op.execute(_MARK)
    for name in _NUMBERS:
        op.add_column("host_memory", sa.Column(name, sa.Integer))
    op.add_column("host_memory", sa.Column("accepted_by", sa.Text))
    op.add_column("host_memory", sa.Column("accepted_at", sa.String(32)))
