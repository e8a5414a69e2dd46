"""Outcomes refer to agents and networks by their ids alone, as envelopes do: PostgreSQL looked both up for every row, which
took half the time of writing it. Rows of agents and networks are never deleted.
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("outcomes") as batch:
        batch.drop_constraint("fk_outcomes_agent", type_="foreignkey")
        batch.drop_constraint("fk_outcomes_network_id", type_="foreignkey")
