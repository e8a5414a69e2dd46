"""Agents (installed proxies), tokens that belong to one, and tokens that work once.

Written in SQL where Alembic would rebuild the table ``tokens`` for SQLite: dropping the old one would take the rows of
``token_networks`` with it, by their ON DELETE CASCADE.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("agent_id", sa.String(36), nullable=False),
        sa.Column("network_id", sa.Integer, nullable=False),
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("enrolled_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("agent_id", name="pk_agents"),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_agents_network_id"),
    )
    op.create_index("ix_agents_network_id", "agents", ["network_id"])
    op.execute(
        "ALTER TABLE tokens ADD COLUMN agent_id VARCHAR(36) CONSTRAINT fk_tokens_agent_id REFERENCES agents (agent_id)"
    )
    op.create_index("ix_tokens_agent_id", "tokens", ["agent_id"])
    # The default is for the rows that are there, and for a server of the previous release that is still running.
    op.add_column("tokens", sa.Column("single_use", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("tokens", sa.Column("used_at", _INSTANT))
