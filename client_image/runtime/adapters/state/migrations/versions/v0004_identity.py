"""What machines say of themselves, and which shared keys somebody accepted as those of an image."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = {"known_hostname": 256, "known_machine_id": 32, "said_hostname": 256, "said_machine_id": 32}


def upgrade() -> None:
    for name, length in _COLUMNS.items():
        op.add_column("host_memory", sa.Column(name, sa.String(length)))
    op.add_column("host_memory", sa.Column("identity_note", sa.Text))
    for name in ("known_machine_id", "said_machine_id", "said_hostname"):
        op.create_index(f"ix_host_memory_{name}", "host_memory", ["network", name])
    pinned = sa.text("retired_at IS NULL")
    op.create_index("ix_host_keys_fingerprint", "host_keys", ["network", "fingerprint"], sqlite_where=pinned)
    op.create_table(
        "settled_keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(128), nullable=False),
        sa.Column("settled_by", sa.Text, nullable=False),
        sa.Column("settled_at", sa.String(32), nullable=False),
        sa.Column("image_names", sa.Text),
        sa.Column("undone_by", sa.Text),
        sa.Column("undone_at", sa.String(32)),
    )
    in_force = sa.text("undone_at IS NULL")
    op.create_index(
        "ux_settled_keys_in_force", "settled_keys", ["network", "fingerprint"], unique=True, sqlite_where=in_force
    )
