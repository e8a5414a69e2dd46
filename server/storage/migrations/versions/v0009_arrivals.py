"""Batches in the order in which they can be shown, for who looks on live."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "arrivals",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column(
            "txid", sa.BigInteger, nullable=False, server_default=sa.text("txid_current()" if on_postgresql else "0")
        ),
        sa.Column("agent", sa.String(36), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_arrivals"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_arrivals_txid_position", "arrivals", ["txid", "position"])
