"""Up to where the rows of a source were delivered, and the deliveries that wait for a receipt."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OF = (("network", 64), ("subject", 255), ("action", 64))


def upgrade() -> None:
    op.create_table(
        "watermarks",
        *(sa.Column(name, sa.String(length), primary_key=True) for name, length in _OF),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("moved_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "deliveries",
        *(sa.Column(name, sa.String(length), primary_key=True) for name, length in _OF),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("watermark", sa.Text, nullable=False),
        sa.Column("parcels", sa.Text, nullable=False),
        sa.Column("begun_at", sa.String(32), nullable=False),
    )
