"""Nothing that is stored, printed or logged lets anybody try guesses of a weak secret inside a configuration."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from server.storage.crypto import Vault
from server.storage.schema import upgrade
from server.storage.session import open_database
from tests.harness.control_plane import CLIENT, ControlPlane, document, empty, prepared

PATH = "/api/ingest/bot/config"
PASSWORD = "hunter2"
RAW = document("SOL", credentials=[{"id": "main", "user": "root", "password": PASSWORD}])
CANONICAL = json.dumps(json.loads(RAW), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
HASHES = ("sha256", "sha1", "sha512", "md5", "blake2b", "blake2s", "sha3_256")


def digests(*texts: bytes) -> Iterator[bytes]:
    """Beginnings of every digest of these, as it might be written: bytes, hex in both cases, Base64."""
    for name in HASHES:
        for one in texts:
            digest = hashlib.new(name, one).digest()
            for form in (digest, digest.hex().encode(), digest.hex().upper().encode(), base64.b64encode(digest)):
                yield form[:10]  # a shortened one is as good for guessing
    for size in (8, 16, 32):
        for one in texts:
            yield hashlib.blake2b(one, digest_size=size).digest()


FORBIDDEN = [
    PASSWORD.encode(),
    *digests(RAW, RAW.strip(), CANONICAL.encode(), json.dumps(json.loads(RAW)).encode(), PASSWORD.encode()),
]


def found_in(places: Iterable[bytes]) -> list[bytes]:
    whole = b"\0".join(places)
    return [one for one in FORBIDDEN if one in whole]


def test_the_test_would_find_a_digest() -> None:
    for one in (hashlib.sha256(CANONICAL.encode()).hexdigest()[:12], hashlib.md5(RAW).hexdigest()):  # noqa: S324
        assert found_in([one.encode()])


def test_no_digest_is_in_the_database_its_log_or_any_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plane = prepared(tmp_path)
    said = [
        plane.run(*words, stdin=RAW).output
        for form in ("text", "json")
        for words in (
            ("config", "set", CLIENT, "SOL", "-", "--output", form),
            ("config", "set", CLIENT, "SOL", "-", "--output", form),
            ("config", "show", CLIENT, "SOL", "--output", form),
            ("config", "validate", "-", "--output", form),
            ("config", "validate", "-", "--client", CLIENT, "--network", "SOL", "--output", form),
            ("token", "list", "--output", form),
        )
    ]
    headers = {"X-Bot-Token": plane.token()}
    with plane.app(LOG_LEVEL="debug") as app:
        answer = app.test_client().get(f"{PATH}?rede=SOL", headers=headers)
        assert answer.data == RAW
        said += [str(answer.headers), app.test_client().get("/health").text]
        again = app.test_client().get(f"{PATH}?rede=SOL", headers={**headers, "If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert files.keys() >= {"flagee.db", "flagee.db-wal"}
    said.append(capfd.readouterr().err)
    assert "request" in said[-1], "the log was looked at"
    assert found_in([*files.values(), *(one.encode() for one in said)]) == []


def old_database(folder: Path, url: str | None) -> ControlPlane:
    """As release 1 left it, with one configuration."""
    plane = empty(folder, url)
    database = open_database(plane.settings().database_url, timeout=5)
    upgrade(database, "0002")
    key = plane.settings().key()
    assert key is not None
    digest = hashlib.sha256(CANONICAL.encode()).hexdigest()
    with database.writing() as session:
        for row in (
            "INSERT INTO clients (id, name, created_at) VALUES (1, 'Mercado Sol', '2026-01-01 12:00:00')",
            "INSERT INTO networks (id, client_id, code, created_at) VALUES (1, 1, 'SOL', '2026-01-01 12:00:00')",
        ):
            session.execute(text(row))
        for version in (1, 2, 3):
            session.execute(
                text(
                    "INSERT INTO configurations (network_id, version, digest, key_id, sealed, created_at) "
                    "VALUES (1, :version, :digest, :key, :sealed, '2026-01-01 12:00:00')"
                ),
                {
                    "version": version,
                    "digest": digest,
                    "key": Vault(key).key_id,
                    "sealed": Vault(key).seal(RAW, f"configuration/1/{version}/{digest}"),
                },
            )
    database.close()
    return plane


def everything_stored(plane: ControlPlane) -> list[bytes]:
    url = plane.environ["FLAGEE_DATABASE_URL"]
    if url.startswith("sqlite"):
        return [path.read_bytes() for path in plane.folder.glob("flagee.db*")]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute(
            "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row
    return [path.read_bytes() for path in Path(row[0]).iterdir() if path.is_file()]


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> ControlPlane:
    return old_database(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


def test_0003_leaves_no_digest_behind_and_serves_what_was_stored(old: ControlPlane) -> None:
    assert found_in(everything_stored(old)), "the old database has digests"
    old.must("init-db")
    assert found_in(everything_stored(old)) == []
    with old.app() as app:
        answer = app.test_client().get(PATH, headers={"X-Bot-Token": old.token()})
        assert (answer.status_code, answer.data) == (200, RAW)
    told = json.loads(old.must("config", "set", CLIENT, "SOL", "-", "--output", "json", stdin=RAW))
    assert (told["changed"], told["version"], told["etag"]) == (False, 3, answer.headers["ETag"])
    assert json.loads(old.must("config", "show", CLIENT, "SOL", "--output", "json"))["etag"] == told["etag"]


def test_0003_gives_every_version_an_etag_of_its_own(old: ControlPlane) -> None:
    old.must("init-db")
    database = open_database(old.settings().database_url, timeout=5)
    with database.reading() as connection:
        etags: Sequence[str] = connection.execute(text("SELECT etag FROM configurations")).scalars().all()
    database.close()
    assert len(set(etags)) == 3
    assert all(len(etag) == 32 and set(etag) <= set("0123456789abcdef") for etag in etags)


def test_0003_needs_no_secret_key(old: ControlPlane) -> None:
    assert old.run("init-db", SECRET_KEY="").exit_code == 0
    assert json.loads(old.must("config", "show", CLIENT, "SOL", "--output", "json"))["version"] == 3


def test_init_db_says_when_the_old_content_cannot_be_removed_yet_and_tries_again(tmp_path: Path) -> None:
    plane = old_database(tmp_path, None)
    reader = open_database(plane.settings().database_url, timeout=5)
    with reader.reading() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT count(*) FROM clients").one()
        refused = plane.run("init-db", DATABASE_TIMEOUT="0.2")
        connection.exec_driver_sql("ROLLBACK")
    reader.close()
    assert refused.exit_code == 1
    assert "stop flagee-server" in refused.stderr
    plane.must("init-db")
    assert found_in(everything_stored(plane)) == []
