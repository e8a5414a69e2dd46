"""What one process works with. Built by :func:`server.app.create_app` for request handlers, and by each command of the CLI."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass

from server.services.configurations.documents import Documents
from server.services.counters import Counters
from server.services.health import HealthCheck
from server.services.installer.assets import InstallerFiles, find_root
from server.services.installer.script import Bootstrap
from server.services.telemetry.batch import Limits
from server.services.telemetry.history import Exports
from server.services.telemetry.live import Live
from server.services.telemetry.quotas import Quotas
from server.services.telemetry.upkeep import Upkeep
from server.services.tokens.last_use import LastUse
from server.settings import Settings
from server.storage.crypto import Vault
from server.storage.models import OperatorToken
from server.storage.prepared import Prepared
from server.storage.session import Database, open_database

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """``vault`` is None without a secret key; ``clock`` gives aware instants. ``rows`` and ``documents`` are for requests."""

    database: Database
    rows: Prepared
    documents: Documents
    vault: Vault | None
    last_use: LastUse
    last_use_of_operators: LastUse
    counters: Counters
    clock: Clock
    bootstrap: Bootstrap
    health: HealthCheck
    ingest: Limits
    quotas: Quotas
    upkeep: Upkeep
    heartbeat_interval: int
    exports: Exports
    live: Live

    def close(self) -> None:
        """Write what is still in memory and let the database go."""
        self.live.close()
        self.upkeep.close()
        self.last_use.close()
        self.last_use_of_operators.close()
        self.counters.close()
        self.database.close()


def build_services(settings: Settings, clock: Clock = utc_now) -> Services:
    """Nothing is connected or started yet, so a process may fork after this."""
    database = open_database(settings.database_url, timeout=settings.database_timeout, connections=2 * settings.threads)
    key = settings.key()
    vault = Vault(key) if key else None
    assets = InstallerFiles(settings.assets or find_root())
    return Services(
        database=database,
        rows=Prepared(database),
        documents=Documents(database, vault),
        vault=vault,
        last_use=LastUse(database, settings.last_use_interval),
        last_use_of_operators=LastUse(database, settings.last_use_interval, OperatorToken),
        counters=Counters(database, settings.last_use_interval, clock),
        clock=clock,
        bootstrap=Bootstrap(settings.public_url, settings.client_image, assets),
        health=HealthCheck(database, vault, assets),
        ingest=Limits(settings.ingest_envelopes, settings.ingest_bytes),
        quotas=Quotas(
            settings.ingest_agent_quota / settings.workers,
            settings.ingest_client_quota / settings.workers,
            time.monotonic,
        ),
        upkeep=Upkeep(database, settings.telemetry_days, clock),
        heartbeat_interval=settings.heartbeat_interval,
        exports=Exports(database),
        live=Live(database, clock),
    )
