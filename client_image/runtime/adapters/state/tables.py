"""The tables of the local state. Migrations in ``migrations/versions`` make them; a test holds both against each other.

A proxy that is rolled back meets the schema of the release that replaced it. So migrations only ever add: tables, indexes,
triggers, columns that may be null or have a default. Only an index may go. Statements name their columns, and text that is read
is never parsed into an enum.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class Instant(TypeDecorator[dt.datetime]):
    """Aware instants as UTC text of fixed width: sorts by time, reads well in any SQLite tool."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("instants are aware")
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> dt.datetime | None:
        return None if value is None else dt.datetime.fromisoformat(value)


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("correlation_id", String(128), nullable=False),
    Column("agent_id", String(64), nullable=False),
    Column("network", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("action_version", String(32), nullable=False),
    Column("provider", String(32)),
    Column("asked", String(64), nullable=False),
    Column("origin", String(128), nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("compat_mode", String(16), nullable=False),
    Column("params", Text, nullable=False),
    Column("selector", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("hosts", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("exit_code", Integer),
    Column("cancel_requested_by", Text),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("reason", String(64)),
    Column("message", Text),
    Column("actor", Text),
    Column("purpose", Text),
    Column("missing", Text),
    Column("sentences", Text),  # see contracts.stored_text
)
Index("ix_runs_state", runs.c.state)

run_hosts = Table(
    "run_hosts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.run_id"), nullable=False),
    Column("host_id", String(255), nullable=False),
    Column("name", String(255, collation="NOCASE"), nullable=False),
    Column("display_name", Text, nullable=False),
    Column("network", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("port", Integer, nullable=False),
    Column("store", Integer),
    Column("terminal", Integer),
    Column("role", String(32), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", Text),
    Column("outcome", String(32)),
    Column("reason", String(64)),
    Column("message", Text),
    Column("result", Text),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("sentences", Text),
    UniqueConstraint("run_id", "host_id"),
)
Index("ix_run_hosts_name", run_hosts.c.name)
Index("ix_run_hosts_address", run_hosts.c.address)
Index("ix_run_hosts_place", run_hosts.c.store, run_hosts.c.terminal)

outbox = Table(
    "outbox",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("run_id", String(64)),
    Column("correlation_id", String(128), nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Instant),
    Column("last_error", Text),
    Column("delivered_at", Instant),  # of the first release; a row that is delivered is deleted
    Column("seq", Integer),  # given by a trigger
    Column("importance", Integer, nullable=False, server_default=text("3")),
    Column("leased_by", String(36)),
    Column("leased_until", Instant),
    Column("dead_at", Instant),
)
Index("ix_outbox_order", outbox.c.dead_at, outbox.c.importance)

outbox_stream = Table(
    "outbox_stream",
    metadata,
    Column("stream", String(36), primary_key=True),
    Column("last_seq", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
)

exports = Table(
    "exports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sink", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("correlation_id", String(128), nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)
Index("ix_exports_sink", exports.c.sink)

host_keys = Table(
    "host_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("network", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("retired_at", Instant),
    Column("retired_by", Text),
    Column("asked", Boolean, nullable=False, server_default=text("0")),
)
Index(
    "ux_host_keys_pinned",
    host_keys.c.network,
    host_keys.c.name,
    host_keys.c.port,
    unique=True,
    sqlite_where=host_keys.c.retired_at.is_(None),
)
Index(
    "ix_host_keys_fingerprint",
    host_keys.c.network,
    host_keys.c.fingerprint,
    sqlite_where=host_keys.c.retired_at.is_(None),
)

settled_keys = Table(
    "settled_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("network", String(64), nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Column("settled_by", Text, nullable=False),
    Column("settled_at", Instant, nullable=False),
    Column("image_names", Text),
    Column("undone_by", Text),
    Column("undone_at", Instant),
)
Index(
    "ux_settled_keys_in_force",
    settled_keys.c.network,
    settled_keys.c.fingerprint,
    unique=True,
    sqlite_where=settled_keys.c.undone_at.is_(None),
)

host_memory = Table(
    "host_memory",
    metadata,
    Column("network", String(64), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("port", Integer, primary_key=True),
    Column("notes", Text),
    Column("facts", Text),
    Column("last_seen", Instant),
    Column("known_hostname", String(256)),
    Column("known_machine_id", String(32)),
    Column("said_hostname", String(256)),
    Column("said_machine_id", String(32)),
    Column("identity_note", Text),
    Column("known_store", Integer),
    Column("known_terminal", Integer),
    Column("said_store", Integer),
    Column("said_terminal", Integer),
    Column("accepted_by", Text),
    Column("accepted_at", Instant),
)
Index("ix_host_memory_known_machine_id", host_memory.c.network, host_memory.c.known_machine_id)
Index("ix_host_memory_said_machine_id", host_memory.c.network, host_memory.c.said_machine_id)
Index("ix_host_memory_said_hostname", host_memory.c.network, host_memory.c.said_hostname)

job_fires = Table(
    "job_fires",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("planned_at", Instant, nullable=False),
)

job_starts = Table(
    "job_starts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", String(64), nullable=False),
    Column("planned_at", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("effect", String(16), nullable=False),
    Column("run_id", String(64)),
    Column("changed_at", Instant, nullable=False),
    UniqueConstraint("job_id", "planned_at"),
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("network", String(64), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("action", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("moved_at", Instant, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("network", String(64), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("action", String(64), primary_key=True),
    Column("stage", Text, nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("watermark", Text, nullable=False),
    Column("parcels", Text, nullable=False),
    Column("begun_at", Instant, nullable=False),
)

daemon_status = Table(
    "daemon_status",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pid", Integer),
    Column("started_at", Instant),
    Column("heartbeat_at", Instant),
    Column("refreshed_at", Instant),
    Column("refresh", Text),
)
