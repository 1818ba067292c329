"""The auditor against a vault that does wrong: each broken part of the product is found out.

The parts are really broken, a release is made of it, and the auditor sees the log, the bundle and
the key, as always.
"""

import base64
import copy
import json
from collections.abc import Iterator

import pytest
from programme import APPROVAL, DAY_NS, TRAIN, Programme, begin
from wearer import NOW_NS, SECOND_NS

from firsthand import auditor, log
from firsthand.capture import Law, Rules
from firsthand.consent import ask, decide, erasure, people, tables
from firsthand.consent.access import askers
from firsthand.consent.capture import bystanders, closed, law, review, withhold, zones
from firsthand.consent.estate import death
from firsthand.consent.liability import safety
from firsthand.consent.runs import answers, proposals
from firsthand.consent.terms import consents
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, Refused, WrongKey
from firsthand.release import bundle, erase, make
from firsthand.vault import catalog
from firsthand.vault.proof import export


@pytest.fixture
def made() -> Iterator[Programme]:
    programme = begin()
    yield programme
    programme.close()


def ana(made: Programme, connection) -> people.Person:
    return people.find(connection, made.people[0].id)


THEN_NS = NOW_NS - 2 * DAY_NS


def move(made: Programme, look: bool = True) -> None:
    """Ana's device records without the time, then learns that it was THEN_NS.

    She has looked at both days, and looks again unless told not to.
    """
    made.hand_in_unplaced(0, "dark")
    for day in ("2026-10-30", "2026-11-01"):
        with made.vault.db.write() as connection:
            review.arrive(connection, made.people[0].id, day, NOW_NS)
            review.reviewed(connection, ana(made, connection), [day], NOW_NS)
    made.learn_time(0, "dark", THEN_NS)
    if look:
        with made.vault.db.write() as connection:
            review.reviewed(connection, ana(made, connection), now_ns=NOW_NS)


def starts(release: make.Release) -> set[int]:
    assert release.manifest is not None
    return {
        sample["start_ns"]
        for entry in release.manifest["manifest"]["people"]
        for shard in entry["shards"]
        for sample in shard["samples"]
    }


def wait(made: Programme, days: float) -> None:
    made.clock.now_ns += int(days * DAY_NS)


# --- what somebody does, the part of the product that then fails, and what the auditor says


def expire(made: Programme, patch) -> None:
    wait(made, 4)
    patch.setattr(consents.Consent, "holds", lambda self, now_ns: True)


def put_clock_back(made: Programme, patch) -> None:
    wait(made, 4)
    with made.vault.db.write() as connection:
        proposals.propose(
            connection, proposals.Proposal("x", (TRAIN,), "m", "w", 1), made.clock.now_ns
        )
    wait(made, -4)
    patch.setattr(make.log, "now", lambda connection, now_ns: now_ns)


def withdraw(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        for consent in consents.of(connection, made.people[0].id):
            consents.withdraw(connection, ana(made, connection), consent.id, NOW_NS)
    patch.setattr(consents.Consent, "holds", lambda self, now_ns: True)
    patch.setattr(decide, "_covering", lambda code, use, facts, now_ns: (facts.consents[0], ""))


def say_no(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        run = proposals.find(connection, made.run)
        answers.vote(connection, run, ana(made, connection), "no", NOW_NS)
    patch.setattr(answers, "answer", lambda connection, run, person: "yes")


def fall_silent(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        answers.set_rule(connection, ana(made, connection), TRAIN, "ask", NOW_NS)
    patch.setattr(answers, "answer", lambda connection, run, person: "yes")


def earn(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        proposal = proposals.Proposal("sold", (TRAIN,), "m", "all", 30, commercial=True)
        made.run = proposals.propose(connection, proposal, NOW_NS).id
    patch.setattr(decide, "_covering", lambda code, use, facts, now_ns: (facts.consents[0], ""))


def keep_back(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        person = ana(made, connection)
        withhold.withhold(connection, person, NOW_NS + SECOND_NS - 1, NOW_NS + SECOND_NS, NOW_NS)
    patch.setattr(closed.withhold, "of", lambda connection, person: [])


def hold(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        start_ns = NOW_NS - 60 * SECOND_NS
        code = bystanders.badge_code(ana(made, connection), bystanders.day_of(start_ns))
        bystanders.ask(
            connection, start_ns, start_ns + SECOND_NS, code=code, now_ns=NOW_NS + SECOND_NS
        )
    patch.setattr(bystanders, "held", lambda connection, person: [])


def order_erasure(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        bounds = (NOW_NS, NOW_NS + 1)
        erasure.order(connection, ana(made, connection), bounds, NOW_NS)
    patch.setattr(erasure, "intervals", lambda connection, person: [])


def do_not_wait(made: Programme, patch) -> None:
    made.hand_in(0)  # the day is in review again
    patch.setattr(review, "open_days", lambda connection, person, now_ns: [])


def go_where_no_picture_may_be_taken(made: Programme, patch) -> None:
    stay = (NOW_NS, NOW_NS + 300 * SECOND_NS)
    with made.vault.db.write() as connection:
        zones.say(connection, ana(made, connection), "bathroom", *stay, now_ns=NOW_NS)
    patch.setattr(closed.zones, "rules_of", lambda c, p, since_ns=0: _home_rules(c))


def listen_without_law(made: Programme, patch) -> None:
    row = Law("sim", "all", "yes", "", "a statute", "2026-10-15", "counsel", "2027-01-01")
    with made.vault.db.write() as connection:
        law.add(connection, row, NOW_NS)
    patch.setattr(closed.Doors, "mutes", lambda self, start_ns, stop_ns: False)


def import_consents(made: Programme, patch) -> None:
    """Somebody writes consents into the database, past the program and its log."""
    withdraw(made, NoPatch())
    with made.vault.db.write() as connection:
        rows = tables.consents.update().where(tables.consents.c.person == made.people[0].id)
        connection.execute(rows.values(withdrawn_ns=None, expires_ns=2**62))


def strike_out_what_was_kept_back(made: Programme, patch) -> None:
    """Somebody takes a withheld interval out of the database."""
    with made.vault.db.write() as connection:
        person = ana(made, connection)
        withhold.withhold(connection, person, NOW_NS, NOW_NS + SECOND_NS, NOW_NS)
        connection.execute(tables.withholds.delete())


def move_into_what_is_kept_back(made: Programme, patch) -> None:
    """A withhold of a time at which nothing lay before footage without a clock was placed there."""
    with made.vault.db.write() as connection:
        person = ana(made, connection)
        withhold.withhold(connection, person, THEN_NS, THEN_NS + SECOND_NS, NOW_NS)
    move(made)
    patch.setattr(closed.withhold, "of", lambda connection, person: [])


def do_not_wait_after_a_move(made: Programme, patch) -> None:
    move(made, look=False)  # to a day that had been looked at
    patch.setattr(review, "open_days", lambda connection, person, now_ns: [])


def move_past_the_log(made: Programme, patch) -> None:
    """Somebody places footage elsewhere in the database, past the program and its log."""
    with made.vault.db.write() as connection:
        table = catalog.segments
        mine = (table.c.person == made.people[0].id) & (table.c.start_ns == NOW_NS)
        columns = table.c.start_ns, table.c.stop_ns
        change = table.update().where(mine)
        connection.execute(change.values({each: each - 60 * SECOND_NS for each in columns}))


def stop_the_study(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        mona, _ = askers.give(connection, "mona", "monitor", now_ns=NOW_NS)
        safety.name(connection, APPROVAL, mona, 3, 10, NOW_NS)
        proposal = proposals.Proposal("t", (TRAIN,), "m", "w", 30, ethics_approval=APPROVAL)
        made.run = proposals.propose(connection, proposal, NOW_NS).id
        safety.stop(connection, APPROVAL, mona, NOW_NS)
    patch.setattr(ask.safety, "stopped", lambda connection, study: "")


def go_on_by_another_monitor(made: Programme, patch) -> None:
    """Named while the study stands still; the product refuses that."""
    stop_the_study(made, patch)
    patch.setattr(safety, "require_running", lambda connection, study: None)
    with made.vault.db.write() as connection:
        other, _ = askers.give(connection, "otto", "monitor", now_ns=NOW_NS)
        try:
            safety.name(connection, APPROVAL, other, 3, 10, NOW_NS)
        except Refused:
            return
        log.append(connection, "study_resumed", NOW_NS, study=APPROVAL, by=other.id)


def go_on_by_no_monitor(made: Programme, patch) -> None:
    """Somebody with the key of an office says that they are the monitor."""
    with made.vault.db.write() as connection:
        desk, _ = askers.give(connection, "desk", "organisation", now_ns=NOW_NS)
        forged = askers.Asker(desk.id, "desk", "monitor")
        safety.name(connection, APPROVAL, forged, 3, 10, NOW_NS)
        proposal = proposals.Proposal("t", (TRAIN,), "m", "w", 30, ethics_approval=APPROVAL)
        made.run = proposals.propose(connection, proposal, NOW_NS).id
        safety.stop(connection, APPROVAL, forged, NOW_NS)
        if not isinstance(patch, NoPatch):
            safety.resume(connection, APPROVAL, forged, NOW_NS)


def die(made: Programme, patch) -> None:
    with made.vault.db.write() as connection:
        for number, who in enumerate(("bea", "cem")):
            paper = f"{number}" * 64
            death.attest(connection, ana(made, connection), who, f"Elm {number}", paper, NOW_NS)
    patch.setattr(ask, "decide", lambda use, facts, now_ns: _anyhow(facts))


def _anyhow(facts):
    return decide.Decision(True, (), tuple(each.id for each in facts.consents))


class NoPatch:
    """Leaves the product whole."""

    def setattr(self, *_) -> None:
        pass


def _home_rules(connection):
    return Rules("sim", law.of(connection, {"sim"}))


WRONGS = {
    expire: "no consent holds for fh:train-general-model",
    put_clock_back: "no consent holds for fh:train-general-model",
    withdraw: "no consent holds for fh:train-general-model",
    say_no: "answer to the run is no",
    fall_silent: "answer to the run is no yes",
    earn: "no consent holds for fh:commercial",
    keep_back: "it touches what is withheld",
    hold: "it touches what is held for a bystander",
    order_erasure: "it touches what is to be erased",
    do_not_wait: "its review window is still open",
    go_where_no_picture_may_be_taken: "no picture may be taken there",
    import_consents: "no consent holds for fh:train-general-model",
    strike_out_what_was_kept_back: "it touches what is withheld",
    move_into_what_is_kept_back: "it touches what is withheld",
    do_not_wait_after_a_move: "its review window is still open",
    move_past_the_log: "it reaches out of its segment",
    die: "its person's death was attested",
    stop_the_study: "its study stood still",
    go_on_by_another_monitor: "its study stood still",
    go_on_by_no_monitor: "its study stood still",
    listen_without_law: "no current and reviewed law allows its sound",
}


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
def test_a_broken_part_of_the_product_is_found_out(made, monkeypatch, wrong):
    wrong(made, monkeypatch)
    release = made.release(made.run)
    told = made.audit(release.id)
    assert not told["holds"]
    assert any(WRONGS[wrong] in breach for breach in told["breaches"]), told["breaches"][:3]


@pytest.mark.fault("C5")
def test_c5_consents_that_were_put_into_the_database_past_the_log_are_found(made):
    import_consents(made, NoPatch())
    told = made.audit(made.release(made.run).id)
    assert {breach.partition(": ")[2] for breach in told["breaches"]} == {WRONGS[import_consents]}


PAST_THE_LOG = (import_consents, strike_out_what_was_kept_back, move_past_the_log)
WHOLE = [wrong for wrong in WRONGS if wrong not in PAST_THE_LOG]


@pytest.mark.parametrize("wrong", WHOLE, ids=lambda wrong: wrong.__name__)
def test_the_same_without_the_break_gives_a_release_that_holds_or_none(made, wrong):
    wrong(made, NoPatch())
    try:
        release = made.release(made.run)
    except Refused:
        return
    assert made.audit(release.id)["breaches"] == []


@pytest.mark.fault("C2")
def test_c2_a_clock_that_goes_back_brings_no_consent_back(made):
    wait(made, 4)
    with pytest.raises(Refused, match="expired"):
        made.release(made.run)
    with made.vault.db.write() as connection:  # whatever is written has the later time
        proposal = proposals.Proposal("another", (TRAIN,), "m", "w", 1)
        proposals.propose(connection, proposal, made.clock.now_ns)
    wait(made, -4)
    with pytest.raises(Refused, match="expired"):
        made.release(made.run)


@pytest.mark.fault("C2")
def test_c2_of_two_entries_at_one_time_the_later_one_in_the_log_counts(made):
    with made.vault.db.write() as connection:
        run = proposals.find(connection, made.run)
        for choice in ("yes", "no", "yes"):
            answers.vote(connection, run, ana(made, connection), choice, NOW_NS)
    release = made.release(made.run)
    assert made.audit(release.id)["people"] == 2
    with made.vault.db.write() as connection:
        answers.vote(connection, run, ana(made, connection), "no", NOW_NS - DAY_NS)
    release = made.release(made.run)
    told = made.audit(release.id)
    assert (told["people"], told["breaches"]) == (1, [])


@pytest.mark.fault("C1")
def test_c1_a_withdrawal_between_selection_and_publication_is_honoured_to_the_byte(made):
    def meanwhile() -> None:
        with made.vault.db.write() as connection:
            for consent in consents.of(connection, made.people[0].id):
                consents.withdraw(connection, ana(made, connection), consent.id, NOW_NS)

    release = made.release(made.run, meanwhile)
    told = made.audit(release.id)
    assert (told["people"], told["breaches"]) == (1, [])
    assert made.check_bytes(release) == told["samples"]


@pytest.mark.fault("C3")
@pytest.mark.parametrize("offset_ns", [-1, 0, 1])
def test_c3_what_is_kept_back_at_a_frames_edge_takes_the_whole_second(made, offset_ns):
    edge_ns = NOW_NS + SECOND_NS + offset_ns
    with made.vault.db.write() as connection:
        person = ana(made, connection)
        withhold.withhold(connection, person, edge_ns, edge_ns + 1, NOW_NS)
        withhold.withhold(connection, person, edge_ns - 1, edge_ns + 1, NOW_NS)
    release = made.release(made.run)
    assert made.audit(release.id)["breaches"] == []
    assert release.manifest is not None
    samples = [
        (sample["start_ns"] - NOW_NS, sample["stop_ns"] - NOW_NS)
        for entry in release.manifest["manifest"]["people"]
        for shard in entry["shards"]
        for sample in shard["samples"]
    ]
    first = [each for each in samples if each[1] <= 2 * SECOND_NS]
    whole = (0, 2 * SECOND_NS)  # the other person's
    mine = [each for each in first if each != whole]
    assert mine in ([(0, SECOND_NS)], [(SECOND_NS, 2 * SECOND_NS)], [])
    taken = (edge_ns - 1 - NOW_NS, edge_ns + 1 - NOW_NS)
    assert all(stop <= taken[0] or start >= taken[1] for start, stop in mine)


# --- footage without a clock, placed anew


@pytest.mark.fault("D16")
def test_d16_footage_that_was_placed_anew_is_judged_where_it_lies_at_the_release(made):
    made.hand_in_unplaced(0, "dark")
    with made.vault.db.read() as connection:
        guessed_ns = catalog.of_person(connection, made.people[0].id)[0].start_ns
    with made.vault.db.write() as connection:
        review.reviewed(connection, ana(made, connection), now_ns=NOW_NS)
    before = made.release(made.run)
    assert starts(before) & {guessed_ns, THEN_NS} == {guessed_ns}
    assert made.audit(before.id)["breaches"] == []
    made.learn_time(0, "dark", THEN_NS)
    with made.vault.db.write() as connection:
        review.reviewed(connection, ana(made, connection), now_ns=NOW_NS)
        withhold.withhold(connection, ana(made, connection), guessed_ns, guessed_ns + 1, NOW_NS)
    after = made.release(made.run)
    assert starts(after) & {guessed_ns, THEN_NS} == {THEN_NS}
    # Each by what the log had said by then: a release from before is not judged by what came later.
    assert made.audit(before.id)["breaches"] == []
    told = made.audit(after.id)
    assert told["breaches"] == []
    assert made.check_bytes(after) == told["samples"]


@pytest.mark.fault("D16")
def test_d16_what_was_kept_back_of_the_time_to_which_footage_is_moved_holds_for_it(made):
    move_into_what_is_kept_back(made, NoPatch())
    release = made.release(made.run)
    assert starts(release) & {THEN_NS, THEN_NS + SECOND_NS} == {THEN_NS + SECOND_NS}
    assert made.audit(release.id)["breaches"] == []


@pytest.mark.fault("D16")
def test_d16_a_move_that_the_bundle_leaves_out_counts_as_missing(made):
    move(made)
    release = made.release(made.run)
    given, (entries, note) = bundle.make(made.vault, release.id), made.entries()
    key = str(made.vault.keyring.log_key().public)
    (index,) = [at for at in given["openings"] if b"session_placed" in entries[int(at)]]
    del given["openings"][index]
    told = auditor.audit_release(given, entries, note, key)
    assert f"log entry {index} is not opened by the bundle" in told["breaches"][0]


# --- a bundle, a log or a manifest that was tampered with


@pytest.fixture(scope="module")
def audited():
    programme = begin()
    release = programme.release(programme.run)
    given = json.loads(json.dumps(bundle.make(programme.vault, release.id)))
    key = programme.vault.keyring.log_key()
    yield programme, given, programme.entries(), key
    programme.close()


def test_an_outsider_needs_only_files(audited, tmp_path):
    programme, given, _, key = audited
    export(programme.vault, tmp_path / "log")
    told = auditor.audit_release(given, *auditor.read_log(str(tmp_path / "log")), str(key.public))
    assert told["holds"]
    assert told["samples"] == 4
    assert told["footage_ns"] == 8 * SECOND_NS


def test_a_bundle_names_nobody_and_opens_what_it_must_alone(audited):
    programme, given, (entries, _), _ = audited
    text = json.dumps(given)
    for person in programme.people:
        assert f'"{person.name}"' not in text
        assert person.salt is not None
        assert base64.b64encode(person.salt).decode() not in text
    kinds = {json.loads(entries[int(index)])["kind"] for index in given["openings"]}
    assert {"consent_given", "rule_set", "segment_stored"} <= kinds
    assert not kinds & {"person_added", "read", "device_enrolled"}


def test_a_bundle_names_no_employer_no_reviewer_and_no_place(made):
    with made.vault.db.write() as connection:
        person = ana(made, connection)
        times = {"stop_ns": NOW_NS + 9 * DAY_NS, "now_ns": NOW_NS}
        stay = (NOW_NS - 9 * DAY_NS, NOW_NS - 8 * DAY_NS)
        zones.say(connection, person, "work", *stay, label="the shop", now_ns=NOW_NS)
        signed = {"employer": "Bread Ltd", "signed_by": "B. Aker", "document_sha256": "0" * 64}
        zones.permit(connection, person, "the shop", **signed, **times)
        bounds = (NOW_NS - 2 * DAY_NS, NOW_NS - 2 * DAY_NS + SECOND_NS)
        code = bystanders.badge_code(person, bystanders.day_of(bounds[0]))
        bystanders.ask(connection, *bounds, code=code, now_ns=NOW_NS)
        (held,) = bystanders.settle(connection, NOW_NS)
        bystanders.decide(connection, person, held.id, "keep", NOW_NS, reviewer="Dr. Eve")
    release = made.release(made.run)
    told = json.dumps(bundle.make(made.vault, release.id))
    assert f'"label\\":\\"{zones.MARKED}' in told.replace("\\\\", "\\")
    assert not [name for name in ("Bread", "Aker", "Eve", "the shop") if name in told]
    assert made.audit(release.id)["holds"]


def test_what_the_bundle_leaves_out_counts_as_missing(audited):
    _, given, log, key = audited
    for index in given["openings"]:
        less = copy.deepcopy(given)
        del less["openings"][index]
        told = auditor.audit_release(less, *log, str(key.public))
        assert not told["holds"]
        assert f"log entry {index} is not opened by the bundle" in told["breaches"][0]


def test_no_opening_can_be_bent(audited):
    _, given, log, key = audited
    for index, opening in given["openings"].items():
        bent = copy.deepcopy(given)
        bent["openings"][index]["said"] = opening["said"] + " "
        with pytest.raises(Damaged, match=f"entry {index} does not fit"):
            auditor.audit_release(bent, *log, str(key.public))


def test_entries_manifest_and_key_are_those_of_the_log_or_nothing_is_judged(audited):
    _, given, (entries, note), key = audited
    other = [*entries[:3], entries[3] + b" ", *entries[4:]]
    with pytest.raises(Damaged, match="not those of the log's checkpoint"):
        auditor.audit_release(given, other, note, str(key.public))
    with pytest.raises(Damaged, match="not those of the log's checkpoint"):
        auditor.audit_release(given, entries[:-1], note, str(key.public))
    with pytest.raises(WrongKey):
        auditor.audit_release(given, entries, note, str(SigningKey.generate().public))
    more = copy.deepcopy(given)
    more["manifest"]["manifest"]["people"][0]["shards"][0]["samples"][0]["stop_ns"] += 1
    with pytest.raises(Damaged):
        auditor.audit_release(more, entries, note, str(key.public))
    with pytest.raises(Damaged, match="no proof bundle"):
        auditor.audit_release({"manifest": given["manifest"]}, entries, note)


def test_after_an_erasure_the_others_are_judged_still_and_the_erased_are_named_apart(made):
    release = made.release(made.run)
    before = made.audit(release.id)
    given = json.loads(json.dumps(bundle.make(made.vault, release.id)))
    order = order_of(made)
    erase.carry_out(made.vault, order)
    with made.vault.db.read() as connection:
        done = erasure.find(connection, order.id)
    told = made.audit(release.id)
    assert (told["holds"], told["breaches"], told["samples"]) == (True, [], before["samples"])
    assert len(told["erased"]) == before["samples"] / 2
    words = f"by entries {done.log_index} and {done.done_index} of the log"
    assert all(words in each for each in told["erased"])
    # Whoever kept a bundle from before has all of them judged.
    kept = auditor.audit_release(given, *made.entries())
    assert (kept["breaches"], kept["erased"]) == ([], [])


def order_of(made: Programme, bounds: tuple[int, int] | None = None) -> erasure.Order:
    with made.vault.db.write() as connection:
        ben = people.find(connection, made.people[1].id)
        return erasure.order(connection, ben, bounds, NOW_NS)


def closed_to(made: Programme, release: str, number: int) -> dict:
    """The bundle of a release without anything of one person, as a vault that hides would give."""
    given = bundle.make(made.vault, release)
    with made.vault.db.read() as connection:
        mine = {str(entry.index) for entry in log.read(connection, made.people[number].id)}
    return given | {"openings": {at: it for at, it in given["openings"].items() if at not in mine}}


@pytest.mark.parametrize("what", ["nothing", "ordered", "undone", "an hour", "somebody else"])
def test_what_is_missing_without_an_erasure_of_its_person_stays_a_breach(made, what):
    release = made.release(made.run)
    given = closed_to(made, release.id, 1)
    if what == "ordered":  # and not carried out
        order_of(made)
    elif what == "undone":
        with made.vault.db.write() as connection:
            ben = people.find(connection, made.people[1].id)
            order = erasure.order(connection, ben, None, NOW_NS, wait_ns=DAY_NS)
            erasure.undo(connection, order.id, NOW_NS)
    elif what == "an hour":
        erase.carry_out(made.vault, order_of(made, (NOW_NS, NOW_NS + 3600 * SECOND_NS)))
    elif what == "somebody else":
        with made.vault.db.write() as connection:
            order = erasure.order(connection, ana(made, connection), None, NOW_NS)
        erase.carry_out(made.vault, order)
    told = auditor.audit_release(given, *made.entries())
    assert not told["holds"]
    assert len(told["breaches"]) == told["samples"] / 2
    assert told["erased"] == []


def test_whoever_erased_a_part_and_left_the_release_is_judged_still(made):
    release = made.release(made.run)
    before = made.audit(release.id)
    erase.carry_out(made.vault, order_of(made, (NOW_NS, NOW_NS + SECOND_NS)))
    told = made.audit(release.id)
    assert (told["breaches"], told["erased"]) == ([], [])
    assert told["entries_opened"] == before["entries_opened"]
