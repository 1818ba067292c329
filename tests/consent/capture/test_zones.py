"""Places by the wearer's own word, and employers' permissions: what is refused and logged."""

import pytest

from firsthand import log
from firsthand.capture import may_capture
from firsthand.consent.capture import closed, zones
from firsthand.errors import NotFound, Refused, Usage

HOUR_NS = 3600 * 10**9
SHA = "a" * 64


@pytest.fixture
def bakery(connection, ana, now_ns):
    return zones.say(
        connection, ana, "work", now_ns, now_ns + 99 * HOUR_NS, label="bakery", now_ns=now_ns
    )


def permit(connection, person, now_ns, **changes):
    values = {"employer": "Bread Ltd", "signed_by": "B. Aker", "document_sha256": SHA}
    values |= {"stop_ns": now_ns + 9 * HOUR_NS, "now_ns": now_ns} | changes
    return zones.permit(connection, person, "bakery", **values)


def video(connection, person, time_ns):
    return may_capture(zones.rules_of(connection, person), time_ns).video


def test_work_is_off_until_the_employer_permits_it_and_off_again_after(
    connection, ana, bakery, now_ns
):
    assert not video(connection, ana, now_ns + HOUR_NS)
    given = permit(connection, ana, now_ns)
    assert video(connection, ana, now_ns + HOUR_NS)
    assert not video(connection, ana, now_ns + 9 * HOUR_NS)
    zones.revoke(connection, ana, given.id, now_ns + 2 * HOUR_NS)
    assert video(connection, ana, now_ns + HOUR_NS)  # what was lawful then stays so
    assert not video(connection, ana, now_ns + 2 * HOUR_NS)


def test_nobody_permits_their_own_recording_at_work(connection, ana, bakery, now_ns):
    entries = log.size(connection)
    for changes in (
        {"signed_by": "Ana"},
        {"signed_by": " ana "},
        {"employer": "ANA"},
        {"signed_by": ana.id},
        {"by": ana.id},
    ):
        with pytest.raises(Refused, match="own recording"):
            permit(connection, ana, now_ns, **changes)
    assert log.size(connection) == entries


def test_a_permission_that_expired_or_is_wider_than_a_site_is_refused(
    connection, ana, ben, bakery, now_ns
):
    with pytest.raises(Refused, match="expired"):
        permit(connection, ana, now_ns, stop_ns=now_ns)
    for label in ("*", "", "office", "bakery "):
        with pytest.raises(Refused, match="no place of work"):
            zones.permit(
                connection, ana, label, employer="B", signed_by="C", document_sha256=SHA,
                stop_ns=now_ns + 1, now_ns=now_ns,
            )  # fmt: skip
    with pytest.raises(Refused, match="no place of work"):
        permit(connection, ben, now_ns)
    for document in ("", "A" * 64, "a" * 63):
        with pytest.raises(Usage):
            permit(connection, ana, now_ns, document_sha256=document)


def test_a_zone_is_never_laxer_than_its_kind(connection, ana, now_ns):
    said = zones.say(connection, ana, "clinic", 1, audio=True, video=True)
    assert (said.zone.audio, said.zone.video) == (False, False)
    said = zones.say(connection, ana, "home", 1, audio=False)
    assert (said.zone.audio, said.zone.video) == (False, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "moon"},
        {"start_ns": 5, "stop_ns": 5},
        {"start_ns": -1},
        {"stop_ns": 2**63},
        {"week": ("mon someday", 0, 60)},
        {"week": ("mon", 0, 1441)},
        {"week": ("mon", -1, 60)},
        {"tz": "Nowhere/Land"},
        {"tz": "../etc/passwd"},
    ],
)
def test_what_can_be_no_place_is_refused_and_not_logged(connection, ana, changes):
    entries = log.size(connection)
    values = {"kind": "other", "start_ns": 1} | changes
    with pytest.raises(Usage):
        zones.say(connection, ana, values.pop("kind"), values.pop("start_ns"), **values)
    assert (log.size(connection), zones.of(connection, ana.id)) == (entries, [])


def test_said_after_the_fact_it_closes_what_was_recorded_before(connection, ana, now_ns):
    before = now_ns - 30 * HOUR_NS
    zones.say(connection, ana, "clinic", before, before + HOUR_NS, now_ns=now_ns)
    doors = closed.doors(connection, ana, before, now_ns, now_ns)
    assert doors.hides(before, before + 1) == "place"
    assert doors.hides(before + 2 * HOUR_NS, now_ns) == ""


def test_a_mistake_is_taken_back_for_a_week_and_later_only_ended(connection, ana, ben, now_ns):
    lately = zones.say(connection, ana, "clinic", now_ns - HOUR_NS, now_ns=now_ns)
    with pytest.raises(NotFound):
        zones.end(connection, ben, lately.id, now_ns)
    assert zones.end(connection, ana, lately.id, now_ns + HOUR_NS)
    assert video(connection, ana, now_ns)
    said = zones.say(connection, ana, "clinic", now_ns - HOUR_NS, now_ns=now_ns)
    later = now_ns + zones.UNDO_NS
    assert not zones.end(connection, ana, said.id, later)
    assert not video(connection, ana, now_ns)
    assert video(connection, ana, later + HOUR_NS)


def test_the_log_holds_all_that_decides_and_only_the_person_can_read_it(connection, ana, now_ns):
    said = zones.say(connection, ana, "clinic", now_ns, now_ns + HOUR_NS, now_ns=now_ns)
    zones.end(connection, ana, said.id, now_ns)
    *_, first, second = log.read(connection)
    assert (first.kind, second.kind) == ("zone_said", "zone_ended")
    assert {"zone": said.id, **vars(said.zone)}.items() <= first.private.items()
    assert said.zone.label == "clinic"  # of its kind, and no more
    assert second.private["stop_ns"] == said.zone.start_ns
    assert "clinic" not in str(first.public)


def test_what_a_place_is_called_stands_apart_from_what_an_audit_reads(connection, ana, ben, now_ns):
    """The mark in its stead is the same for one name of one person, and another's is another."""
    stay = (now_ns, now_ns + HOUR_NS)
    said = [
        zones.say(connection, who, "work", *stay, label=label, now_ns=now_ns)
        for who, label in ((ana, "mum's flat"), (ana, "mum's flat"), (ana, "shop"), (ben, "shop"))
    ]
    signed = {"employer": "Bread", "signed_by": "B", "document_sha256": "0" * 64}
    until = {"stop_ns": now_ns + HOUR_NS, "now_ns": now_ns}
    zones.permit(connection, ana, "mum's flat", **signed, **until)
    found = list(log.read(connection))
    marks = [entry.private["label"] for entry in found if entry.kind == "zone_said"]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3
    assert not any(name in mark for mark in marks for name in ("mum", "shop"))
    (permit,) = [entry.private for entry in found if entry.kind == "work_permitted"]
    assert permit["label"] == marks[0]
    named = [entry.private for entry in found if entry.kind == "zone_named"]
    assert [(each["zone"], each["label"]) for each in named] == [
        (each.id, each.zone.label) for each in said
    ]
    own = sorted(each.zone.label for each in zones.of(connection, ana.id))
    assert own == ["mum's flat", "mum's flat", "shop"]  # the wearer's own sight


def test_a_name_that_an_older_vault_wrote_down_stays_the_name(connection, ana, now_ns, monkeypatch):
    """Else an employer's permission of today would not fit the place that was said then."""
    stay = (now_ns, now_ns + HOUR_NS)
    with monkeypatch.context() as patch:
        patch.setattr(zones, "_known_as", lambda connection, person, label: label)
        zones.say(connection, ana, "work", *stay, label="shop", now_ns=now_ns)
    zones.say(connection, ana, "work", *stay, label="shop", now_ns=now_ns)
    labels = [e.private["label"] for e in log.read(connection) if e.kind == "zone_said"]
    assert labels == ["shop", "shop"]
