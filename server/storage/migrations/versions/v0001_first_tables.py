"""Clients, networks, tokens and configurations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "clients",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
        sa.UniqueConstraint("name", name="uq_clients_name"),
    )
    op.create_table(
        "networks",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("client_id", sa.Integer, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_networks_client_id"),
        sa.UniqueConstraint("client_id", "code", name="uq_networks_client_id_code"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("public_id", sa.String(16), nullable=False),
        sa.Column("client_id", sa.Integer, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.String(255), nullable=False),
        sa.Column("all_networks", sa.Boolean, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_tokens_client_id"),
        sa.UniqueConstraint("public_id", name="uq_tokens_public_id"),
    )
    op.create_index("ix_tokens_client_id", "tokens", ["client_id"])
    op.create_table(
        "token_networks",
        sa.Column("token_id", sa.Integer, nullable=False),
        sa.Column("network_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("token_id", "network_id", name="pk_token_networks"),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name="fk_token_networks_token_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name="fk_token_networks_network_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "configurations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("network_id", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_configurations"),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_configurations_network_id"),
    )
    op.create_index("ix_configurations_network_id_version", "configurations", ["network_id", "version"], unique=True)
