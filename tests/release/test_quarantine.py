"""An agreement that ends in the middle of a day: what comes after is kept, and shown to nobody.

Through the whole vault: what was handed in, receipted, read by its wearer, refused to others, left
out of releases, and let in once a reviewer freed it; each release is judged by the auditor.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import pytest
import sqlalchemy as sa
from programme import DAY_NS, SEGMENT_S, STORED, WAITING, Programme, begin, settings
from wearer import NOW_NS, SECOND_NS

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.capture import closed, review, withhold
from firsthand.consent.liability import agreement, incidents, tables
from firsthand.consent.runs import proposals
from firsthand.consent.terms import quiz, text
from firsthand.errors import Refused
from firsthand.release import bundle, selection, worn
from firsthand.release import tables as tables_of_release
from firsthand.release.recover import recover
from firsthand.vault import catalog, counsel, coverage, quarantine, reading
from firsthand.vault.vault import Vault

ALL_S = (STORED + WAITING) * SEGMENT_S
END_S = 3  # when ben's agreement ends: in the middle of a segment


@pytest.fixture
def made() -> Iterator[Programme]:
    """Ben, a real person, has signed until three seconds into the day; ana is simulated."""
    with signed(END_S * SECOND_NS) as programme:
        yield programme


@contextmanager
def signed(for_ns: int) -> Iterator[Programme]:
    programme = begin()
    with programme.vault.db.write() as connection:
        ben = people.find(connection, programme.people[1].id)
        words = text.read_text("wearer1")
        now = text.Text("w1", words.words, words.data | {"older": {"effect": "end", "days": 0}})
        text.adopt(connection, now, NOW_NS)
        quiz.take(connection, ben, now, [each["right"] for each in now.questions], NOW_NS)
        agreement.sign(connection, ben, stop_ns=NOW_NS + for_ns, now_ns=NOW_NS)
    programme.clock.now_ns = NOW_NS + ALL_S * SECOND_NS
    while programme.hand_in(1):
        pass
    programme.clock.now_ns = NOW_NS + 9 * DAY_NS // 4  # after the review, before consents end
    with programme.vault.db.write() as connection:
        review_all(connection, programme)
    yield programme
    programme.close()


def review_all(connection, made: Programme) -> None:
    for person in made.people:
        review.reviewed(connection, person, now_ns=made.clock.now_ns)


def ben(made: Programme, connection) -> people.Person:
    return people.find(connection, made.people[1].id)


def released(made: Programme) -> list[tuple[float, float]]:
    """What a release now holds of ben, in seconds of the day; the auditor finds no fault."""
    release = made.release(made.run)
    told = made.audit(release.id)
    assert told["breaches"] == []
    assert told["samples"] == made.check_bytes(release)
    with made.vault.db.read() as connection:
        query = sa.text("SELECT name FROM release_person WHERE release = :r AND person = :p")
        known = {"r": release.id, "p": made.people[1].id}
        mine = connection.scalar(query, known)
    assert release.manifest is not None
    rows = [
        sample
        for entry in release.manifest["manifest"]["people"]
        if entry["person"] == mine
        for shard in entry["shards"]
        for sample in shard["samples"]
    ]
    return [tuple((row[at] - NOW_NS) / SECOND_NS for at in ("start_ns", "stop_ns")) for row in rows]


def sign_again(made: Programme) -> None:
    with made.vault.db.write() as connection:
        agreement.sign(connection, ben(made, connection), now_ns=made.clock.now_ns)


def free(made: Programme, start_s: float, stop_s: float) -> None:
    bounds = [NOW_NS + int(at * SECOND_NS) for at in (start_s, stop_s)]
    with made.vault.db.write() as connection:
        rita = askers.give(connection, "rita", "reviewer", now_ns=made.clock.now_ns)[0]
        agreement.free(connection, ben(made, connection), *bounds, rita, made.clock.now_ns)


def test_what_was_recorded_before_the_end_is_released_and_nothing_after(made):
    assert released(made) == [(0, 2), (2, 3)]


def test_all_of_it_is_stored_receipted_and_its_wearers(made):
    with made.vault.db.read() as connection:
        held = catalog.of_person(connection, made.people[1].id)
        told = coverage.coverage(connection, ben(made, connection), "2026-11-01")
        kept_ns = quarantine.length_ns(connection, ben(made, connection))
    assert kept_ns == (ALL_S - END_S) * SECOND_NS
    assert len(held) == STORED + WAITING
    assert {each.state for each in held} == {"stored"}
    assert all(each.receipt for each in held)
    assert reading.read_part(made.vault, held[-1].id, "video", "self", "looking")
    assert (told.kinds["recorded"], told.kinds["quarantined"]) == (
        END_S * SECOND_NS,
        (ALL_S - END_S) * SECOND_NS,
    )


def test_no_program_and_nobody_else_is_shown_it(made):
    with made.vault.db.read() as connection:
        held = catalog.of_person(connection, made.people[1].id)
        doors = closed.doors(connection, ben(made, connection), 0, 2**62, made.clock.now_ns)
    assert reading.read_look(made.vault, held[0].id, "video", "ledger", "a look")
    for each in held[1:]:
        with pytest.raises(Refused, match="no agreement was in force"):
            reading.read_look(made.vault, each.id, "video", "ledger", "a look")
        assert reading.WHY[doors.hides(each.start_ns, each.stop_ns, ("review",))]


def test_signing_again_releases_nothing_of_before(made):
    sign_again(made)
    assert released(made) == [(0, 2), (2, 3)]


def test_what_a_reviewer_frees_is_released_and_no_more(made):
    sign_again(made)
    free(made, END_S, 5)
    assert released(made) == [(0, 2), (2, 4), (4, 5)]


def test_what_was_freed_stays_free_though_a_newer_text_reaches_back_before_it(made):
    sign_again(made)
    free(made, END_S, 5)
    words = text.read_text("wearer1")
    data = words.data | {"older": {"effect": "end", "days": 0}}
    with made.vault.db.write() as connection:
        text.adopt(connection, text.Text("w2", words.words, data), NOW_NS)
    assert released(made) == [(3, 4), (4, 5)]


def test_no_model_learns_that_its_wearer_kept_back_what_lay_in_quarantine(made):
    def gaps() -> list[str]:
        with made.vault.db.read() as connection:
            run = proposals.find(connection, made.run)
            chosen = selection.select(connection, run, made.clock.now_ns)
        mine = [day for day in chosen.days if day.person == made.people[1].id]
        return [piece.gap_before for day in mine for piece in day.pieces]

    sign_again(made)
    free(made, 5, ALL_S)
    assert gaps() == ["start", "none", "not_recorded", "none"]
    with made.vault.db.write() as connection:
        bounds = [NOW_NS + at * SECOND_NS for at in (3, 5)]
        withhold.withhold(connection, ben(made, connection), *bounds, made.clock.now_ns)
    assert gaps() == ["start", "none", "withheld", "none"]


def test_who_lives_in_a_simulation_is_not_bothered(made):
    release = made.release(made.run)
    assert len(release.manifest["manifest"]["people"]) == 2


def test_a_bundle_names_no_reviewer_of_quarantine(made):
    sign_again(made)
    free(made, END_S, ALL_S)
    release = made.release(made.run)
    assert '"rita"' not in json.dumps(bundle.make(made.vault, release.id))


@pytest.mark.parametrize("wrong", ["blind", "struck out", "forged", "no reviewer"])
def test_the_auditor_finds_a_release_of_quarantined_footage(made, monkeypatch, wrong):
    """However it came about: a decision that does not ask, or rows written past the log."""
    if wrong == "blind":
        monkeypatch.setattr(closed.agreement, "quarantined", lambda *_: [])
    elif wrong == "no reviewer":
        sign_again(made)
        with made.vault.db.write() as connection:
            desk = askers.give(connection, "desk", "organisation", now_ns=made.clock.now_ns)[0]
            forged = askers.Asker(desk.id, "desk", "reviewer")
            bounds = (NOW_NS, NOW_NS + ALL_S * SECOND_NS)
            agreement.free(connection, ben(made, connection), *bounds, forged, made.clock.now_ns)
    else:
        with made.vault.db.write() as connection:
            if wrong == "struck out":
                connection.execute(text.texts.delete())
            else:
                change = tables.agreements.update()
                connection.execute(change.values(stop_ns=NOW_NS + 9 * DAY_NS))
    told = made.audit(made.release(made.run).id)
    assert any("no agreement was in force" in breach for breach in told["breaches"])


def sign_what_nobody_adopted(patch) -> None:
    asked, ready = agreement.asked, quiz.require_ready
    patch.setattr(agreement, "asked", lambda c: replace(asked(c), words="Other words."))

    def unread(connection, person, words):
        return ready(connection, person, asked(connection) if words.kind != "consent" else words)

    patch.setattr(agreement.quiz, "require_ready", unread)


def sign_for_longer_than_the_words_allow(patch) -> None:
    asked = agreement.asked
    longer = {"most_days": 3650}
    patch.setattr(agreement, "asked", lambda c: replace(asked(c), data=asked(c).data | longer))


def sign_without_the_quiz(patch) -> None:
    patch.setattr(agreement.quiz, "require_ready", lambda *_: {})


def sign_upon_what_is_no_quiz(patch) -> None:
    patch.setattr(agreement.quiz, "require_ready", lambda *_: {"attested": 0, "quiz": 0})


@pytest.mark.parametrize(
    ("wrong", "days"),
    [
        (sign_what_nobody_adopted, 9),
        (sign_for_longer_than_the_words_allow, 400),
        (sign_without_the_quiz, 9),
        (sign_upon_what_is_no_quiz, 9),
        (lambda _: None, 9),
    ],
)
def test_the_auditor_believes_no_signature_that_no_text_allows(monkeypatch, wrong, days):
    wrong(monkeypatch)
    with signed(days * DAY_NS) as made:
        told = made.audit(made.release(made.run).id)
    whole = wrong.__name__ == "<lambda>"
    assert told["holds"] == whole
    assert whole == all("no agreement was in force" not in each for each in told["breaches"])


def test_the_auditor_finds_what_was_freed_after_a_newer_text_had_ended_the_agreement(
    made, monkeypatch
):
    sign_again(made)
    with made.vault.db.write() as connection:
        data = {"kind": "agreement", "older": {"effect": "end", "days": 0}}
        text.adopt(connection, text.Text("w2", "Anew.", data), made.clock.now_ns)
    monkeypatch.setattr(agreement, "in_force", lambda *_: 1)
    free(made, END_S, ALL_S)
    told = made.audit(made.release(made.run).id)
    assert any("no agreement was in force" in breach for breach in told["breaches"])


def test_counsel_gets_what_was_agreed_shown_and_told_and_the_wearer_reads_that(made):
    with made.vault.db.write() as connection:
        person = ben(made, connection)
        said = {"happened_ns": NOW_NS + SECOND_NS, "noted_by": "desk", "device": "d1"}
        noted = incidents.note(
            connection, person, "complaint", "A guest minded.", now_ns=made.clock.now_ns, **said
        )
    bounds = (NOW_NS, NOW_NS + 3600 * SECOND_NS)
    told = json.loads(json.dumps(counsel.tell(made.vault, person, *bounds, "Lex", "a letter came")))
    assert [each["id"] for each in told["incidents"]] == [noted.id]
    (signed,) = told["agreements"]
    assert signed["text_sha256"] == told["texts"][0]["sha256"]
    assert [each["passed"] for each in told["quizzes"]][-1] is True
    (policy,) = told["policies"]
    assert (policy["device"], policy["segments"]) == ("d1", STORED + WAITING)
    alone_ns = sum(each["stop_ns"] - each["start_ns"] for each in told["quarantined"])
    assert alone_ns == (ALL_S - END_S) * SECOND_NS
    with made.vault.db.read() as connection:
        (entry,) = log.read(connection, person.id, start=told["log_index"])
    assert (entry.kind, entry.private["who"]) == ("counsel_told", "Lex")
    later = counsel.tell(made.vault, person, bounds[1], bounds[1] + 1, "Lex", "a letter came")
    assert (later["agreements"], later["policies"], later["incidents"]) == ([], [], [])


def test_quarantined_footage_earns_nothing_until_it_is_freed(made, monkeypatch):
    fresh = count()  # each second of footage shows something new
    monkeypatch.setattr(worn.repeats, "keys", lambda *_: [next(fresh) for _ in range(SEGMENT_S)])

    def looked() -> set[str]:
        worn.look(made.vault)
        with made.vault.db.read() as connection:
            query = sa.select(tables_of_release.looked.c.segment)
            mine = query.where(tables_of_release.looked.c.person == made.people[1].id)
            return set(connection.scalars(mine))

    with made.vault.db.read() as connection:
        held = [each.id for each in catalog.of_person(connection, made.people[1].id)]
    assert looked() == set(held[:1])
    with made.vault.db.read() as connection:
        (seconds,) = worn.seconds(connection, made.people[1].id, 25).values()
    assert seconds == SEGMENT_S
    after = [NOW_NS + at * SECOND_NS for at in (END_S, ALL_S)]
    with made.vault.db.write() as connection:  # nor for its wearer's keeping it back
        kept = withhold.withhold(connection, ben(made, connection), *after, made.clock.now_ns)
        assert list(worn.seconds(connection, made.people[1].id, 100).values()) == [seconds]
        withhold.lift(connection, ben(made, connection), kept.id)
    sign_again(made)
    free(made, END_S, ALL_S)
    assert looked() == set(held)


def test_a_lost_database_comes_back_with_agreements_quarantine_and_incidents(made):
    sign_again(made)
    free(made, END_S, 5)
    with made.vault.db.write() as connection:
        said = {"happened_ns": NOW_NS + SECOND_NS, "noted_by": "desk"}
        person = ben(made, connection)
        incidents.note(connection, person, "law", "Told.", now_ns=made.clock.now_ns, **said)
    before = rows(made)
    made.vault.close()
    lost = list((made.folder / "data" / "vault").glob("firsthand.db*"))
    assert lost
    for file in lost:
        file.unlink()
    vault = Vault(settings(made.folder), made.clock, recovering=True)
    assert recover(vault).left == []
    vault.close()
    made.reopen()
    assert rows(made) == before
    assert all(before.values())


def rows(made: Programme) -> dict[str, list]:
    with made.vault.db.read() as connection:
        return {
            table.name: connection.execute(sa.select(table)).all()
            for table in (tables.agreements, tables.freed, tables.incidents, text.texts)
        }
