"""Agents are known by network and agent_id together, so that an id tells nobody whether another network has it; and counters.

What was the key stays one, under the name ``id``: tokens refer to it, and no table is written again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("ALTER TABLE agents RENAME COLUMN agent_id TO id")
    op.add_column("agents", sa.Column("agent_id", sa.String(36), nullable=False, server_default=""))
    op.execute("UPDATE agents SET agent_id = id")
    op.add_column("agents", sa.Column("enrolled_from", sa.String(45)))
    op.create_index("ix_agents_network_id_agent_id", "agents", ["network_id", "agent_id"], unique=True)
    op.create_index("ix_agents_agent_id", "agents", ["agent_id"])
    op.create_table(
        "counters",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name="pk_counters"),
    )
