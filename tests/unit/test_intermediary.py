"""What answers instead of a server that speaks JSON is told apart by type and shape, and shown by its title alone."""

import pytest

from runtime.adapters import intermediary

SIGN_IN = b"""<!DOCTYPE html>
<html><head><title>Acesso &agrave; rede
 de visitantes</title></head><form><input type="password" name="p"></form>"""

PAGES = {
    "a sign-in page": (
        200,
        "text/html",
        SIGN_IN,
        'a sign-in page titled "Acesso à rede de visitantes" (HTTP 200, text/html)',
    ),
    "a sign-in page that says it is JSON": (
        200,
        "application/json",
        SIGN_IN,
        'a sign-in page titled "Acesso à rede de visitantes" (HTTP 200, application/json)',
    ),
    "a page behind a comment and a byte order mark": (
        200,
        "",
        b"\xef\xbb\xbf \n<!-- made by x --><html><title>Blocked</title>",
        'a web page titled "Blocked" (HTTP 200)',
    ),
    "a proxy's error page": (
        502,
        "text/html; charset=utf-8",
        b"<html><head><title>502 Bad Gateway</title></head><center>nginx</center>",
        'an error page titled "502 Bad Gateway" (HTTP 502, text/html)',
    ),
    "a proxy's login": (407, "", b"", "a proxy that asks for a login of its own (HTTP 407)"),
    "a page without text": (200, "text/html", b"", "a web page (HTTP 200, text/html)"),
    "a title with control characters": (
        503,
        "text/html",
        b"<title>\x1b[31mno\xe2\x80\xae way\x00</title>",
        'an error page titled "[31mno way" (HTTP 503, text/html)',
    ),
    "an XML page": (
        403,
        "text/xml",
        b"<?xml version='1.0'?><!DOCTYPE html><html>",
        "an error page (HTTP 403, text/xml)",
    ),
    "JSON": (200, "application/json", b'{"network": "ACME"}', ""),
    "JSON that is called a page": (200, "text/html", b'{"jsonrpc": "2.0"}', ""),
    "a problem": (403, "application/problem+json", b'{"title": "<html>"}', ""),
    "another XML": (200, "text/xml", b"<?xml version='1.0'?><feed/>", ""),
    "nothing": (204, "", b"", ""),
}


@pytest.mark.parametrize(("status", "kind", "body", "what"), PAGES.values(), ids=PAGES)
def test_a_page_is_reported_by_its_kind(status: int, kind: str, body: bytes, what: str) -> None:
    found = intermediary.page(status, kind, body)
    assert (found.what if found else "") == what


def test_a_page_of_any_size_is_classified_by_its_beginning() -> None:
    for filler in (b"<title>", b"<title", b"type=", b"type" + b" " * 999):
        found = intermediary.page(200, "text/html", b"<html>" + filler * 200_000)
        assert found is not None
        assert (found.what, found.title) == ("a web page (HTTP 200, text/html)", "")


FORM = b"<html><title>Hotspot</title><form><input type=password></form>"
ERROR = b"<html><head><title>Error &amp; more</title></head><p>Log in to the portal to see more</p>"
BETWEEN = {
    "a page as a success": (200, ERROR, True),
    "a page as another success": (203, ERROR, True),
    "a proxy's login": (407, ERROR, True),
    "a network's sign-in": (511, ERROR, True),
    "a network's sign-in without a page": (511, b"", True),
    "a form for a password": (403, FORM, True),
    "a form for a password, unavailable": (503, FORM, True),
    "a page that is not there, with a form for a password": (404, FORM, False),
    **{f"an error page with {status}": (status, ERROR, False) for status in (400, 401, 403, 404, 429, 500, 502, 503)},
}


@pytest.mark.parametrize(("status", "body", "between"), BETWEEN.values(), ids=BETWEEN)
def test_only_a_page_that_no_web_server_sends_itself_is_reported_as_intercepted(
    status: int, body: bytes, between: bool
) -> None:
    found = intermediary.page(status, "text/html", body)
    assert found is not None
    assert found.between is between


def test_a_page_of_an_unknown_sender_is_shown_by_its_title() -> None:
    found = intermediary.page(502, "text/html", ERROR)
    assert found is not None
    assert found.unclear == 'a page titled "Error & more": the server\'s own web server or something before it'


SERVICES = {
    "our own": ("application/json", b'{"network": "ACME"}', ""),
    "another": ("application/json", b'{"status": "ok"}', "the JSON of another service"),
    "a list": ("application/json", b"[]", "the JSON of another service"),
    "text": ("text/plain", b"It works!", "text instead of JSON (text/plain)"),
    "our own, cut": ("application/json", b'{"sch', ""),
    "our own, cut, as text": ("text/plain", b' {"sch', ""),
    "brackets without end": ("application/json", b"[" * 100_000, ""),
}


@pytest.mark.parametrize(("kind", "body", "what"), SERVICES.values(), ids=SERVICES)
def test_another_service_is_distinguished_from_a_truncated_answer(kind: str, body: bytes, what: str) -> None:
    assert intermediary.other_service(kind, body, (b"network", b"PARAM_")) == what


REDIRECTS = {
    "a portal": ("http://portal.guest.example/?to=x", "a redirect to a sign-in page at portal.guest.example"),
    "a login": ("https://sso.example/auth/login", "a redirect to a sign-in page at sso.example"),
    "the same server": ("https://control.example/login", ""),
    "another server": ("https://www.example/", ""),
    "nowhere": ("http://[::1", ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("location", "what"), REDIRECTS.values(), ids=REDIRECTS)
def test_a_redirect_to_a_sign_in_page_is_distinguished_from_a_moved_address(location: str, what: str) -> None:
    assert intermediary.sign_in_redirect("https://control.example/api", location) == what


def test_a_proxy_that_refuses_the_connection_is_quoted() -> None:
    said = intermediary.refused_tunnel("OSError: Tunnel connection failed: 407 Proxy Authentication\x1b Required")
    assert said == "the proxy does not connect (407 Proxy Authentication Required)"
    assert intermediary.refused_tunnel("Connection refused") == ""
