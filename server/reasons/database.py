"""Rows of :mod:`server.reasons.table` about the database and the health answer; everybody takes them from there."""

from __future__ import annotations

from contracts.text import say
from server.reasons.row import Row

# What the database says: `cause` in the log, last_failed in the health answer, messages of commands.
LOCKED = Row("locked", None, "database", say("it is locked by another process"), say("end that process, or try again"))
READ_ONLY = Row(
    "read_only",
    503,
    "database",
    say("it cannot be written"),
    say("check the owner and mode of the file and of its folder"),
    "the server's database takes no writes and nothing was stored; the server's log says why",
)
DISK_FULL = Row(
    "disk_full",
    503,
    "database",
    say("the disk is full"),
    say("free some space"),
    "the server's disk is full and nothing was stored; try again when its operator has freed space",
)
DATABASE_REPLACED = Row(
    "database_replaced",
    503,
    "database",
    say("its file was replaced or removed while it was in use"),
    say("see that the right file is there, then restart the server"),
    "the server's database file was replaced or removed while it was in use; "
    "nothing is served or stored until the server's operator has restarted it",
)
IO_ERROR = Row("io_error", None, "database", say("reading or writing failed"), say("check the disk and its free space"))
CANNOT_OPEN = Row(
    "cannot_open",
    None,
    "database",
    say("it cannot be opened"),
    say("check that the folder exists, and the owner and mode of both"),
)
DAMAGED = Row(
    "damaged", None, "database", say("it is damaged"), say("restore a backup with: flagee-server restore FILE")
)
NOT_A_DATABASE = Row(
    "not_a_database", None, "database", say("it is not an SQLite database"), say("check FLAGEE_DATABASE_URL")
)
ACCESS_DENIED = Row(
    "access_denied",
    None,
    "database",
    say("access is denied"),
    say("check the owner and mode of the file and of its folder"),
)
UNREACHABLE = Row(
    "unreachable",
    None,
    "database",
    say("it cannot be reached: {error}"),
    say("check that it runs, and FLAGEE_DATABASE_URL"),
)
DATABASE_ABSENT = Row(
    "database_absent",
    None,
    "database",
    say("there is no database at {path}"),
    say("run: flagee-server init-db (or correct FLAGEE_DATABASE_URL)"),
)
BACKUP_IN_PLACE = Row(
    "backup_in_place",
    None,
    "database",
    say(
        "the file {path} is a backup that was copied there by hand, and nothing was changed. "
        "With it, tokens that were revoked since would work again"
    ),
    say("rename it, and put it in place with: flagee-server restore FILE"),
)

# What the health and ready answers add.
SCHEMA_ABSENT = Row(
    "schema_absent", None, "health", say("the database has not been set up"), say("run: flagee-server init-db")
)
SCHEMA_BEHIND = Row(
    "schema_behind",
    None,
    "health",
    say("the database is at revision {revision}, this version needs {head}"),
    say("run: flagee-server init-db"),
)
SCHEMA_NEWER = Row(
    "schema_newer",
    None,
    "health",
    say("the database is at revision {revision}, which this version does not know"),
    say("install the newer version"),
)
WRITE_FAILED = Row(
    "write_failed",
    None,
    "health",
    "the last write to the database failed, and none has succeeded since",
    "see last_failed in the health answer, and the server's log",
)
DISK_NEARLY_FULL = Row(
    "disk_nearly_full",
    None,
    "health",
    say("{disk} where the database is"),
    say("free some space; on a full disk writes fail"),
)
DISK_READ_ONLY = Row(
    "disk_read_only",
    None,
    "health",
    say("the volume of the database is mounted read-only"),
    say("mount it for writing"),
)
