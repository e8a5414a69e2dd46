"""The configuration's way from the operator to the proxy, over HTTP with a token, and what happens when it is barred."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e import plane as control_plane
from tests.e2e.conftest import NewSite
from tests.e2e.plane import Plane
from tests.e2e.site import TILL, Site, set_token
from tests.harness import zabbix
from tests.harness.fixtures import StartTerminal


@pytest.fixture(params=["sqlite", "postgresql"])
def either_site(
    request: pytest.FixtureRequest, zabbix_running: zabbix.Zabbix, new_site: NewSite, tmp_path: Path
) -> Iterator[Site]:
    """A network at a control plane on each database."""
    if request.param == "sqlite":
        yield new_site()
        return
    database = request.getfixturevalue("postgres_url")
    with control_plane.running(tmp_path, database) as plane:
        plane.add_network("LOJAS")
        yield Site("LOJAS", plane, zabbix_running, tmp_path, plane.token(), plane.url)


def fetches(plane: Plane) -> list[int]:
    """The status of every answer to a fetch; 304 is not logged."""
    return [line["status"] for line in plane.log() if line.get("path") == "/api/ingest/bot/config"]


def test_a_document_is_fetched_once_confirmed_then_and_replaced_when_it_changes(either_site: Site) -> None:
    site = either_site
    site.publish()
    token = site.plane.token("--network", site.code, "--expires", "1d")
    proxy = site.install(token=token)
    before = len(fetches(site.plane))
    first = proxy.run("config", "refresh", "--output", "json")
    assert (first.code, first.json["reason"], first.json["changed"]) == (0, "updated", True)
    path = proxy.config / "config_bot.json"
    assert path.read_bytes() == json.dumps(site.document()).encode()
    assert path.stat().st_mode & 0o777 == 0o600

    second = proxy.run("config", "refresh", "--output", "json")
    assert (second.code, second.json["reason"], second.json["changed"]) == (0, "unchanged", False)
    assert fetches(site.plane)[before:] == [200]
    headers = {"X-Bot-Token": token, "If-None-Match": second.json["etag"]}
    answer = requests.get(f"{site.url}/api/ingest/bot/config?rede={site.code}", headers=headers, timeout=30)
    assert (answer.status_code, answer.content) == (304, b"")

    site.publish(timezone="America/Recife")
    third = proxy.run("config", "refresh", "--output", "json")
    assert (third.json["reason"], third.json["etag"] != second.json["etag"]) == ("updated", True)

    site.plane.command("token", "revoke", token.split(".")[1])
    fourth = proxy.run("config", "refresh", "--output", "json")
    assert (fourth.code, fourth.json["reason"], fourth.json["status"]) == (1, "refused", 403)
    assert path.read_bytes() == json.dumps(site.document(timezone="America/Recife")).encode()


def test_after_a_revocation_the_last_valid_document_stays_and_runs_continue(
    site: Site, start_terminal: StartTerminal
) -> None:
    host = site.add_host("LOJA001-PDV201", start_terminal(TILL).address)
    site.publish()
    token = site.plane.token("--network", site.code)
    proxy = site.install(token=token)
    assert proxy.run("config", "refresh").code == 0
    site.plane.command("token", "revoke", token.split(".")[1])

    refused = proxy.run("config", "refresh", "--output", "json")
    assert (refused.code, refused.json["in_force"]) == (1, True)
    assert "revoked" in refused.json["message"]
    # The proxy's question can be found at the control plane by its correlation id.
    (line,) = [line for line in site.plane.log() if line.get("correlation_id") == refused.json["correlation_id"]]
    assert (line["status"], line["reason"]) == (403, "token_revoked")
    said = proxy.run("test_endpoint_connection", "--host", host, "--output", "json")
    assert (said.code, said.outcomes) == (0, {host: "ok done"})


def test_a_wrong_token_never_gets_a_document_and_a_right_one_does_at_once(site: Site, new_site: NewSite) -> None:
    site.publish()
    other = new_site().code
    wrong = [
        (site.plane.token("--network", other), 403, "network"),
        (site.plane.token("--network", site.code, "--scope", "ingest"), 403, "scope"),
        ("fm1.0123456789ab." + "A" * 43, 401, "not known"),
        ("password", 401, "not a token"),
    ]
    proxy = site.install()
    for token, status, word in wrong:
        set_token(proxy, token)
        refused = proxy.run("config", "refresh", "--output", "json")
        assert (refused.code, refused.json["reason"], refused.json["status"]) == (3, "refused", status)
        assert word in refused.json["message"]
        assert not refused.json["in_force"]
    nothing = proxy.run("diagnose_env", "--all", "--output", "json")
    assert (nothing.code, nothing.json["error"]["reason"]) == (3, "no_configuration")

    (proxy.config / "token").unlink()
    asked = len(site.plane.log())
    missing = proxy.run("config", "refresh", "--output", "json")
    assert (missing.code, missing.json["reason"]) == (3, "unavailable")
    assert "token file" in missing.json["message"]
    assert len(site.plane.log()) == asked

    set_token(proxy, site.token)
    assert proxy.run("config", "refresh").code == 0
