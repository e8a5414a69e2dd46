"""Planned instants of scheduled jobs that wait for their turn or were started, so that none is ever started twice."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_starts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("planned_at", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("effect", sa.String(16), nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("changed_at", sa.String(32), nullable=False),
        sa.UniqueConstraint("job_id", "planned_at"),
    )
