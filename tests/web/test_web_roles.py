"""Who may open which page: every address for every role, and what is not in the table is closed."""

import importlib
import pkgutil
import re

import pytest
from rig import call

from firsthand import web
from firsthand.consent import people
from firsthand.consent.access import askers, viewing
from firsthand.consent.access.askers import KEEPER, Asker
from firsthand.errors import Refused
from firsthand.web import roles
from firsthand.web.guard import OPEN, PUBLIC

ROLES = ("wearer", "reviewer", "organisation")


def pages() -> list[tuple[str, str]]:
    """(method, address) of every page that stands behind a key."""
    found = [("GET", "/openapi.json")]
    for module in pkgutil.iter_modules(web.__path__):
        router = getattr(importlib.import_module(f"firsthand.web.{module.name}"), "router", None)
        for route in router.routes if router else ():
            if route.path != PUBLIC and not route.path.startswith(OPEN):
                found += [(method, route.path) for method in sorted(route.methods - {"HEAD"})]
    return found


def may(asker: Asker, method: str, path: str, keyed=lambda _: False) -> bool:
    try:
        roles.require(asker, method, path, keyed)
    except Refused:
        return False
    return True


def fill(path: str, person: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: person if m[1] == "person" else f"x-{m[1]}", path)


def test_every_page_is_closed_to_another_wearer(home):
    ana = Asker("k-1", "ana", "wearer", home.ana.id)
    listed = pages()
    assert len(listed) > 25
    for method, path in listed:
        if "{person}" in path:
            assert may(ana, method, fill(path, home.ana.id)), path
            for other in (home.bo.id, "ana", home.ana.id + "x", "%2e%2e"):
                assert not may(ana, method, fill(path, other)), (path, other)


def test_footage_and_consents_are_closed_to_all_who_are_not_their_wearer(home):
    for role in ("reviewer", "organisation"):
        asker = Asker("k-1", role, role)
        for method, path in pages():
            if path.startswith("/people/{person}") and "/devices" not in path:
                assert not may(asker, method, fill(path, home.ana.id)), (role, path)
            if method == "POST" and path.startswith("/runs"):
                assert not may(asker, method, fill(path, "x")), (role, path)


def test_the_table_as_a_whole(home):
    """What each role opens, counted: a new page is closed until somebody decides."""
    opens = {
        role: {
            f"{method} {path}"
            for method, path in pages()
            if may(Asker("k-1", role, role, home.ana.id if role == "wearer" else ""), method,
                   fill(path, home.ana.id))
        }
        for role in ROLES
    }  # fmt: skip
    assert "GET /" not in opens["wearer"] | opens["reviewer"]
    assert {each for each in opens["reviewer"] if "/views" not in each} == set()
    assert "GET /report/file" in opens["organisation"]
    assert "GET /openapi.json" not in set().union(*opens.values())
    assert not any("/views" in each and "{person}" not in each for each in opens["wearer"])


def test_the_keeper_acts_for_whoever_has_no_key_and_for_nobody_else():
    keyed = {"ana"}.__contains__
    for path in ("/people/ana", "/people/ana/days/2026-11-01", "/people/ana/withhold"):
        assert not may(KEEPER, "POST", path, keyed)
    for path in ("/", "/people/bo", "/people/ana/devices", "/people/ana/devices/code", "/views"):
        assert may(KEEPER, "POST", path, keyed)


# --- over HTTP, with real keys


@pytest.fixture(scope="module")
def keys(home):
    """A key for bo, two reviewers and an office, as cookies; given once for this file."""
    made = {}
    with home.vault.db.write() as connection:
        for name, role, person in (
            ("bo", "wearer", home.bo),
            ("eve", "reviewer", None),
            ("fred", "reviewer", None),
            ("dr", "reviewer", None),
            ("office", "organisation", None),
        ):
            _, key = askers.give(connection, name, role, person=person)
            made[name] = key
    cookies = {}
    for name, key in made.items():
        answer = call(home.server.url, "GET", f"/?key={key}")
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert key not in answer.headers["set-cookie"]
        cookies[name] = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
    return cookies


def get(home, cookie, path):
    return call(home.server.url, "GET", path, None, cookie)


def post(home, cookie, path, form):
    return home.post(path, form, **cookie)


def test_a_wearers_key_opens_their_own_pages_alone(home, keys):
    bo = keys["bo"]
    assert get(home, bo, "/").headers["location"] == f"/people/{home.bo.id}"
    assert get(home, bo, f"/people/{home.bo.id}").status == 200
    own = get(home, bo, f"/runs/{home.run.id}").text
    assert ">bo<" in own
    assert ">ana<" not in own
    segment = home.footage()[0].id
    for path in (
        f"/people/{home.ana.id}",
        f"/people/{home.ana.id}/days/2026-11-01",
        f"/people/{home.ana.id}/segments/{segment}/still",
        f"/people/{home.bo.id}/segments/{segment}/still",
        "/people/ana",
        "/views",
        "/metrics",
        "/report",
    ):
        assert get(home, bo, path).status in (403, 404), path
    form = {"person": home.ana.id, "choice": "no"}
    assert post(home, bo, f"/runs/{home.run.id}/answer", form).status == 403
    assert post(home, bo, f"/people/{home.ana.id}/withhold", {}).status == 403


def test_the_office_learns_how_many_said_yes_and_not_who(home, keys):
    page = get(home, keys["office"], f"/runs/{home.run.id}").text
    assert "2 people have decided" in page
    for words in (">ana<", ">bo<", home.ana.id, home.bo.id):
        assert words not in page


def test_from_their_first_key_on_nobody_else_acts_for_a_wearer(home, keys):
    assert home.get(f"/people/{home.bo.id}").status == 403
    assert home.get("/people/bo").status == 403
    form = {"person": home.bo.id, "choice": "yes"}
    assert home.post(f"/runs/{home.run.id}/answer", form).status == 403
    assert home.get(f"/people/{home.ana.id}").status == 200
    assert home.get("/").status == 200


def test_a_device_is_enrolled_for_a_wearer_by_themselves_once_they_are_set_up(home, keys):
    """As their other acts: a device can have a day's footage erased in its wearer's name."""
    code = "enrol "
    with home.vault.db.write() as connection:
        fay = people.add(connection, "fay", "sim")
    new, ana, bo = (f"/people/{each.id}/devices" for each in (fay, home.ana, home.bo))
    office, keeper = keys["office"], {}
    for who, path, may in (
        (office, new, True),  # who sets a new volunteer up
        (office, ana, False),  # of whom something is recorded
        (office, bo, False),  # who has a key
        (keeper, new, True),
        (keeper, ana, True),
        (keeper, bo, False),
        (keys["bo"], bo, True),
        (keys["bo"], ana, False),
        (keys["eve"], new, False),
    ):
        answer = post(home, who, f"{path}/code", {})
        assert answer.status == (200 if may else 403), (who, path)
        assert (code in answer.text) == may
        if who != keys["eve"] and (who, path) != (keys["bo"], ana):
            button = 'action="' + path + '/code"'
            shown = home.get(path) if who is keeper else get(home, who, path)
            assert (button in shown.text) == may, (who, path)
    with home.vault.db.write() as connection:
        askers.give(connection, "fay", "wearer", person=fay)
    assert post(home, office, f"{new}/code", {}).status == 403


def test_a_revoked_key_opens_nothing_at_once(home):
    with home.vault.db.write() as connection:
        _, key = askers.give(connection, "lost", "organisation")
    answer = call(home.server.url, "GET", f"/runs?key={key}")
    cookie = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
    assert get(home, cookie, "/runs").status == 200
    with home.vault.db.write() as connection:
        askers.revoke(connection, "lost")
    assert get(home, cookie, "/runs").status == 401
    assert call(home.server.url, "GET", f"/runs?key={key}").status == 401


def test_four_eyes_over_http_and_each_byte_has_an_earlier_entry(home, keys):
    from firsthand import log
    from firsthand.consent.capture import review
    from firsthand.consent.terms import consents

    first = home.footage()[0]
    with home.vault.db.write() as connection:
        consents.give(connection, home.ana, ["human-view"])
        review.reviewed(connection, home.ana)
    form = {"person": home.ana.id, "start": "2026-11-01T08:00:00", "stop": "2026-11-01T08:04:00"}
    form |= {"why": "a fall in the kitchen", "hours": "2"}
    assert post(home, keys["bo"], "/views", form).status == 403
    assert post(home, keys["dr"], "/views", form).status == 303
    with home.vault.db.read() as connection:
        (view,) = viewing.listed(connection, home.ana.id)
    still = f"/views/{view.id}/segments/{first.id}/still"
    assert post(home, keys["dr"], f"/views/{view.id}/approve", {}).status == 403
    for name in ("eve", "fred"):
        assert get(home, keys["dr"], still).status == 403
        assert post(home, keys[name], f"/views/{view.id}/approve", {}).status == 303
    assert get(home, keys["dr"], still).status == 403
    assert "a fall in the kitchen" in home.get(f"/people/{home.ana.id}").text
    home.post(f"/people/{home.ana.id}/views/{view.id}", {"choice": "yes"})
    for name, status in (("dr", 200), ("eve", 403), ("office", 403)):
        assert get(home, keys[name], still).status == status, name
    with home.vault.db.read() as connection:
        read = [e for e in log.read(connection, home.ana.id) if e.kind == "read"][-1]
    said = (read.private["who"], read.private["segment"], read.private["view"])
    assert said == ("dr", first.id, view.id)
    shown = get(home, keys["dr"], f"/views/{view.id}?segment={first.id}").text
    assert f'data-mark="dr · {view.id}"' in shown
    home.post(f"/people/{home.ana.id}/views/{view.id}", {"choice": "no"})
    assert get(home, keys["dr"], still).status == 403  # though it was open a moment ago
