"""How the sentences of runs and hosts were made (JSON), so that they can be shown in the reader's language."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("runs", "run_hosts"):
        op.add_column(table, sa.Column("sentences", sa.Text))
