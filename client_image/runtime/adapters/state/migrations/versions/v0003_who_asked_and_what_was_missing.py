"""Who asked for a run, why, and which values of its filters matched nothing (JSON)."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("actor", "purpose", "missing"):
        op.add_column("runs", sa.Column(name, sa.Text))
