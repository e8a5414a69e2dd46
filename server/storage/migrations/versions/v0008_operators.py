"""Operators: people who look at the fleet, with a role, their clients and tokens of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "operators",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("all_clients", sa.Boolean, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("removed_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_operators"),
        sa.UniqueConstraint("name", name="uq_operators_name"),
    )
    op.create_table(
        "operator_clients",
        sa.Column("operator_id", sa.Integer, nullable=False),
        sa.Column("client_id", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name="fk_operator_clients_operator_id"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_operator_clients_client_id"),
        sa.PrimaryKeyConstraint("operator_id", "client_id", name="pk_operator_clients"),
    )
    op.create_table(
        "operator_tokens",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("public_id", sa.String(16), nullable=False),
        sa.Column("operator_id", sa.Integer, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name="fk_operator_tokens_operator_id"),
        sa.PrimaryKeyConstraint("id", name="pk_operator_tokens"),
        sa.UniqueConstraint("public_id", name="uq_operator_tokens_public_id"),
    )
    op.create_index("ix_operator_tokens_operator_id", "operator_tokens", ["operator_id"])
