"""Who may come in: the access key, the Host, the origin of a change, and what answers carry."""

import pytest
from rig import call

from firsthand import config
from firsthand.errors import Failed
from firsthand.vault.vault import Vault
from firsthand.web.server import Server

PAGES = ("/", "/runs", "/report", "/people/x", "/people/x/days/2026-11-01", "/openapi.json")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_without_the_key_is_locked(home, path):
    answer = call(home.server.url, "GET", path)
    assert answer.status == 401
    assert "access key" in answer.text


def test_footage_without_the_key_is_locked(home):
    path = f"/people/{home.ana.id}/segments/{home.footage()[0].id}/still"
    assert call(home.server.url, "GET", path).status == 401


def test_the_key_is_exchanged_for_a_cookie_and_leaves_the_address(home):
    answer = call(home.server.url, "GET", "/runs?key=the-access-key&a=1")
    assert (answer.status, answer.headers["location"]) == (303, "/runs?a=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "the-access-key" not in cookie


def test_the_key_never_sends_the_browser_to_another_host(home):
    answer = call(home.server.url, "GET", "//evil.example/?key=the-access-key")
    assert not answer.headers.get("location", "/").startswith("//")


@pytest.mark.parametrize("key", ["wrong", "", "the-access-ke%C3%BF"])
def test_a_wrong_key_or_cookie_is_locked_out(home, key):
    assert call(home.server.url, "GET", f"/?key={key}").status == 401
    name = home.cookie()["Cookie"].split("=")[0]
    assert call(home.server.url, "GET", "/", None, {"Cookie": f"{name}={key}"}).status == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
def test_a_foreign_host_name_is_refused(home, host):
    for path in ("/", "/healthz", "/api/device"):
        assert call(home.server.url, "GET", path, None, {"Host": host}).status == 403


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:9"])
def test_loopback_names_are_ours(home, host):
    assert call(home.server.url, "GET", "/healthz", None, {"Host": host}).status == 200


def test_the_configured_host_is_ours_and_a_wildcard_takes_addresses_only(tmp_path):
    config.mark(tmp_path / "data", "real")
    settings = config.load(
        tmp_path / "data", {}, host="0.0.0.0", vault_url="http://vault.example:80"
    )
    vault = Vault(settings)
    with Server(vault, "127.0.0.1", 0, None).background() as server:
        for host, status in (
            ("vault.example", 200),
            ("10.1.2.3:8707", 200),
            ("other.example", 403),
        ):
            answer = call(server.url, "GET", "/healthz", None, {"Host": host})
            assert answer.status == status, host
    vault.close()


def test_every_change_from_another_site_is_refused(home):
    ana, consent = home.ana.id, home.consent.id
    paths = (
        f"/people/{ana}/consents/{consent}/withdraw",
        f"/people/{ana}/rules",
        f"/people/{ana}/withhold",
        f"/people/{ana}/withhold/{home.kept.id}/lift",
        f"/runs/{home.run.id}/answer",
    )
    for path in paths:
        for site in ("cross-site", "same-site", "none"):
            answer = home.post(path, {}, **{"Sec-Fetch-Site": site})
            assert (answer.status, "another site" in answer.text) == (403, True), path
        headers = home.cookie() | {"Origin": "http://evil.example"}
        assert call(home.server.url, "POST", path, b"", headers).status == 403
        assert call(home.server.url, "POST", path, b"", home.cookie()).status == 403


def test_a_change_with_our_own_origin_is_let_in_where_the_browser_sends_no_site(home):
    headers = home.cookie() | {"Origin": home.server.url}
    answer = call(home.server.url, "POST", f"/runs/{home.run.id}/answer", b"", headers)
    assert "another site" not in answer.text


@pytest.mark.parametrize("path", ["/", "/nowhere", "/healthz", "/api/device", "/static/style.css"])
def test_every_answer_carries_the_security_headers(home, path):
    headers = home.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"


def test_an_unforeseen_error_shows_no_inside(home, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a secret in a message")

    monkeypatch.setattr(home.vault, "people", fail)
    answer = call(home.server.url, "GET", "/healthz")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_port_in_use_is_a_clear_error(vault, server):
    with pytest.raises(Failed, match="cannot listen") as caught:
        Server(vault, "127.0.0.1", server.port)
    assert "--port" in caught.value.hint


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70_000)])
def test_an_impossible_address_is_a_clear_error(vault, host, port):
    with pytest.raises(Failed, match="cannot listen"):
        Server(vault, host, port)
