"""Footage to the browser: in ranges, logged once, never what is withheld or erased."""

import film
import pytest

from firsthand import log
from firsthand.errors import NotFound, Refused
from firsthand.vault import catalog
from firsthand.web import footage
from firsthand.web.footage import Opened, ranged


def reads(home) -> int:
    with home.vault.db.read() as connection:
        return sum(entry.kind == "read" for entry in log.read(connection, home.ana.id))


def test_a_video_comes_whole_and_in_ranges_and_is_logged_once(home):
    path = f"/people/{home.ana.id}/segments/{home.footage()[0].id}/video"
    before = reads(home)
    data = film.video(60, 0)
    whole = home.get(path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    middle = home.get(path, Range="bytes=100-199")
    assert (middle.status, middle.body) == (206, data[100:200])
    assert middle.headers["content-range"] == f"bytes 100-199/{len(data)}"
    rest = home.get(path, Range=f"bytes={len(data) - 10}-")
    assert (rest.status, rest.body) == (206, data[-10:])
    assert home.get(path, Range="bytes=-7").body == data[-7:]
    outside = home.get(path, Range=f"bytes={len(data)}-")
    assert (outside.status, outside.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert reads(home) == before + 1


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=a-b", ""])
def test_a_range_that_makes_no_sense_gets_the_whole(wanted):
    assert ranged(b"0123456789", wanted, "x/y").status_code == 200


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=10-", "bytes=-0"])
def test_a_range_outside_is_unsatisfiable(wanted):
    assert ranged(b"0123456789", wanted, "x/y").status_code == 416


def test_one_answer_holds_so_much_at_most(monkeypatch):
    monkeypatch.setattr(footage, "MAX_RANGE", 4)
    answer = ranged(b"0123456789", "bytes=2-", "x/y")
    assert (answer.status_code, answer.body) == (206, b"2345")
    assert answer.headers["content-range"] == "bytes 2-5/10"


def test_withheld_footage_is_not_served_even_if_it_was_open(home):
    kept = [each for each in home.footage() if each.start_ns < home.kept.stop_ns][-1]
    for part in ("still", "video"):
        path = f"/people/{home.ana.id}/segments/{kept.id}/{part}"
        answer = home.get(path)
        assert answer.status == 403
        assert "withheld" in answer.text


def test_withholding_closes_what_is_open(home):
    segment = home.footage()[-1]
    path = f"/people/{home.ana.id}/segments/{segment.id}/still"
    assert home.get(path).status == 200
    form = {"start": "2026-11-02T09:15:30", "stop": "2026-11-02T09:15:31"}
    home.post(f"/people/{home.ana.id}/withhold", form)
    assert home.get(path).status == 403


def test_another_persons_address_does_not_lead_to_footage(home):
    segment = home.footage()[0].id
    assert home.get(f"/people/{home.bo.id}/segments/{segment}/still").status == 404
    assert home.get(f"/people/{home.ana.id}/segments/{segment}/events").status == 404
    assert home.get(f"/people/{home.ana.id}/segments/s-none/still").status == 404


def test_what_is_open_is_forgotten_after_its_time_and_beyond_its_room(home, monkeypatch):
    now = [0.0]
    opened = Opened(home.vault, clock_s=lambda: now[0])
    first, second = home.footage()[:2]
    before = reads(home)
    for _ in range(3):
        opened.read(first, "still")
    assert reads(home) == before + 1
    now[0] = footage.KEEP_S + 1
    opened.read(first, "still")
    assert reads(home) == before + 2
    monkeypatch.setattr(footage, "MAX_KEPT", 10)
    opened.read(second, "still")
    opened.read(first, "still")
    assert reads(home) == before + 4


def test_erased_footage_is_not_found(home):
    with home.vault.db.read() as connection:
        gone = catalog.erased_objects(connection, home.ana.id)
        rows = connection.execute(
            catalog.segments.select().where(catalog.segments.c.state == "erased")
        ).all()
    assert gone == []
    erased = catalog.Segment(**rows[0]._mapping)
    with pytest.raises((NotFound, Refused)):
        Opened(home.vault).read(erased, "still")
    assert home.get(f"/people/{home.ana.id}/segments/{erased.id}/still").status == 404
