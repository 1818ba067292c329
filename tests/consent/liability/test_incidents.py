"""The incident log: complete, in the past, in the person's own log, and never changed."""

import pytest

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.consent.liability import incidents
from firsthand.crypto import SigningKey
from firsthand.errors import NotFound, Usage

HOUR_NS = 3600 * 10**9


def note(connection, person, now_ns, **more):
    said = {"kind": "complaint", "words": "A guest minded.", "noted_by": "desk"} | more
    happened_ns = said.pop("happened_ns", now_ns - HOUR_NS)
    kind, words = said.pop("kind"), said.pop("words")
    return incidents.note(
        connection, person, kind, words, happened_ns=happened_ns, now_ns=now_ns, **said
    )


def test_an_incident_says_what_when_whose_device_and_by_whom_it_was_noted(connection, ana, now_ns):
    people.enrol(connection, ana, "d1", SigningKey.generate().public, now_ns)
    noted = note(connection, ana, now_ns, device="d1", kind="loss")
    assert incidents.listed(connection, ana.id) == [noted]
    (entry,) = log.read(connection, ana.id, start=noted.log_index)
    assert entry.kind == "incident_noted"
    told = {name: entry.private[name] for name in ("device", "kind", "words", "noted_by")}
    expected = {"device": "d1", "kind": "loss", "words": "A guest minded.", "noted_by": "desk"}
    assert told == expected
    assert "minded" not in str(entry.public)  # the public log tells nobody what happened to whom


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "mishap"},
        {"words": " "},
        {"words": "x" * 4001},
        {"noted_by": ""},
        {"happened_ns": 0},
        {"happened_ns": 2**62},
    ],
)
def test_half_an_incident_is_refused(connection, ana, now_ns, more):
    with pytest.raises(Usage):
        note(connection, ana, now_ns, **more)


def test_an_incident_names_no_device_of_somebody_else(connection, ana, ben, now_ns):
    people.enrol(connection, ben, "d2", SigningKey.generate().public, now_ns)
    with pytest.raises(NotFound):
        note(connection, ana, now_ns, device="d2")


def test_incidents_are_listed_by_when_they_happened_within_an_interval(
    connection, ana, ben, now_ns
):
    late = note(connection, ana, now_ns)
    early = note(connection, ben, now_ns, happened_ns=now_ns - 9 * HOUR_NS)
    assert incidents.listed(connection) == [early, late]
    assert incidents.listed(connection, start_ns=late.happened_ns) == [late]
    assert incidents.listed(connection, stop_ns=late.happened_ns) == [early]
    assert incidents.listed(connection, ben.id) == [early]


def test_an_erased_persons_incidents_go_with_them(connection, ana, now_ns):
    note(connection, ana, now_ns)
    erasure.forget(connection, ana.id)
    assert incidents.listed(connection) == []
