"""Erasure in two steps: hidden at once for everybody, destroyed when due, and undone before."""

import copy
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
import wearers
from faults import Tally

from firsthand import log
from firsthand.consent import ask, erasure
from firsthand.consent.terms import consents
from firsthand.errors import Damaged, Error, NotFound, Refused
from firsthand.release import erase as releasing
from firsthand.release.recover import recover
from firsthand.vault import catalog, epoch, erase, erased, reading
from firsthand.vault.check import check
from firsthand.vault.vault import Vault

pytestmark = pytest.mark.usefixtures("cheap_seal")
MINUTE_NS = 60 * 10**9
DAY_NS = 86_400 * 10**9
WEEK_NS = 7 * DAY_NS
PLAIN = {"video": b"moving pictures " * 9, "events": b"\n"}


@pytest.fixture
def hand_in(vault, device) -> Callable[..., list[str]]:  # type: ignore[no-untyped-def]
    """Hands segments in that begin at these minutes; returns their ids."""

    def make(*minutes: float) -> list[str]:
        found = []
        for minute in minutes:
            made = device.seal(PLAIN, 60 * minute)
            device.hand_in(made)
            with vault.db.read() as connection:
                found.append(catalog.find_record(connection, device.id, made.record.seq).id)
        return found

    return make


@pytest.fixture
def span(clock) -> Callable[[float, float], tuple[int, int]]:  # type: ignore[no-untyped-def]
    """The interval between two minutes."""
    begun_ns = clock.now_ns
    return lambda start, stop: (
        begun_ns + int(start * MINUTE_NS),
        begun_ns + int(stop * MINUTE_NS),
    )


def opens(vault: Vault, *ids: str) -> list[bool]:
    found = []
    for segment in ids:
        try:
            plain = reading.read_part(vault, segment, "video", "self", "test")
            found.append(plain == PLAIN["video"])
        except Error:
            found.append(False)
    return found


def seen(vault: Vault, person) -> list[str]:  # type: ignore[no-untyped-def]
    with vault.db.read() as connection:
        return [each.id for each in catalog.of_person(connection, person.id)]


def test_what_is_ordered_is_hidden_at_once_and_comes_back_by_undoing(vault, person, hand_in, span):
    ids = hand_in(0, 1, 2, 3)
    order = erase.place(vault, person, span(1, 2.5))
    assert (order.state, opens(vault, *ids)) == ("hidden", [True, False, False, True])
    assert seen(vault, person) == [ids[0], ids[3]]
    with vault.db.read() as connection:
        spans = [each.id for each in catalog.spans(connection, person.id)]
    assert spans == [ids[0], ids[3]]
    assert releasing.sweep(vault) == []
    assert erase.undo(vault, order.id).state == "undone"
    assert opens(vault, *ids) == [True] * 4
    assert check(vault).faults == []
    with pytest.raises(Refused, match="undone already"):
        erase.undo(vault, order.id)
    with pytest.raises(Refused, match="was undone"):
        erase.carry_out(vault, order)


def test_it_is_destroyed_when_its_week_is_over_and_not_undone_after(
    vault, person, hand_in, span, clock
):
    ids = hand_in(0, 1)
    order = erase.place(vault, person, span(0, 0.5))
    clock.now_ns += WEEK_NS - 1
    assert releasing.sweep(vault) == []
    with pytest.raises(Refused, match="not due yet"):
        erase.carry_out(vault, order)
    clock.now_ns += 1
    with pytest.raises(Refused, match="being carried out"):
        erase.undo(vault, order.id)
    (done,) = releasing.sweep(vault)
    assert (done.id, done.state, done.outcome["segments"]) == (order.id, "erased", 1)
    assert opens(vault, *ids) == [False, True]
    with pytest.raises(Refused, match="carried out"):
        erase.undo(vault, order.id)
    assert [item.key for item in check(vault).orphans] == []


def test_a_clock_that_goes_back_does_not_undo_what_was_begun(vault, person, hand_in, span, clock):
    (segment,) = hand_in(0)
    order = erase.place(vault, person, span(0, 1))
    clock.now_ns += WEEK_NS
    with vault.db.write() as connection:
        erasure.begin(connection, order, clock())
    clock.now_ns -= WEEK_NS
    with pytest.raises(Refused):
        erase.undo(vault, order.id)
    assert [each.id for each in releasing.sweep(vault)] == [order.id]
    assert opens(vault, segment) == [False]


def test_two_orders_over_one_segment_each_hide_it_until_both_are_undone(
    vault, person, hand_in, span
):
    ids = hand_in(0, 1, 2)
    first = erase.place(vault, person, span(0, 2))
    second = erase.place(vault, person, listed=[ids[1]])
    assert erase.place(vault, person, span(0, 2)).id == first.id
    erase.undo(vault, first.id)
    assert opens(vault, *ids) == [True, False, True]
    erase.undo(vault, second.id)
    assert opens(vault, *ids) == [True] * 3


def test_erasing_one_minute_of_a_day_leaves_another_that_only_hides_to_be_undone(
    vault, person, hand_in, span
):
    ids = hand_in(0, 1, 2)
    waiting = erase.place(vault, person, listed=[ids[0]])
    now = erase.place(vault, person, span(1, 1.5), wait_ns=0)
    erase.carry_out(vault, now)
    assert opens(vault, *ids) == [False, False, True]
    erase.undo(vault, waiting.id)
    assert opens(vault, *ids) == [True, False, True]


def test_saying_now_after_all_destroys_what_only_waited(vault, person, hand_in, span):
    (segment,) = hand_in(0)
    waiting = erase.place(vault, person, span(0, 1))
    again = erase.place(vault, person, span(0, 1), wait_ns=0)
    assert (again.id, again.due_ns) == (waiting.id, None)
    erase.carry_out(vault, again)
    assert opens(vault, segment) == [False]


def test_what_comes_late_into_a_hidden_hour_is_kept_hidden_until_it_is_undone_or_refused_after(
    vault, person, device, hand_in, span
):
    ids = hand_in(0)
    order = erase.place(vault, person, span(0, 5))
    ids += hand_in(1)
    assert seen(vault, person) == []
    assert opens(vault, *ids) == [False, False]
    erase.undo(vault, order.id)
    assert opens(vault, *ids) == [True, True]
    erase.carry_out(vault, erase.place(vault, person, span(0, 5), wait_ns=0))
    receipt = device.hand_in(device.seal(PLAIN, 120))["receipt"]
    assert (receipt["kind"], receipt["reason"]) == ("refused", "erased")


def test_what_turns_out_to_be_of_a_hidden_hour_is_hidden_when_the_device_learns_the_time(
    vault, person, device, hand_in, span
):
    untold = {"wall_quality": "none", "wall_ns_start": 0, "wall_ns_end": 0}
    made = device.seal(PLAIN, 0, **untold)
    device.hand_in(made)
    with vault.db.read() as connection:
        early = catalog.find_record(connection, device.id, made.record.seq)
    order = erase.place(vault, person, span(0, 1))
    assert seen(vault, person) == [early.id]  # placed before it came, for want of better
    ids = hand_in(1)
    assert seen(vault, person) == ids
    erase.undo(vault, order.id)
    assert seen(vault, person) == [early.id, *ids]


def test_a_person_who_asked_to_be_erased_is_used_by_nobody_and_can_change_their_mind(
    vault, person, hand_in, device
):
    ids = hand_in(0)
    with vault.db.write() as connection:
        wearers.prepare(connection, person)
        consents.give(connection, person, ["fh:emulate-self"], now_ns=vault.now_ns())
        asked = ("fh:emulate-self", person, vault.now_ns())
        assert ask.for_self(connection, *asked).allowed
    order = erase.place(vault, person)
    with vault.db.read() as connection:
        decision = ask.for_self(connection, *asked)
    assert decision.reasons == ("the person has asked to be erased",)
    assert opens(vault, *ids) == [False]
    ids += hand_in(1)
    erase.undo(vault, order.id)
    with vault.db.read() as connection:
        assert ask.for_self(connection, *asked).allowed
    assert opens(vault, *ids) == [True, True]


def test_the_day_key_itself_goes_with_a_whole_day(vault, person, hand_in, clock):
    ids = hand_in(0, 1)
    start_ns = clock() - clock() % DAY_NS
    erase.carry_out(vault, erase.place(vault, person, (start_ns, start_ns + DAY_NS), wait_ns=0))
    assert opens(vault, *ids) == [False, False]
    for generation in range(3):
        with pytest.raises(NotFound):
            vault.keyring.day_key(person.id, catalog.day_of(clock()), generation)


# --- after the loss of the database


@pytest.mark.files
@pytest.mark.parametrize("undone", [False, True])
def test_an_order_that_waits_or_was_undone_outlasts_the_database(
    vault, person, hand_in, span, undone, clock
):
    ids = hand_in(0, 1)
    order = erase.place(vault, person, span(0, 0.5))
    if undone:
        erase.undo(vault, order.id)
    vault.close()
    for file in (vault.settings.data / "vault").glob("firsthand.db*"):
        file.unlink()
    again = Vault(vault.settings, clock, recovering=True)
    done = recover(again)
    assert done.left == []
    assert opens(again, *ids) == [undone, True]
    with again.db.read() as connection:
        assert [each.state for each in erasure.listed(connection)] == [
            "undone" if undone else "hidden"
        ]
    clock.now_ns += WEEK_NS
    assert len(releasing.sweep(again)) == (0 if undone else 1)
    assert opens(again, *ids) == [undone, True]
    again.close()


@pytest.mark.files
@pytest.mark.parametrize("fate", ["undone", "hastened", "carried out in time"])
def test_a_backup_that_knows_an_order_learns_from_the_store_what_became_of_it(
    vault, person, hand_in, span, fate, clock, tmp_path
):
    ids = hand_in(0, 1)
    order = erase.place(vault, person, span(0, 0.5))
    database = vault.settings.data / "vault" / "firsthand.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"VACUUM INTO '{tmp_path / 'old.db'}'")
    if fate == "undone":
        erase.undo(vault, order.id)
    elif fate == "hastened":
        erase.carry_out(vault, erase.place(vault, person, span(0, 0.5), wait_ns=0))
    else:
        clock.now_ns += WEEK_NS
        releasing.sweep(vault)
    vault.close()
    for file in database.parent.glob("firsthand.db*"):
        file.unlink()
    shutil.copy(tmp_path / "old.db", database)
    again = Vault(vault.settings, clock, recovering=True)
    assert recover(again).left == []
    assert opens(again, *ids) == [fate == "undone", True]
    with again.db.read() as connection:
        state = erasure.find(connection, order.id).state
    assert state == ("undone" if fate == "undone" else "erased")
    again.close()


# --- the receipt


def test_the_receipt_has_both_times_and_proves_them_from_the_log(
    vault, person, hand_in, span, clock
):
    hand_in(0, 1)
    order = erase.place(vault, person, span(0, 0.5))
    with pytest.raises(Refused, match="nothing was destroyed yet"):
        erased.receipt(vault, order.id)
    clock.now_ns += WEEK_NS
    releasing.sweep(vault)
    gone_ns, key = clock(), vault.keyring.log_key().public
    said = erased.verify(erased.receipt(vault, order.id), key)
    assert (said["gone_live_ns"], said["gone_backups_ns"]) == (gone_ns, None)
    began_ns = vault.keyring.epochs()[0].began_ns
    assert said["gone_backups_by_ns"] == began_ns + 30 * DAY_NS
    assert said["outcome"] == {"segments": 1, "bytes": said["outcome"]["bytes"]} | {
        "releases": [],
        "runs": [],
    }
    clock.now_ns += 3 * DAY_NS
    epoch.rotate(vault)
    hand_in(2)
    receipt = json.loads(json.dumps(erased.receipt(vault, order.id)))
    said = erased.verify(receipt, key)
    assert (said["gone_live_ns"], said["gone_backups_ns"]) == (gone_ns, clock())
    assert said["proofs"][0]["index"] == said_index(vault, order.id)


def said_index(vault: Vault, order: str) -> int:
    with vault.db.read() as connection:
        return next(
            each.index
            for each in log.read(connection)
            if each.kind == "erasure_done" and each.public["order"] == order
        )


def test_a_receipt_that_says_another_thing_than_the_log_is_refused(
    vault, person, hand_in, span, tally: Tally
):
    hand_in(0, 1)
    order = erase.place(vault, person, span(0, 0.5), wait_ns=0)
    erase.carry_out(vault, order)
    epoch.rotate(vault)
    signing = vault.keyring.log_key()
    receipt = erased.receipt(vault, order.id)
    erased.verify(receipt, signing.public)
    changes = {
        "gone_live_ns": 1,
        "gone_backups_ns": 1,
        "order": "e-0",
        "scope": "person",
        "epoch": 2,
        "proofs": receipt["erasure"]["proofs"][:1],
    }
    for name, value in changes.items():
        false = copy.deepcopy(receipt)
        false["erasure"][name] = value
        with pytest.raises(Damaged):  # not signed
            erased.verify(false, signing.public)
        false = erased.sign_body("erasure", false["erasure"], signing, erased.CONTEXT)
        with pytest.raises(Damaged):  # signed, but the log says otherwise
            erased.verify(false, signing.public)
    for number in (0, 1):
        false = copy.deepcopy(receipt)["erasure"]
        false["proofs"][number]["index"] += 1
        with pytest.raises(Damaged):
            erased.verify(
                erased.sign_body("erasure", false, signing, erased.CONTEXT), signing.public
            )


def test_the_log_says_when_an_epoch_ended_even_if_it_was_cut_off_before(vault, monkeypatch):
    from firsthand.vault.keys import epochs

    epochs.rotate(vault.keyring)
    assert vault.keyring.epochs()[0].log_index is None
    epoch.note(vault)
    epoch.note(vault)
    with vault.db.read() as connection:
        kinds = [each.kind for each in log.read(connection)]
    assert kinds.count("epoch_ended") == 1
    assert vault.keyring.epochs()[0].log_index == kinds.index("epoch_ended")
