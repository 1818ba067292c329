"""Erasure: what was ordered never opens again, everything else always does, crash where it may."""

import shutil
from collections.abc import Callable
from typing import Any

import obstore
import pytest
import sqlalchemy as sa
import wearers
from faults import FULL

from firsthand import config, log, tlog
from firsthand.consent import ask, erasure, people
from firsthand.consent.access import askers, viewing
from firsthand.consent.capture import bystanders
from firsthand.consent.runs import answers, proposals, snapshots
from firsthand.consent.terms import consents
from firsthand.crypto import unwrap
from firsthand.errors import Error, NotFound, Refused, WrongKey
from firsthand.vault import catalog, erase, reading
from firsthand.vault.check import check
from firsthand.vault.vault import Vault, file_key_aad

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
DAY_S = 86_400
PLAIN = {"video": b"moving pictures " * 9, "events": b'{"start_ns":1}\n'}


def of(vault: Vault, person: people.Person) -> list[catalog.Segment]:
    with vault.db.read() as connection:
        return list(catalog.of_person(connection, person.id))


def opens(vault: Vault, segment: str, *parts: str) -> bool:
    """Whether every part (or those named) opens to what was recorded; False if none does."""
    found = set()
    for name in parts or PLAIN:
        try:
            found.add(reading.read_part(vault, segment, name, "self", "test") == PLAIN[name])
        except Error:
            found.add(False)
    assert len(found) == 1
    return found.pop()


def record(device: Any, *starts_s: float) -> list[str]:
    """Segments handed in, by id."""
    ids = []
    for start_s in starts_s:
        made = device.seal(PLAIN, start_s)
        device.hand_in(made)
        with device.vault.db.read() as connection:
            found = catalog.find_record(connection, device.id, made.record.seq)
        assert found is not None
        ids.append(found.id)
    return ids


def order(
    vault: Vault, person: people.Person, interval: tuple[int, int] | None = None
) -> erasure.Order:
    with vault.db.write() as connection:
        return erasure.order(connection, person, interval)


def carry_out(
    vault: Vault, person: people.Person, interval: tuple[int, int] | None = None
) -> dict[str, int]:
    return erase.carry_out(vault, order(vault, person, interval))


def minutes(clock: Callable[[], int], start: float, stop: float) -> tuple[int, int]:
    return clock() + int(start * MINUTE_NS), clock() + int(stop * MINUTE_NS)


def files(vault: Vault) -> bytes:
    """Every byte of both databases, their write-ahead logs and the store."""
    folder = vault.settings.data
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def parts_of(vault: Vault, segment: str) -> list[catalog.StoredPart]:
    with vault.db.read() as connection:
        return list(catalog.parts_of(connection, segment).values())


def day_keys(vault: Vault, person: people.Person) -> list[tuple[str, int]]:
    """(day, generation) of every D of a person that still exists."""
    with vault.keyring.db.read() as connection:
        rows = connection.exec_driver_sql("SELECT name FROM wrapped_key WHERE kind = 'day'")
        names = [name.split("|") for (name,) in rows]
    return sorted((day, int(number)) for owner, day, number in names if owner == person.id)


def unwraps(vault: Vault, person: people.Person, part: catalog.StoredPart) -> bool:
    """Whether any key that still exists opens a wrapped file key that someone kept."""
    for day, generation in day_keys(vault, person):
        key = vault.keyring.day_key(person.id, day, generation)
        aad = file_key_aad(person.id, day, part.segment, part.name, part.payload_sha256)
        try:
            return bool(unwrap(key, part.file_key or b"", aad))
        except WrongKey:
            continue
    return False


def test_an_interval_takes_what_it_touches_and_leaves_the_rest(vault, person, device, clock):
    first, second, third, tomorrow = record(device, 0, 60, 120, DAY_S)
    size = of(vault, person)[1].size_bytes
    done = carry_out(vault, person, minutes(clock, 1.5, 1.6))
    assert (done["segments"], done["bytes"]) == (1, size)
    assert [opens(vault, each) for each in (first, second, third, tomorrow)] == [
        True,
        False,
        True,
        True,
    ]
    assert [segment.id for segment in of(vault, person)] == [first, third, tomorrow]
    assert len(list(vault.store.keys("segments"))) == 3
    assert (check(vault).faults, check(vault).orphans) == ([], [])


@pytest.mark.parametrize(
    ("start", "stop", "left"),
    [(1, 2, [0, 2]), (0.9, 1, [1, 2]), (1.999, 2.001, [0]), (-9, 0, [0, 1, 2]), (3, 9, [0, 1, 2])],
)
def test_an_interval_excludes_its_stop_to_the_nanosecond(
    vault, person, device, clock, start, stop, left
):
    ids = record(device, 0, 60, 120)
    carry_out(vault, person, minutes(clock, start, stop))
    assert [number for number, each in enumerate(ids) if opens(vault, each)] == left


def test_a_segment_of_no_length_and_one_from_before_1970_are_erased_too(
    vault, person, device, clock
):
    device.hand_in(device.seal(PLAIN, 0, 0))
    carry_out(vault, person, (clock(), clock() + 1))
    assert of(vault, person) == []
    boot2 = {"session": "boot2"}
    device.hand_in(device.seal(PLAIN, 0, wall_ns_start=1, **boot2))  # this session began in 1970
    unsure = {"wall_ns_start": 0, "wall_quality": "none"} | boot2
    device.hand_in(device.seal(PLAIN, 0, boot_ns_start=-(10**12), boot_ns_end=1 - 10**12, **unsure))
    assert min(segment.stop_ns for segment in of(vault, person)) < 0
    assert len(of(vault, person)) == 2
    carry_out(vault, person)
    assert list(vault.store.keys("segments")) == []


def test_whoever_kept_the_wrapped_keys_opens_nothing_with_the_keys_of_after(
    vault, person, device, clock
):
    first, second = record(device, 0, 60)
    kept = parts_of(vault, first) + parts_of(vault, second)
    assert all(unwraps(vault, person, part) for part in kept)
    carry_out(vault, person, minutes(clock, 0, 0.5))
    assert not any(unwraps(vault, person, part) for part in kept)
    assert all(unwraps(vault, person, part) for part in parts_of(vault, second))


def test_the_old_day_key_is_in_no_file_any_more(vault, person, device, clock):
    record(device, 0, 60)
    with vault.keyring.db.read() as connection:
        query = "SELECT wrapped FROM wrapped_key WHERE kind = 'day'"
        (wrapped,) = connection.exec_driver_sql(query).scalars().all()
    assert wrapped in files(vault)
    carry_out(vault, person, minutes(clock, 0, 0.5))
    assert wrapped not in files(vault)
    assert day_keys(vault, person) == [("2026-11-01", 1)]


def test_a_day_can_be_erased_piece_by_piece_and_grow_again(vault, person, device, clock):
    ids = record(device, 0, 60, 120, 180)
    for number in range(4):
        carry_out(vault, person, minutes(clock, number + 0.2, number + 0.3))
        ids += record(device, 1000 + 60 * number)
        found = [opens(vault, each) for each in ids]
        assert found == [False] * (number + 1) + [True] * (len(ids) - number - 1)
    assert len(day_keys(vault, person)) == 1


def test_a_day_that_was_erased_whole_takes_new_footage(vault, person, device, clock):
    record(device, 0, 60)
    carry_out(vault, person, minutes(clock, 0, 2))
    assert of(vault, person) == []
    (again,) = record(device, 300)
    assert opens(vault, again)
    carry_out(vault, person, minutes(clock, 5, 6))
    (last,) = record(device, 600)
    assert (opens(vault, again), opens(vault, last)) == (False, True)


def test_erasing_one_persons_interval_leaves_anothers_same_minutes(
    vault, person, device, make_device, clock
):
    ben = vault.add_person("ben")
    theirs = record(make_device(ben, "d2"), 0, 60)
    record(device, 0, 60)
    carry_out(vault, person, minutes(clock, 0, 99))
    assert [opens(vault, each) for each in theirs] == [True, True]


def test_an_erasure_ends_in_a_provable_log_entry(vault, person, device, clock):
    record(device, 0)
    done = carry_out(vault, person, minutes(clock, 0, 1))
    vault.add_person("later")
    proof = erase.inclusion(vault, done["log_index"])
    with vault.db.read() as connection:
        rows = connection.execute(sa.select(log.entries)).all()
        top = log.root(connection)
    (entry,) = [r.entry for r in rows if r._mapping["index"] == done["log_index"]]
    assert b"erasure_done" in entry
    steps = [bytes.fromhex(step) for step in proof["proof"]]
    tlog.verify_inclusion(tlog.leaf_hash(entry), done["log_index"], proof["size"], steps, top)


def test_reading_goes_on_while_another_segment_of_the_day_is_erased(
    vault, person, device, clock, monkeypatch
):
    first, second = record(device, 0, 60)
    find, waiting = reading._find_part, [True]

    def slow(*arguments: Any) -> Any:
        found = find(*arguments)
        if waiting.pop() if waiting else False:
            carry_out(vault, person, minutes(clock, 0, 0.5))  # after looking, before the key
        return found

    monkeypatch.setattr(reading, "_find_part", slow)
    assert reading.read_part(vault, second, "video", "self", "x") == PLAIN["video"]
    assert not opens(vault, first)


def test_footage_that_comes_while_its_day_is_erased_is_not_lost_with_the_day(
    vault, person, device, clock, monkeypatch
):
    record(device, 0, 60)
    destroy, came = vault.keyring.destroy_day_keys, []

    def slow(*arguments: Any, **named: Any) -> int:
        came.extend(record(device, 300))  # after the rows were struck, before the key goes
        return destroy(*arguments, **named)

    monkeypatch.setattr(vault.keyring, "destroy_day_keys", slow)
    carry_out(vault, person, minutes(clock, 0, 2))
    assert [opens(vault, each) for each in came] == [True]


# --- a whole person


def test_of_an_erased_person_nothing_opens_and_anothers_objects_are_the_same_bytes(
    vault, person, device, make_device
):
    ben = vault.add_person("ben")
    theirs = record(make_device(ben, "d2"), 0, 60, DAY_S)
    mine = record(device, 0, 60, DAY_S)
    kept = {segment.object for segment in of(vault, ben)}

    def state() -> dict[str, tuple[object, bytes]]:
        heads = {key: obstore.head(vault.store._store, key) for key in kept}
        return {
            key: (heads[key]["last_modified"], b"".join(vault.store.chunks(key))) for key in kept
        }

    before, wrapped = state(), [parts_of(vault, each) for each in theirs]
    done = carry_out(vault, person)
    assert done["segments"] == 3
    assert [opens(vault, each) for each in mine] == [False] * 3
    assert set(vault.store.keys("segments")) == kept
    assert (state(), [parts_of(vault, each) for each in theirs]) == (before, wrapped)
    assert [opens(vault, each) for each in theirs] == [True] * 3
    assert (check(vault).faults, check(vault).orphans) == ([], [])
    with vault.db.read() as connection:
        assert log.verify(connection) == log.size(connection)
        assert list(log.read(connection, person.id)) == []


def test_no_table_tells_what_an_erased_person_allowed_or_who_saw_them(vault, person, device):
    record(device, 0)
    (held,) = of(vault, person)
    with vault.db.write() as connection:
        doctor, _ = askers.give(connection, "dr", "reviewer")
        viewing.count(connection, doctor, held.id, 1, vault.now_ns())
        proposal = proposals.Proposal("a test", ["train-general-model"], "m", "nobody", 30)
        run = proposals.propose(connection, proposal, vault.now_ns())
        consents.give(connection, person, ["train-general-model"], now_ns=vault.now_ns())
        answers.vote(connection, run, person, "yes", vault.now_ns())
        snapshots.take(connection, run, vault.now_ns())
        code = bystanders.badge_code(person, bystanders.day_of(held.start_ns))
        bounds = vault.now_ns() - 2, vault.now_ns() - 1
        bystanders.ask(connection, *bounds, code=code, words="who is it", now_ns=vault.now_ns())
        assert bystanders.settle(connection, vault.now_ns())
    carry_out(vault, person)
    with vault.db.read() as connection:
        for name in ("intake", "view_opened", "run_snapshot", "bystander_hold"):
            assert not connection.exec_driver_sql(f"SELECT * FROM {name}").all(), name
        (asked,) = bystanders.listed(connection)
        assert (asked.code, asked.words) == ("", "")


@pytest.mark.files
def test_an_erased_person_is_in_no_file_any_more(vault, device, clock):
    bearer = vault.add_person("Wilhelmina Unmistakable", "XX-PLACE")
    device.person = bearer
    with vault.db.write() as connection:
        people.enrol(connection, bearer, "unmistakable-dev", device.key.public)
        wearers.prepare(connection, bearer)
        consents.give(connection, bearer, ["fh:human-view"])
    device.id = "unmistakable-dev"
    record(device, 0, 60)
    upload = device.seal(PLAIN, 120)
    device.put(upload, device.open(upload)["upload"])
    objects = [(vault.store.folder / segment.object).read_bytes() for segment in of(vault, bearer)]
    segments = [segment.id.encode() for segment in of(vault, bearer)]
    secrets = [bearer.salt or b"", b"Wilhelmina", b"XX-PLACE", *objects, upload.sealed]
    secrets += [upload.record.hash().encode(), str(clock() + 60 * SECOND_NS).encode(), *segments]
    with vault.keyring.db.read() as connection:
        query = f"SELECT wrapped FROM wrapped_key WHERE person = '{bearer.id}'"
        secrets += connection.exec_driver_sql(query).scalars().all()
    assert len(secrets) == 14
    assert [secret[:20] for secret in secrets if secret not in files(vault)] == []
    carry_out(vault, bearer)
    assert [secret[:20] for secret in secrets if secret in files(vault)] == []


def test_an_erased_person_is_asked_nothing_and_given_nothing(vault, person, device):
    with vault.db.write() as connection:
        consents.give(connection, person, ["fh:human-view"], now_ns=vault.now_ns())
        assert ask.for_self(connection, "fh:human-view", person, vault.now_ns()).allowed
    record(device, 0)
    carry_out(vault, person)
    with vault.db.write() as connection:
        assert not ask.for_self(connection, "fh:human-view", person, vault.now_ns()).allowed
        with pytest.raises(Refused):
            consents.give(connection, person, ["fh:human-view"])
    with pytest.raises(Refused):
        order(vault, person)
    with pytest.raises(NotFound):
        vault.keyring.ingest_recipient(person.id, vault.now_ns())
    again = vault.add_person("ana", "sim")  # the same name is another person
    assert of(vault, again) == []


# --- crashes


class Crash(BaseException):
    """The process dies here: nothing of ours catches it."""


class Fuse:
    """Lets so many calls of the watched functions begin, then the process dies at the next."""

    def __init__(self, patch: pytest.MonkeyPatch, vault: Vault) -> None:
        self.left: int | None = None
        self.calls: list[str] = []
        # Where something becomes durable, and inside transactions that must then come to nothing.
        watched: list[tuple[Any, str]] = [
            (vault.keyring.db, "write"),
            (vault.keyring.db, "compact"),
            (vault.store, "delete"),
            (vault.db, "write"),
            (vault.db, "compact"),
            (erase, "wrap"),
            (erasure, "forget"),
            (log, "forget"),
            (log, "append"),
        ]
        for owner, name in watched:
            patch.setattr(owner, name, self._watch(name, getattr(owner, name)))

    def _watch(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.left is not None:
                self.calls.append(name)
                if self.left == 0:
                    raise Crash(name)
                self.left -= 1
            return work(*arguments, **named)

        return call

    def burn(self, calls: int, work: Callable[[], object]) -> bool:
        """Whether the process died before `work` was over."""
        self.left, self.calls = calls, []
        try:
            work()
        except Crash:
            return True
        finally:
            self.left = None
        return False


def finish(vault: Vault) -> None:
    """What a restart does."""
    with vault.db.read() as connection:
        orders = erasure.open_orders(connection)
    for each in orders:
        erase.carry_out(vault, each)


def assert_settled(vault: Vault) -> None:
    found = check(vault)
    assert (found.faults, found.orphans) == ([], [])
    with vault.db.read() as connection:
        assert erasure.open_orders(connection) == []
        assert log.verify(connection) == log.size(connection)
        rows = connection.execute(sa.select(catalog.segments.c.state, catalog.segments.c.object))
        assert {row.object for row in rows if row.state == "erased"} <= {""}


def cut_everywhere(
    vault: Vault,
    todo: erasure.Order,
    after_crash: Callable[[Vault], None],
    after_restart: Callable[[Vault], None],
) -> set[str]:
    """Carries the order out in copies of the vault, cut at one step more each time, and again
    from what lay on the disk then; returns what a whole run calls."""
    vault.close()
    steps, died = 0, True
    while died:
        folder = vault.settings.data.with_name(f"copy{steps}")
        shutil.copytree(vault.settings.data, folder)
        settings = config.load(folder, {}, passphrase=vault.settings.passphrase)
        with pytest.MonkeyPatch.context() as patch:
            copy = Vault(settings, vault.now_ns)
            fuse = Fuse(patch, copy)
            died = fuse.burn(steps, lambda: erase.carry_out(copy, todo))  # noqa: B023
            copy.close()
        copy = Vault(settings, vault.now_ns)
        try:
            after_crash(copy)
            finish(copy)
            after_restart(copy)
            assert_settled(copy)
        except BaseException as error:
            error.add_note(f"cut after {fuse.calls}")
            raise
        copy.close()
        shutil.rmtree(folder)
        steps += 1 if FULL else 9  # each takes 0.1 s
    assert steps > 10
    return set(fuse.calls)


@pytest.mark.fault("K2")
@pytest.mark.files
def test_k2_the_erasure_of_an_interval_can_be_cut_at_every_step(vault, person, device, clock):
    # Around midnight, so that two days have something to lose and to keep.
    midnight_s = 16 * 3600
    first, *doomed, last = record(device, *(midnight_s + 60 * n for n in (-2, -1, 0, 1)))
    open_upload = device.seal(PLAIN, midnight_s + 10)
    device.put(open_upload, device.open(open_upload)["upload"])
    old = [part for each in doomed for part in parts_of(vault, each)]
    midnight_ns = clock() + midnight_s * SECOND_NS
    todo = order(vault, person, (midnight_ns - 1, midnight_ns + 1))

    def after_crash(copy: Vault) -> None:
        assert [opens(copy, each, "video") for each in (first, last)] == [True, True]

    def after_restart(copy: Vault) -> None:
        assert [opens(copy, each) for each in (first, *doomed, last)] == [True, False, False, True]
        assert not any(unwraps(copy, person, each) for each in old)
        assert [segment.id for segment in of(copy, person)] == [first, last]
        assert list(copy.store.keys("uploads")) == []

    called = cut_everywhere(vault, todo, after_crash, after_restart)
    assert {"write", "delete", "compact", "wrap", "append"} <= called


@pytest.mark.files
def test_the_erasure_of_a_person_can_be_cut_at_every_step(vault, make_device):
    ben, victim = vault.add_person("ben"), vault.add_person("the one to be erased")
    (stays,) = record(make_device(ben, "ben-1"), 0)
    device = make_device(victim, "victim-1")
    doomed = record(device, 0, DAY_S)
    open_upload = device.seal(PLAIN, 60)
    device.put(open_upload, device.open(open_upload)["upload"])
    todo = order(vault, victim)

    def after_crash(copy: Vault) -> None:
        assert opens(copy, stays, "video")

    def after_restart(copy: Vault) -> None:
        assert [opens(copy, each) for each in (stays, *doomed)] == [True, False, False]
        left = copy.person(victim.id)
        assert (left.status, left.salt) == ("erased", None)
        told = files(copy)
        assert b"the one to be erased" not in told
        assert (victim.salt or b"") not in told
        assert len(list(copy.store.keys("segments"))) == 1

    called = cut_everywhere(vault, todo, after_crash, after_restart)
    assert {"write", "delete", "compact", "forget", "append"} <= called


def test_a_second_order_after_a_crash_finishes_the_first(vault, person, device, monkeypatch):
    ids = record(device, 0)
    fuse = Fuse(monkeypatch, vault)
    first = order(vault, person)
    assert fuse.burn(3, lambda: erase.carry_out(vault, first))
    assert order(vault, person).id == first.id
    carry_out(vault, person)
    assert_settled(vault)
    assert not opens(vault, ids[0])
