"""Runs that end before they have a host: why, in a word for programs and a sentence for people."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("reason", sa.String(64)))
    op.add_column("runs", sa.Column("message", sa.Text))
