"""Recovery: an old database beside today's store and keyring; nothing stored is lost again."""

import base64
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import wearers
from faults import Tally

from firsthand import config, enrolment, log
from firsthand.capture import Law
from firsthand.consent import ask, erasure, people
from firsthand.consent.capture import bystanders, law, review, withhold, zones
from firsthand.consent.estate import directive
from firsthand.consent.figures import traits
from firsthand.consent.money import formula, ledger, statement
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.terms import consents, quiz, text
from firsthand.crypto import SigningKey, unwrap, wrap
from firsthand.errors import Damaged, Locked, Refused, WrongKey
from firsthand.forgetting import Forget, sign_forget
from firsthand.release.recover import recover
from firsthand.segment import sign_record, verify_receipt
from firsthand.vault import catalog, enrol, fleet, forget, fork, ingest, journal, reading
from firsthand.vault.check import check
from firsthand.vault.erase import carry_out
from firsthand.vault.vault import Vault

pytestmark = pytest.mark.files
NOW_NS = 1_793_520_000 * 10**9  # where the vault's clock begins
MINUTE_NS = 60 * 10**9
DAY_NS = 86_400 * 10**9


def back_up(vault: Vault, to: Path) -> None:
    """A copy of the database alone, as it stands."""
    with closing(sqlite3.connect(str(vault.db.engine.url.database))) as connection:
        connection.execute(f"VACUUM INTO '{to}'")


def put_back(vault: Vault, backup: Path | None) -> None:
    """Loses today's database, and puts an old one, or none, in its place."""
    vault.close()
    folder = vault.settings.data / "vault"
    for file in folder.glob("firsthand.db*"):
        file.unlink()
    if backup is not None:
        shutil.copy(backup, folder / "firsthand.db")


def recovered(vault: Vault) -> Vault:
    opened = Vault(vault.settings, vault.now_ns, recovering=True)
    recover(opened)
    opened.close()
    return Vault(vault.settings, vault.now_ns)


def erase(vault: Vault, person: people.Person, interval: tuple[int, int] | None = None) -> None:
    with vault.db.write() as connection:
        order = erasure.order(connection, person, interval, vault.now_ns())
    carry_out(vault, order)


def everything(vault: Vault) -> dict[str, list]:
    """All that a recovery must give back, of every table but the notes of checks and limits."""
    found = {}
    with vault.db.read() as connection:
        for name in ("person", "device", "consent", "withhold", "segment", "segment_part"):
            rows = connection.exec_driver_sql(f'SELECT * FROM "{name}" ORDER BY 1, 2').fetchall()
            found[name] = [tuple(row) for row in rows]
        found["log"] = [
            tuple(row)
            for row in connection.exec_driver_sql("SELECT * FROM log_entry ORDER BY 1").fetchall()
        ]
    return found


@pytest.fixture
def life(vault: Vault, clock, make_device, tmp_path: Path) -> Callable[[], dict]:
    """A vault with a week-old backup; since then two people came, one left, and much happened."""

    def live() -> dict:
        ana, ben, cleo = (vault.add_person(name, "sim") for name in ("ana", "ben", "cleo"))
        devices = {p.name: make_device(p, f"d-{p.name}") for p in (ana, ben, cleo)}
        receipts: dict[str, dict] = {}

        def record(name: str, minute: int) -> None:
            made = devices[name].seal({"video": f"{name} {minute}".encode()}, 60 * minute)
            receipts[f"{name} {minute}"] = devices[name].hand_in(made)

        for minute in range(4):
            for name in ("ana", "ben", "cleo"):
                record(name, minute)
        with vault.db.write() as connection:
            consents.give(connection, ana, ["fh:human-view"])
            given = consents.give(connection, ben, ["fh:human-view"])
        back_up(vault, tmp_path / "old.db")
        clock.now_ns += 7 * DAY_NS
        for minute in range(4, 8):
            for name in ("ana", "ben", "cleo"):
                record(name, minute)
        devices["ana"].hand_in(devices["ana"].seal({}, 480, reason="paused"))
        dora = vault.add_person("dora", "sim")
        devices["dora"] = make_device(dora, "d-dora")
        record("dora", 0)
        with vault.db.write() as connection:
            consents.withdraw(connection, ben, given.id)
            withhold.withhold(connection, ana, NOW_NS, NOW_NS + 1)
        # Erased since: an hour before the backup, one after it, and a person.
        erase(vault, ana, (NOW_NS + MINUTE_NS, NOW_NS + MINUTE_NS + 1))
        erase(vault, ana, (NOW_NS + 5 * MINUTE_NS, NOW_NS + 5 * MINUTE_NS + 1))
        erase(vault, cleo)
        record("ben", 8)
        return {"receipts": receipts, "devices": devices, "people": (ana, ben, cleo, dora)}

    return live


@pytest.mark.fault("S6")
@pytest.mark.parametrize("backup", ["a week old", "none"])
def test_s6_an_old_database_comes_back_with_every_receipt_and_what_was_erased_stays_erased(
    vault, life, tmp_path, clock, backup, tally: Tally
):
    lived = life()
    before = everything(vault)
    put_back(vault, tmp_path / "old.db" if backup == "a week old" else None)
    again = recovered(vault)
    after = everything(again)
    gone = {"ana 1", "ana 5", *(f"cleo {minute}" for minute in range(8))}
    ana, ben, cleo, dora = lived["people"]
    key = again.keyring.log_key().public
    for name, envelope in lived["receipts"].items():
        receipt = verify_receipt(envelope, key)
        with again.db.read() as connection:
            held = catalog.find_record(connection, receipt.device, receipt.seq)
            root = log.root(connection, receipt.log_index + 1).hex()
        assert root == receipt.log_root  # the log is the one that was seen
        if name in gone:
            assert held is None or (held.state, held.object) == ("erased", "")
        else:
            assert held.receipt == envelope
            plain = reading.read_part(again, held.id, "video", "self", "x")
            assert plain == name.encode()
    found = check(again)
    assert (found.faults, found.orphans) == ([], [])
    # Consents and withholds are those of today too: a withdrawal is not undone.
    for table in ("consent", "withhold", "person", "device"):
        assert _without(after[table], cleo.id) == _without(before[table], cleo.id)
    assert after["log"][: len(before["log"])] == before["log"]
    with again.db.read() as connection:
        for person in (ana, ben, dora):
            assert log.verify_openings(connection, {person.id: person.salt}) > 0
        assert backup == "none" or people.find(connection, cleo.id).status == "erased"
        size = log.size(connection)
    # A device that comes with what was erased gets the same answer as before.
    answer = lived["devices"]["ana"]
    answer.vault = again
    late = answer.seal({"video": b"late"}, 5 * 60)
    assert answer.hand_in(late)["receipt"]["reason"] == "erased"
    fresh = answer.seal({"video": b"fresh"}, 9 * 60)
    assert answer.hand_in(fresh)["receipt"]["log_index"] == size + 1
    again.close()
    tally.add(cases=len(lived["receipts"]))


def _without(rows: list, person: str) -> list:
    return [row for row in rows if not any(person in str(cell) for cell in row)]


def test_a_database_that_is_older_than_its_store_is_not_used(vault, life, tmp_path):
    life()
    put_back(vault, tmp_path / "old.db")
    with pytest.raises(Damaged, match=r"lacks \d+ entries of the log") as caught:
        Vault(vault.settings, vault.now_ns)
    assert "vault recover" in caught.value.hint


def test_recovering_twice_or_without_need_changes_nothing(vault, life, tmp_path):
    life()
    before = everything(vault)
    vault.close()
    again = recovered(vault)
    assert everything(again) == before
    again.close()
    put_back(vault, tmp_path / "old.db")
    first = recovered(vault)
    held = everything(first)
    first.close()
    second = recovered(vault)
    assert everything(second) == held
    second.close()


@pytest.mark.parametrize("where", ["_people", "_segment", "_erasures", "carry_out"])
def test_a_recovery_that_is_cut_off_is_run_again(vault, life, tmp_path, monkeypatch, where):
    from firsthand.release import erase as releasing
    from firsthand.vault import recover as room

    module = releasing if where == "carry_out" else room
    life()
    put_back(vault, tmp_path / "old.db")
    calls = 0
    whole = getattr(module, where)

    def crash(*args):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls > 1 or where in ("_people", "_erasures"):
            raise KeyboardInterrupt
        return whole(*args)

    opened = Vault(vault.settings, vault.now_ns, recovering=True)
    with monkeypatch.context() as patch:
        patch.setattr(module, where, crash)
        with pytest.raises(KeyboardInterrupt):
            recover(opened)
    opened.close()
    if where != "_people":  # then not even the log has come back
        with pytest.raises(Damaged, match="was cut off") as caught:
            Vault(vault.settings, vault.now_ns)
        assert "vault recover" in caught.value.hint
    again = recovered(vault)
    assert (check(again).faults, check(again).orphans) == ([], [])
    again.close()


def test_a_vault_that_is_open_elsewhere_is_not_recovered_nor_opened_meanwhile(
    vault, person, open_vault, monkeypatch
):
    from firsthand.vault import recover as module

    opened = Vault(vault.settings, vault.now_ns, recovering=True)
    before = everything(vault)
    with pytest.raises(Locked, match="another process has this vault open"):
        recover(opened)
    assert everything(vault) == before
    vault.close()
    tried = []

    def look(*args):  # type: ignore[no-untyped-def]
        with pytest.raises(Locked, match="recovered just now"):
            open_vault()
        tried.append(args)
        return whole(*args)

    whole = module._people
    monkeypatch.setattr(module, "_people", look)
    recover(opened)
    assert tried
    open_vault()  # once it is done
    opened.close()


def test_an_opening_that_fails_leaves_the_vault_to_others(vault):
    vault.close()
    with pytest.raises(WrongKey) as caught:  # keeps what failed from being collected
        Vault(replace(vault.settings, passphrase="wrong"), vault.now_ns)
    opened = Vault(vault.settings, vault.now_ns)
    with opened.alone():
        pass
    opened.close()
    assert caught.value.hint


def test_another_vaults_database_is_refused(vault, device, open_vault, tmp_path):
    device.hand_in(device.seal())
    other = tmp_path / "other"
    config.mark(other, "real")
    foreign = Vault(config.load(other, {}, passphrase="another"), vault.now_ns)
    foreign.add_person("eve")
    back_up(foreign, tmp_path / "foreign.db")
    foreign.close()
    device.hand_in(device.seal())
    put_back(vault, tmp_path / "foreign.db")
    opened = Vault(vault.settings, vault.now_ns, recovering=True)
    with pytest.raises(Damaged, match="differs between database and store"):
        recover(opened)
    opened.close()


def test_a_forged_slip_or_order_is_not_believed(vault, person, device, tmp_path):
    back_up(vault, tmp_path / "old.db")
    device.hand_in(device.seal())
    (key,) = vault.store.keys("journal/slips")
    sealing = vault.keyring.journal_key(person.id)
    data = unwrap(sealing, b"".join(vault.store.chunks(key)), key.encode())
    forged = data.replace(b'"start_ns":', b'"start_ns":1', 1)
    vault.store.replace(key, wrap(sealing, forged, key.encode()))
    vault.store.replace(f"journal/orders/{person.id}/e-1", b'{"order":{},"signature":""}')
    put_back(vault, tmp_path / "old.db")
    opened = Vault(vault.settings, vault.now_ns, recovering=True)
    done = recover(opened)
    assert (done.segments, len(done.left)) == (0, 2)
    assert len(check(opened).orphans) == 1  # its bytes are kept, and named
    opened.close()


def test_the_journal_is_followed_over_many_tiles(vault, monkeypatch, tmp_path):
    monkeypatch.setattr(journal, "TILE", 4)
    back_up(vault, tmp_path / "old.db")
    for number in range(11):
        vault.add_person(f"p{number}")
    second = Vault(vault.settings, vault.now_ns)  # as another process: it begins within a tile
    second.add_person("late")
    vault.add_person("latest")
    before = everything(vault)
    assert len(list(vault.store.keys("journal/log"))) == 4
    second.close()
    put_back(vault, tmp_path / "old.db")
    again = recovered(vault)
    assert everything(again) == before
    again.close()


@pytest.mark.fault("S6")
def test_s6_what_was_erased_stays_so_though_its_order_is_lost(vault, life, tmp_path):
    lived = life()
    ana, _, cleo, _ = lived["people"]
    for kind in ("orders", "intervals"):
        for key in list(vault.store.keys(f"journal/{kind}")):
            vault.store.delete(key)
    put_back(vault, tmp_path / "old.db")
    again = recovered(vault)
    with again.db.read() as connection:
        there = [each.seq for each in catalog.of_person(connection, ana.id)]
        assert catalog.of_person(connection, cleo.id) == []
    assert there == [1, 3, 4, 5, 7, 8]  # 2 and 6 were erased
    assert check(again).faults == []
    again.close()


@pytest.mark.fault("S6")
def test_s6_what_ended_consents_since_the_backup_ends_them_again(vault, person, clock, tmp_path):
    purpose = "fh:human-view"
    with vault.db.write() as connection:
        consents.give(connection, person, [purpose], now_ns=clock())
    back_up(vault, tmp_path / "old.db")
    words = text.Text("3", "Other words.", {"material": True, "older": {"effect": "end"}})
    with vault.db.write() as connection:
        wearers.prepare(connection, person)
        text.adopt(connection, words, clock())
        approvals.add(connection, "IRB-7", [purpose], "the board", clock() + DAY_NS, clock())
        approvals.add(connection, "IRB-8", [purpose], "the board", clock() + DAY_NS, clock())
        approvals.end(connection, "IRB-8", clock())
        proposal = proposals.Proposal("t", (purpose,), "m", "w", 30, ethics_approval="IRB-7")
        run = proposals.propose(connection, proposal, clock())
        answers.vote(connection, run, person, "no")
    put_back(vault, tmp_path / "old.db")
    again = recovered(vault)
    with again.db.read() as connection:
        assert not ask.for_self(connection, purpose, person, clock()).allowed
        assert text.in_force(connection) == words
        assert [each.holds(clock()) for each in approvals.listed(connection)] == [True, False]
        assert proposals.listed(connection) == [run]
        assert answers.answer(connection, run, person.id) == "no"
        assert quiz.attested(connection, person.id) is not None
        assert quiz.passed(connection, person.id, text.find(connection, text.CURRENT)) is not None
    again.close()


def test_an_erased_person_is_sealed_off_in_the_journal_too(vault, person, device):
    device.hand_in(device.seal())
    with vault.db.write() as connection:
        consents.give(connection, person, ["fh:human-view"])
    keys = list(vault.store.keys("journal"))
    assert any(person.id in key for key in keys)
    erase(vault, person)
    left = [key for key in vault.store.keys("journal") if "/log/" not in key]
    assert left == [key for key in left if key.startswith(f"journal/orders/{person.id}/")]
    assert vault.keyring.journal_key(person.id) is None
    for key in vault.store.keys("journal"):
        data = b"".join(vault.store.chunks(key))
        assert person.name.encode() + b'"' not in data
        assert (person.salt or b"?") not in data


def test_the_store_alone_reads_nothing_of_a_person_in_the_journal(vault, person, device):
    device.hand_in(device.seal(start_s=5))
    with vault.db.write() as connection:
        consents.give(connection, person, ["fh:human-view"])
        (segment,) = catalog.of_person(connection, person.id)
    erase(vault, person, (NOW_NS + DAY_NS, NOW_NS + DAY_NS + 1))
    kinds = {key.split("/")[1] for key in vault.store.keys("journal")}
    assert kinds == {"slips", "intervals", "log", "people"}
    told = [segment.id, str(segment.start_ns), str(NOW_NS + DAY_NS), "human-view", "ana"]
    for key in vault.store.keys("journal"):
        data = b"".join(vault.store.chunks(key))
        if "/log/" in key:  # public entries and sealed openings, both in base64
            fields = [field for line in data.split(b"\n") for field in json.loads(line)]
            data = b"".join(base64.b64decode(field) for field in fields)
        assert [word for word in told if word.encode() in data] == []


@pytest.mark.fault("S6")
@pytest.mark.parametrize("backup", ["a week old", "none"])
def test_s6_answers_forks_and_devices_are_those_of_today(
    vault: Vault, make_device, tmp_path: Path, clock, backup
):
    ana = vault.add_person("ana", "sim")
    device, lost, forked = (make_device(ana, f"d-{name}") for name in ("kept", "lost", "forked"))
    made = [device.seal({"video": b"%d" % minute}, 60 * minute) for minute in range(4)]
    for each in made[:3]:
        device.hand_in(each)
    forked.hand_in(forked.seal(seq=1))
    back_up(vault, tmp_path / "old.db")
    # Since then: a request, a record in another's place, a fork, a revocation and an enrolment.
    wish = {"id": "f-1", "device": device.id, "person": ana.id, "length_ns": 60 * 10**9, "top": 1}
    wish |= {"session": "boot1", "boot_ns": 65 * 10**9}
    request = sign_forget(Forget(**wish), device.key)
    told = forget.forget(vault, device.enrolled, request)
    blank = {"kind": "forgotten", "parts": (), "object_sha256": "", "object_size": 0}
    named = {"media": {"replaces": made[1].record.hash()}, "reason": "wearer"}
    instead = sign_record(replace(made[1].record, **blank, **named), device.key)
    forget.make_way(vault, device.enrolled, instead)
    receipt = ingest.open_upload(vault, device.enrolled, instead, {})
    twin = forked.seal(seq=1, start_s=600)
    with pytest.raises(fork.Forked):
        forked.open(twin)
    with vault.db.write() as connection:
        people.revoke(connection, lost.id, vault.now_ns())
    offered = enrol.offer(vault, ana)
    code = enrolment.read_code(offered.code)
    enrol.accept(vault, enrolment.hello(code, SigningKey.generate()))
    with vault.db.read() as connection:
        fresh = enrol.user_of(connection, offered.id)
    clock.now_ns += DAY_NS
    put_back(vault, tmp_path / "old.db" if backup == "a week old" else None)
    again = recovered(vault)
    device.vault = forked.vault = again
    assert forget.forget(again, device.enrolled, request) == told
    forget.make_way(again, device.enrolled, instead)
    assert ingest.open_upload(again, device.enrolled, instead, {}) == receipt
    assert device.hand_in(made[1])["receipt"]["reason"] == "forgotten"
    assert device.hand_in(made[3])["receipt"]["kind"] == "stored"
    with again.db.read() as connection:
        rows = {row.seq: row for row in catalog.newest(connection, device.id, 9, 9)}
        # Of the first nothing is left; a number of no record is told as missing.
        assert {seq: row.kind for seq, row in rows.items() if row.state == "stored"} == {
            3: "segment",
            4: "segment",
        }
        assert rows[2].kind == "forgotten"
        assert fork.flagged(connection) == [forked.id]
        members = {each.device for each in fleet.members(connection, again.now_ns())}
        assert members == {device.id, forked.id, fresh}
        with pytest.raises(Refused):
            people.find_device(connection, lost.id)
        held = withhold.of(connection, ana.id)
    assert len(held) == 1  # what was forked is kept back still
    assert check(again).faults == []
    again.close()


@pytest.mark.fault("S6")
def test_single_segments_that_were_forgotten_stay_so(vault: Vault, make_device, tmp_path: Path):
    ana = vault.add_person("ana", "sim")
    device = make_device(ana, "d-ana")
    for minute in range(3):
        device.hand_in(device.seal({"video": b"%d" % minute}, 60 * minute))
    back_up(vault, tmp_path / "old.db")
    with vault.db.write() as connection:
        gone = catalog.find_record(connection, device.id, 2)
        assert gone is not None
        order = erasure.order(connection, ana, None, vault.now_ns(), segments=[gone.id])
    carry_out(vault, order, {gone.id})
    put_back(vault, tmp_path / "old.db")
    found = recovered(vault)
    with found.db.read() as connection:
        assert catalog.find(connection, gone.id).state == "erased"
        assert [each.seq for each in catalog.of_person(connection, ana.id)] == [1, 3]
    assert check(found).faults == []
    found.close()


def test_law_ledger_and_what_is_to_be_after_death_are_those_of_today(vault, person, tmp_path):
    back_up(vault, tmp_path / "old.db")
    dates = {"as_of": "2026-01-02", "expires": "2027-01-01"}
    strict = Law("sim", "all", "yes", "", "a source", reviewer="a reviewer", **dates)
    now_ns, secret = vault.now_ns(), vault.keyring.journal_key(person.id)
    assert secret
    with vault.db.write() as connection:
        law.add(connection, strict, now_ns)
        formula.publish(connection, "2026-12-01", 100, 1, now_ns=now_ns)
        directive.write(connection, person, {"run": ["eve"]}, 5, now_ns)
        traits.say(connection, person, "age", traits.dimensions()["age"][0], secret, now_ns)
        ledger.credit_hours(connection, person, "2026-11-01", 3600, now_ns)
    names = ("law_row", "formula", "estate_directive", "trait", "ledger_transaction")

    def rows(vault):
        with vault.db.read() as connection:
            read = connection.exec_driver_sql
            return {name: read(f"SELECT * FROM {name}").fetchall() for name in names}

    before = rows(vault)
    assert all(before.values())
    for backup in (tmp_path / "old.db", None):
        put_back(vault, backup)
        vault = recovered(vault)
        assert rows(vault) == before
        with vault.db.write() as connection:
            assert ledger.credit_hours(connection, person, "2026-11-01", 3600, now_ns) is None
            assert statement.verify(connection)["transactions"] == 1
    vault.close()


@pytest.mark.fault("D16")
@pytest.mark.fault("S6")
@pytest.mark.parametrize("backup", ["before the move", "none"])
def test_d16_what_was_kept_back_of_footage_that_moved_stays_so_after_a_recovery(
    vault, person, device, clock, tmp_path, backup
):
    unknown = {"wall_ns_start": 0, "wall_ns_end": 0, "wall_quality": "none"}
    for number in (0, 1):
        device.hand_in(device.seal(start_s=60 * number, session="dark", **unknown))
    at_ns = places(vault, person)[1]
    with vault.db.write() as connection:
        withhold.withhold(connection, person, at_ns, at_ns + MINUTE_NS, vault.now_ns())
    back_up(vault, tmp_path / "old.db")
    clock.now_ns += 3600 * 10**9
    late = device.seal({}, -DAY_NS // 10**9, session="dark", reason="stalled", **boot(125))
    device.hand_in(late)
    lies_ns = places(vault, person)[1]
    assert abs(lies_ns - at_ns) > DAY_NS // 2
    with vault.db.read() as connection:
        before, size = withhold.of(connection, person.id), log.size(connection)
    assert [(each.start_ns, each.stop_ns) for each in before] == [
        (lies_ns, lies_ns + MINUTE_NS),
        (at_ns, at_ns + MINUTE_NS),
    ]
    put_back(vault, tmp_path / "old.db" if backup != "none" else None)
    again = recovered(vault)
    assert places(again, person)[1] == lies_ns
    with again.db.read() as connection:
        assert withhold.of(connection, person.id) == before
        assert log.size(connection) == size
    again.close()


@pytest.mark.fault("D16")
@pytest.mark.fault("S6")
@pytest.mark.parametrize("backup", ["before the move", "none"])
def test_d16_footage_lies_after_a_recovery_where_the_log_placed_it(
    vault, person, device, clock, tmp_path, backup
):
    """Also where the record that told the time is erased, or none ever told it."""
    unknown = {"wall_ns_start": 0, "wall_ns_end": 0, "wall_quality": "none"}
    for session in ("told", "erased", "never"):
        device.hand_in(device.seal({"video": b"1"}, 0, session=session, **unknown))
        clock.now_ns += 3600 * 10**9
    back_up(vault, tmp_path / "old.db")
    gone = device.seal({"video": b"2"}, -86_400, session="erased", **boot(65))
    for made in (gone, device.seal({"video": b"3"}, -2 * 86_400, session="told", **boot(65))):
        device.hand_in(made)
    with vault.db.write() as connection:
        row = catalog.find_record(connection, device.id, gone.record.seq)
        order = erasure.order(connection, person, None, vault.now_ns(), segments=[row.id])
        for day in review.open_days(connection, person.id, vault.now_ns()):
            review.reviewed(connection, person, [day.day], vault.now_ns())
    carry_out(vault, order, {row.id})
    device.hand_in(device.seal({"video": b"4"}, 120, session="late"))
    before, open_before, size = places(vault, person), in_review(vault, person), log_size(vault)
    assert len({at // DAY_NS for at in before.values()}) == 3
    assert open_before == {"2026-11-01"}
    clock.now_ns += DAY_NS
    put_back(vault, tmp_path / "old.db" if backup != "none" else None)
    again = recovered(vault)
    assert places(again, person) == before
    assert in_review(again, person) == open_before
    assert log_size(again) - size == 1  # the erasure; nothing was moved
    again.close()


@pytest.mark.fault("D16")
def test_d16_an_erasure_that_is_replayed_takes_what_lies_there_now(
    vault, person, device, clock, tmp_path
):
    """What had lain there by guess, and was placed elsewhere since, is not destroyed with it."""
    unknown = {"wall_ns_start": 0, "wall_ns_end": 0, "wall_quality": "none"}
    device.hand_in(device.seal({"video": b"1"}, 0, session="dark", **unknown))
    ((seq, guessed_ns),) = places(vault, person).items()
    device.hand_in(device.seal({}, -2 * 86_400, session="dark", reason="stalled", **boot(65)))
    erase(vault, person, (guessed_ns, guessed_ns + 1))
    put_back(vault, None)
    again = recovered(vault)
    assert places(again, person).keys() == {seq}
    again.close()


@pytest.mark.fault("S6")
@pytest.mark.parametrize("backup", ["from before", "none"])
def test_s6_what_bystanders_asked_comes_back_and_what_waits_is_looked_at(
    vault, person, device, tmp_path, backup
):
    device.hand_in(device.seal())
    back_up(vault, tmp_path / "old.db")
    with vault.db.write() as connection:
        zones.say(connection, person, "other", NOW_NS - DAY_NS, NOW_NS + DAY_NS, label="the corner")
    with vault.db.write() as connection:
        ask_for(connection, "elsewhere", "at the kiosk")
    with vault.db.write() as connection:
        ask_for(connection, "the corner", "by the tree")
        ask_for(connection, "the corner", "on the bus")
        bystanders.settle(connection, vault.now_ns())
    with vault.db.write() as connection:
        held = bystanders.of(connection, person.id)[0]
        bystanders.decide(connection, person, held.id, "keep", vault.now_ns())
    with vault.db.write() as connection:
        ask_for(connection, "the corner", "at the market")
    before = asked(vault)
    states = [(row.place, bool(row.words), bool(row.settled_ns)) for row in before]
    assert sorted(states) == [
        ("elsewhere", True, True),
        ("the corner", False, True),
        ("the corner", True, False),
        ("the corner", True, True),
    ]
    for key in vault.store.keys("journal/requests"):
        data = b"".join(vault.store.chunks(key))
        assert not [word for word in (b"kiosk", b"market", b"corner") if word in data]
    put_back(vault, tmp_path / "old.db" if backup == "from before" else None)
    again = recovered(vault)
    assert asked(again) == before
    with again.db.write() as connection:
        assert [hold.person for hold in bystanders.settle(connection, again.now_ns())] == [
            person.id
        ]
        assert len(bystanders.held(connection, person.id)) == 2  # with the one undecided
    again.close()


def test_words_that_went_with_a_person_are_gone_from_the_journal_too(vault, person):
    with vault.db.write() as connection:
        code = bystanders.badge_code(person, "2026-11-01")
        ask_for(connection, "", "by the tree", code)
        bystanders.settle(connection, vault.now_ns())

    def kept() -> list[tuple[str, str]]:
        found = []
        for key in vault.store.keys("journal/requests"):
            row = json.loads(journal.read_sealed(vault.store, vault.keyring, key))
            found.append((row["code"], row["words"]))
        return found

    assert kept() == [(code, "by the tree")]
    erase(vault, person)
    assert kept() == [("", "")]


def ask_for(connection, place: str, words: str, code: str = "") -> None:
    bounds = (NOW_NS - 2 * MINUTE_NS, NOW_NS - MINUTE_NS)
    bystanders.ask(connection, *bounds, place=place, words=words, code=code, now_ns=NOW_NS)


def asked(vault: Vault) -> list:
    with vault.db.read() as connection:
        return sorted(bystanders.listed(connection), key=lambda row: row.id)


def boot(start_s: int) -> dict[str, int]:
    return {"boot_ns_start": start_s * 10**9, "boot_ns_end": (start_s + 60) * 10**9}


def places(vault: Vault, person: people.Person) -> dict[int, int]:
    """Where each segment lies, by number."""
    with vault.db.read() as connection:
        return {row.seq: row.start_ns for row in catalog.of_person(connection, person.id)}


def in_review(vault: Vault, person: people.Person) -> set[str]:
    with vault.db.read() as connection:
        return {day.day for day in review.open_days(connection, person.id, vault.now_ns())}


def log_size(vault: Vault) -> int:
    with vault.db.read() as connection:
        return log.size(connection)
