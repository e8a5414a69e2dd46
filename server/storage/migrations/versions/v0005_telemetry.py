"""Telemetry: envelopes and streams, the fleet's runs and outcomes, what agents said last; enrolments are counted.

On PostgreSQL envelopes are partitioned by day. The default partition takes every day that has no partition of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("agents", sa.Column("enrolment", sa.Integer, nullable=False, server_default=sa.text("1")))
    op.add_column("agents", sa.Column("retired_at", _INSTANT))
    op.create_table(
        "agent_reports",
        sa.Column("agent", sa.String(36), sa.ForeignKey("agents.id", name="fk_agent_reports_agent"), nullable=False),
        sa.Column("instance", sa.String(36), nullable=False),
        sa.Column("other_instance", sa.String(36)),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.Column("interval_s", sa.Integer, nullable=False),
        sa.Column("clock_ms", sa.BigInteger, nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("agent", name="pk_agent_reports"),
    )
    _envelopes()
    op.create_table(
        "streams",
        sa.Column("agent", sa.String(36), nullable=False),
        sa.Column("stream", sa.Uuid, nullable=False),
        sa.Column("highest_seq", sa.BigInteger, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("agent", "stream", name="pk_streams"),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
    )
    _ledger()


def _envelopes() -> None:
    op.create_table(
        "envelopes",
        sa.Column("agent", sa.String(36), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("envelope_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("sub", sa.String(64), nullable=False),
        sa.Column("schema_version", sa.SmallInteger, nullable=False),
        sa.Column("ts_unix_ms", sa.BigInteger, nullable=False),
        sa.Column("correlation_id", sa.String(128)),
        sa.Column("stream", sa.Uuid),
        sa.Column("seq", sa.BigInteger),
        sa.Column("meta", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("agent", "day", "envelope_id", name="pk_envelopes"),
        postgresql_partition_by="RANGE (day)",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE envelopes_default PARTITION OF envelopes DEFAULT")
    op.create_index("ix_envelopes_agent_received_at", "envelopes", ["agent", "received_at"])
    op.create_index("ix_envelopes_received_at", "envelopes", ["received_at"])
    op.create_index("ix_envelopes_correlation_id", "envelopes", ["correlation_id"])


def _ledger() -> None:
    op.create_table(
        "runs",
        sa.Column("agent", sa.String(36), sa.ForeignKey("agents.id", name="fk_runs_agent"), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("network_id", sa.Integer, sa.ForeignKey("networks.id", name="fk_runs_network_id"), nullable=False),
        sa.Column("correlation_id", sa.String(128)),
        sa.Column("action", sa.String(64)),
        sa.Column("action_version", sa.String(32)),
        sa.Column("provider", sa.String(32)),
        sa.Column("origin", sa.String(128)),
        sa.Column("dry_run", sa.Boolean),
        sa.Column("actor", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("hosts", sa.Integer),
        sa.Column("started_at", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.Column("exit_code", sa.Integer),
        sa.Column("summary", sa.Text),
        sa.Column("reason", sa.String(64)),
        sa.Column("message", sa.Text),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("agent", "run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_network_id", "runs", ["network_id"])
    op.create_index("ix_runs_run_id", "runs", ["run_id"])
    op.create_index("ix_runs_seen_at", "runs", ["seen_at"])
    op.create_table(
        "outcomes",
        sa.Column("agent", sa.String(36), sa.ForeignKey("agents.id", name="fk_outcomes_agent"), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("host_id", sa.String(255), nullable=False),
        sa.Column(
            "network_id", sa.Integer, sa.ForeignKey("networks.id", name="fk_outcomes_network_id"), nullable=False
        ),
        sa.Column("envelope_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("name_key", sa.String(255), nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("store", sa.Integer),
        sa.Column("terminal", sa.Integer),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("started_at", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("agent", "run_id", "host_id", name="pk_outcomes"),
    )
    op.create_index("ix_outcomes_name_key", "outcomes", ["name_key"])
    op.create_index("ix_outcomes_address", "outcomes", ["address"])
    op.create_index("ix_outcomes_seen_at", "outcomes", ["seen_at"])
