"""Settings: the environment as it may come, and what is said about each wrong value."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from server.settings import Settings, SettingsError, read_settings, unknown_settings, variable
from tools import server_settings

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()


@pytest.mark.parametrize("key", [KEY, KEY + "="])
def test_a_secret_key_may_have_padding_or_not(key: str) -> None:
    assert read_settings({"FLAGEE_SECRET_KEY": key}).key() == bytes(range(32))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FLAGEE_DATABASE_URL", "mysql://host/database", "postgresql://"),
        ("FLAGEE_DATABASE_URL", "sqlite://", "sqlite:///"),
        ("FLAGEE_DATABASE_URL", "sqlite:///:memory:", "sqlite:///"),
        ("FLAGEE_DATABASE_TIMEOUT", "0", "greater than 0"),
        ("FLAGEE_SECRET_KEY", "short", "openssl rand"),
        ("FLAGEE_SECRET_KEY", "not base64 at all, but long enough!!", "openssl rand"),
        ("FLAGEE_SECRET_KEY", "ção" * 20, "openssl rand"),
        ("FLAGEE_PUBLIC_URL", "control.example.com", "https://"),
        ("FLAGEE_PUBLIC_URL", "http://control.example.com", "FLAGEE_INSECURE=true"),
        ("FLAGEE_PUBLIC_URL", "http://10.0.0.1:8080", "must be https"),
        ("FLAGEE_PUBLIC_URL", "https://control.example.com/?a=b", "https://"),
        ("FLAGEE_PUBLIC_URL", "https://control.example.com/'\n", "https://"),
        ("FLAGEE_CLIENT_IMAGE", "two words", "not a reference to an image"),
        ("FLAGEE_INSECURE", "perhaps", "boolean"),
        ("FLAGEE_TRUSTED_PROXIES", "-1", "greater than or equal to 0"),
        ("FLAGEE_BIND", "8080", "HOST:PORT"),
        ("FLAGEE_BIND", "127.0.0.1:http", "HOST:PORT"),
        ("FLAGEE_BIND", "127.0.0.1:99999", "HOST:PORT"),
        ("FLAGEE_TLS_KEY", "-----BEGIN PRIVATE KEY-----\nhunter2", "give its path"),
        ("FLAGEE_TLS_CERTIFICATE", "-----BEGIN CERTIFICATE-----", "give its path"),
        ("FLAGEE_WORKERS", "two", "integer"),
        ("FLAGEE_LOG_LEVEL", "loud", "'info'"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert said in str(caught.value)


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)FLAGEE_BIND: .*FLAGEE_THREADS: "):
        read_settings({"FLAGEE_BIND": "x", "FLAGEE_THREADS": "0"})


def test_a_certificate_and_its_key_are_set_together() -> None:
    both = {"FLAGEE_TLS_CERTIFICATE": "/c", "FLAGEE_TLS_KEY": "/k"}
    assert read_settings(both).tls_key == Path("/k")
    for name, value in both.items():
        [other] = both.keys() - {name}
        with pytest.raises(SettingsError, match=f"^{other}: {name} is set without it; set both or none$"):
            read_settings({name: value})


@pytest.mark.parametrize(
    "environ",
    [
        {"FLAGEE_PUBLIC_URL": "https://control.example.com"},
        {"FLAGEE_PUBLIC_URL": "http://127.0.0.1:8080"},
        {"FLAGEE_PUBLIC_URL": "http://[::1]:8080"},
        {"FLAGEE_PUBLIC_URL": "http://localhost"},
        {"FLAGEE_PUBLIC_URL": "http://control.example.com", "FLAGEE_INSECURE": "true"},
    ],
)
def test_a_public_address_without_tls_is_for_loopback_or_on_purpose(environ: Mapping[str, str]) -> None:
    assert read_settings(environ).public_url == environ["FLAGEE_PUBLIC_URL"]


def test_a_value_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert read_settings({"FLAGEE_SECRET_KEY_FILE": str(tmp_path / "key")}).key() == bytes(range(32))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"FLAGEE_SECRET_KEY_FILE: cannot read .*none: No such file"):
        read_settings({"FLAGEE_SECRET_KEY_FILE": str(tmp_path / "none")})


def test_a_value_and_a_file_for_the_same_setting_are_refused() -> None:
    with pytest.raises(SettingsError, match="FLAGEE_BIND and FLAGEE_BIND_FILE are both set"):
        read_settings({"FLAGEE_BIND": "127.0.0.1:1", "FLAGEE_BIND_FILE": "/dev/null"})


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read_settings({"FLAGEE_BIND": "", "FLAGEE_SECRET_KEY_FILE": ""}) == Settings()


def test_a_mistyped_setting_is_noticed() -> None:
    environ = {"FLAGEE_DATABSE_URL": "x", "FLAGEE_SECRET_KEY_FILE": "y", "FLAGEEMONITOR_REDE": "z", "HOME": "/"}
    assert unknown_settings(environ) == ["FLAGEE_DATABSE_URL is not a setting; did you mean FLAGEE_DATABASE_URL?"]


@pytest.mark.parametrize("name", ["FLAGEE_TEST_CACHE", "FLAGEE_X", "FLAGEE_"])
def test_a_setting_that_is_unlike_the_name_is_not_suggested(name: str) -> None:
    assert unknown_settings({name: "x"}) == [f"{name} is not a setting"]


def test_settings_print_no_secret() -> None:
    settings = read_settings({"FLAGEE_SECRET_KEY": KEY, "FLAGEE_DATABASE_URL": "postgresql://u:hunter2@host/database"})
    assert KEY not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_wrong_values_are_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"FLAGEE_SECRET_KEY": "hunter2", "FLAGEE_DATABASE_URL": "mysql://u:hunter2@host/database"})
    assert "hunter2" not in str(caught.value)


def test_the_published_document_is_current() -> None:
    path = Path(__file__).parents[3] / "docs" / "settings.md"
    assert path.read_text(encoding="utf-8") == server_settings.render()


def test_the_document_has_a_row_for_every_setting() -> None:
    rows = [line for line in server_settings.render().splitlines() if line.startswith("| `FLAGEE_")]
    assert [row.split("`")[1] for row in rows] == [variable(name) for name in Settings.model_fields]
