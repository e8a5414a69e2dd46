"""Which of several agents of a network starts its scheduled jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("agent_reports", sa.Column("schedule", sa.String(8)))
    network, agent = (
        sa.ForeignKey(f"{table}.id", name=f"fk_schedule_leases_{name}")
        for table, name in (("networks", "network_id"), ("agents", "agent"))
    )
    op.create_table(
        "schedule_leases",
        sa.Column("network_id", sa.Integer, network, nullable=False, autoincrement=False),
        sa.Column("agent", sa.String(36), agent),
        sa.Column("since", _INSTANT),
        sa.Column("renewed_at", _INSTANT),
        sa.Column("length_s", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("network_id", name="pk_schedule_leases"),
    )
