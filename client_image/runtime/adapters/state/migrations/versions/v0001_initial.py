"""The first schema: runs and their hosts, outbox, host keys and memory, job fires, daemon status."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("correlation_id", sa.String(128), nullable=False),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("action_version", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(32)),
        sa.Column("asked", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(128), nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("compat_mode", sa.String(16), nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("selector", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("hosts", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("cancel_requested_by", sa.Text),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32)),
    )
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_table(
        "run_hosts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.run_id"), nullable=False),
        sa.Column("host_id", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255, collation="NOCASE"), nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("store", sa.Integer),
        sa.Column("terminal", sa.Integer),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stage", sa.Text),
        sa.Column("outcome", sa.String(32)),
        sa.Column("reason", sa.String(64)),
        sa.Column("message", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("started_at", sa.String(32)),
        sa.Column("finished_at", sa.String(32)),
        sa.UniqueConstraint("run_id", "host_id"),
    )
    op.create_index("ix_run_hosts_name", "run_hosts", ["name"])
    op.create_index("ix_run_hosts_address", "run_hosts", ["address"])
    op.create_index("ix_run_hosts_place", "run_hosts", ["store", "terminal"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("correlation_id", sa.String(128), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("next_attempt_at", sa.String(32)),
        sa.Column("last_error", sa.Text),
        sa.Column("delivered_at", sa.String(32)),
    )
    op.create_index("ix_outbox_waiting", "outbox", ["id"], sqlite_where=sa.text("delivered_at IS NULL"))
    op.create_index("ix_outbox_delivered", "outbox", ["id"], sqlite_where=sa.text("delivered_at IS NOT NULL"))
    op.create_table(
        "host_keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(128), nullable=False),
        sa.Column("first_seen", sa.String(32), nullable=False),
        sa.Column("retired_at", sa.String(32)),
        sa.Column("retired_by", sa.Text),
    )
    op.create_index(
        "ux_host_keys_pinned",
        "host_keys",
        ["network", "name", "port"],
        unique=True,
        sqlite_where=sa.text("retired_at IS NULL"),
    )
    op.create_table(
        "host_memory",
        sa.Column("network", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True),
        sa.Column("notes", sa.Text),
        sa.Column("facts", sa.Text),
        sa.Column("last_seen", sa.String(32)),
    )
    op.create_table(
        "job_fires",
        sa.Column("job_id", sa.String(64), primary_key=True),
        sa.Column("planned_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "daemon_status",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("pid", sa.Integer),
        sa.Column("started_at", sa.String(32)),
        sa.Column("heartbeat_at", sa.String(32)),
        sa.Column("refreshed_at", sa.String(32)),
        sa.Column("refresh", sa.Text),
    )
