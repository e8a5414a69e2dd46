"""Which keys were pinned before anybody asked machines who they are; numbers of points of sale; who accepted a machine."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBERS = ("known_store", "known_terminal", "said_store", "said_terminal")


def upgrade() -> None:
    # Keys that are there, and those that a release before pins after a rollback, have the default.
    op.add_column("host_keys", sa.Column("asked", sa.Boolean, nullable=False, server_default=sa.text("0")))
    for name in _NUMBERS:
        op.add_column("host_memory", sa.Column(name, sa.Integer))
    op.add_column("host_memory", sa.Column("accepted_by", sa.Text))
    op.add_column("host_memory", sa.Column("accepted_at", sa.String(32)))
