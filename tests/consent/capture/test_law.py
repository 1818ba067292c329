"""Recording law: no row, an expired row or one not yet in force means no sound."""

from datetime import UTC, date, datetime, timedelta

import pytest

from firsthand import log
from firsthand.consent.capture import law
from firsthand.consent.capture.law import Law
from firsthand.errors import Usage

ROW = Law("NL", "one", "yes", "", "a statute", "2026-11-01", "a lawyer", "2027-11-01")


def at(day: str, clock: str = "12:00:00") -> int:
    return int(datetime.fromisoformat(f"{day}T{clock}+00:00").timestamp()) * 10**9


def test_an_unknown_place_has_no_sound(connection, now_ns):
    for place in ("", "XX", "nl", " sim"):
        assert not law.sound_permitted(connection, place, now_ns)


def test_sound_is_permitted_from_the_first_day_until_the_day_of_expiry(connection):
    law.add(connection, ROW)
    days = [(date(2026, 10, 30) + timedelta(n)).isoformat() for n in range(370)]
    heard = [day for day in days if law.sound_permitted(connection, "NL", at(day))]
    assert (heard[0], heard[-1], len(heard)) == ("2026-11-01", "2027-10-31", 365)
    assert law.sound_permitted(connection, "NL", at("2027-10-31", "23:59:59"))
    assert not law.sound_permitted(connection, "NL", at("2027-11-01", "00:00:00"))


def test_a_row_that_says_no_means_no_sound(connection):
    for audio in ("all", "mixed"):
        law.add(connection, Law(**{**vars(ROW), "audio": audio}))
        assert not law.sound_permitted(connection, "NL", at("2026-12-01"))


def test_older_rows_of_a_place_go_on_to_judge_what_was_recorded_under_them(connection):
    law.add(connection, ROW)
    stricter = {"as_of": "2027-05-01", "expires": "2028-05-01", "audio": "all"}
    law.add(connection, Law(**{**vars(ROW), **stricter}))
    assert law.sound_permitted(connection, "NL", at("2027-04-30"))
    assert not law.sound_permitted(connection, "NL", at("2027-05-01"))


def test_shipped_rows_that_nobody_reviewed_permit_nothing(connection):
    for row in law.shipped():
        allowed = law.sound_permitted(connection, row.jurisdiction, at("2026-12-01"))
        assert allowed == (row.jurisdiction == "sim")


def test_the_log_holds_the_shipped_rows_of_places_in_use_once(connection):
    for _ in range(2):
        law.enter(connection, {"sim", "DE", "XX"}, at("2026-12-01"))
    said = [entry.public["law"]["jurisdiction"] for entry in log.read(connection)]
    assert said == ["sim", "DE"]
    assert law.sound_permitted(connection, "sim", at("2026-12-01"))


def test_an_organisations_row_replaces_the_shipped_one_also_when_it_has_expired(connection):
    now_ns = at("2027-06-01")
    assert law.sound_permitted(connection, "sim", now_ns)
    stale = Law("sim", "one", "yes", "", "ours", "2026-11-01", "us", "2027-01-01")
    law.add(connection, stale)
    assert not law.sound_permitted(connection, "sim", now_ns)
    law.add(connection, Law(**{**vars(stale), "expires": "2028-01-01"}))
    assert law.sound_permitted(connection, "sim", now_ns)
    assert [row.jurisdiction for row in law.listed(connection)].count("sim") == 1


def test_every_shipped_row_is_whole_and_not_for_ever(connection):
    for row in law.listed(connection):
        assert row.source.strip()
        assert row.reviewer.strip()
        assert date.fromisoformat(row.as_of) < date.fromisoformat(row.expires)
        length = date.fromisoformat(row.expires) - date.fromisoformat(row.as_of)
        assert length <= timedelta(3653)


@pytest.mark.parametrize(
    "change",
    [
        {"audio": "perhaps"},
        {"audio": "yes"},
        {"video": "perhaps"},
        {"reviewer": "unreviewed"},
        {"jurisdiction": " "},
        {"source": ""},
        {"reviewer": ""},
        {"as_of": "yesterday"},
        {"expires": "2027-13-01"},
        {"expires": "2026-11-01"},
        {"expires": "2026-10-01"},
    ],
)
def test_a_row_without_source_reviewer_or_real_dates_is_refused_and_not_logged(connection, change):
    entries = log.size(connection)
    with pytest.raises(Usage):
        law.add(connection, Law(**{**vars(ROW), **change}))
    assert log.size(connection) == entries
    assert not law.sound_permitted(connection, "NL", at("2026-12-01"))


def test_a_new_row_is_in_the_log_word_for_word(connection):
    law.add(connection, ROW)
    (entry,) = log.read(connection)
    assert (entry.kind, entry.public["law"]) == ("law_added", vars(ROW))


def test_the_day_is_that_of_utc(connection):
    law.add(connection, ROW)
    first_ns = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 10**9
    assert law.sound_permitted(connection, "NL", first_ns)
    assert not law.sound_permitted(connection, "NL", first_ns - 10**9)
