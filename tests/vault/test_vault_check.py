"""Check and repair: every bad object is found, named, and put back; nothing good is touched."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from faults import FULL, Tally

from firsthand.errors import Damaged, Failed, NotFound, Refused
from firsthand.vault import catalog, ingest, parts, quota, reading
from firsthand.vault import repair as repairing
from firsthand.vault.check import DAY_NS, Budget, check
from firsthand.vault.store import FileStore, Listed
from firsthand.vault.vault import Vault


@pytest.fixture
def copied(vault: Vault, tmp_path: Path) -> Vault:
    """A vault with a second store."""
    vault.copy = FileStore(tmp_path / "copy")
    return vault


@pytest.fixture
def fill(device) -> Callable[[int], None]:
    def make(number: int) -> None:
        for each in range(number):
            device.hand_in(device.seal({"video": b"v%d" % each}, 60 * each))

    return make


def stored(vault: Vault) -> list[catalog.Segment]:
    with vault.db.read() as connection:
        return list(catalog.with_bytes(connection))


def bytes_of(vault: Vault, key: str) -> bytes:
    return b"".join(vault.store.chunks(key))


def rot(vault: Vault, key: str, chance: random.Random) -> None:
    """Flips one bit, and nothing else: its size does not tell."""
    data = bytearray(bytes_of(vault, key))
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    vault.store.replace(key, bytes(data))


def aside(vault: Vault) -> list[str]:
    return list(vault.store.keys("aside"))


@pytest.mark.fault("S1")
def test_s1_every_rotten_object_is_found_in_a_cycle_and_put_back_from_the_copy(
    copied, fill, clock, tally: Tally
):
    count = 300 if FULL else 60
    fill(count)
    assert repairing.copy_out(copied) == count
    chance = random.Random(1)
    segments = stored(copied)
    bad = chance.sample(segments, max(1, count // 60))
    good = {s.object: bytes_of(copied, s.object) for s in segments}
    for segment in bad:
        rot(copied, segment.object, chance)
    found, read = {}, 0
    # A third of the bytes a day: within the cycle each was read, and none twice.
    share = sum(s.size_bytes for s in segments) // 3 + 1
    clock.now_ns += 31 * DAY_NS
    for _ in range(4):
        seen = check(copied, days=30, budget=Budget(size_bytes=share))
        read += seen.objects
        found |= {fault.segment: fault for fault in seen.faults}
        repairing.repair(copied, seen)
        clock.now_ns += DAY_NS
    assert (set(found), read) == ({s.id for s in bad}, count)
    assert {fault.kind for fault in found.values()} == {"changed"}
    for segment in segments:
        assert bytes_of(copied, segment.object) == good[segment.object]
    assert len(aside(copied)) == len(bad)  # what was bad is kept
    assert check(copied).faults == []
    tally.add(cases=len(bad))


def test_a_check_names_person_and_hours_of_a_bad_object(vault, person, fill):
    fill(2)
    (segment, _) = stored(vault)
    rot(vault, segment.object, random.Random(2))
    (fault,) = check(vault).faults
    assert (fault.person, fault.start_ns, fault.stop_ns) == (
        person.id,
        segment.start_ns,
        segment.stop_ns,
    )
    assert fault.record_hash == segment.record_hash


def test_a_check_that_was_cut_off_goes_on_where_it_stopped(vault, fill):
    fill(9)
    ticks = iter(range(100))
    first = check(vault, days=30, budget=Budget(seconds=5), clock_s=lambda: next(ticks))
    assert (first.objects, first.due) == (4, 5)
    second = check(vault, days=30)
    assert (second.objects, second.due) == (5, 0)
    assert check(vault, days=30).objects == 0
    assert check(vault).objects == 9


def test_a_bad_object_is_read_again_each_time_until_it_is_mended(vault, fill):
    fill(3)
    rot(vault, stored(vault)[1].object, random.Random(3))
    assert len(check(vault, days=30).faults) == 1
    again = check(vault, days=30)
    assert (again.objects, len(again.faults)) == (1, 1)


@pytest.mark.fault("S2")
@pytest.mark.parametrize("how", ["vanished", "empty", "cut", "longer"])
def test_s2_an_object_that_vanished_or_lost_bytes_is_found_at_once_and_not_served(
    copied, fill, how, tally: Tally
):
    fill(5)
    repairing.copy_out(copied)
    check(copied)
    victim = stored(copied)[2]
    whole = bytes_of(copied, victim.object)
    if how == "vanished":
        copied.store.delete(victim.object)
    else:
        bad = {"empty": b"", "cut": whole[:-7], "longer": whole + b"\0"}[how]
        copied.store.replace(victim.object, bad)
    if how != "longer":  # bytes after the end are never read
        with pytest.raises((Damaged, Failed, NotFound)):
            reading.read_part(copied, victim.id, "video", "self", "x")
    found = check(copied, days=30)  # read only yesterday, and found all the same
    assert [(fault.segment, fault.kind) for fault in found.faults] == [
        (victim.id, "missing" if how == "vanished" else "changed")
    ]
    repairing.repair(copied, found)
    assert bytes_of(copied, victim.object) == whole
    assert check(copied).faults == []
    tally.add()


@pytest.mark.fault("S2")
def test_s2_a_stale_listing_is_no_finding(vault, fill, monkeypatch, tally: Tally):
    fill(4)
    listed = list(vault.store.listed("segments"))
    gone = replace(listed[0], key="segments/long-gone")
    monkeypatch.setattr(
        vault.store, "listed", lambda prefix, after=None: iter([*listed[1:-1], gone])
    )
    found = check(vault)
    assert found.faults == []
    # What it lists beyond the rows is named, and far too young to be removed.
    assert [item.key for item in found.orphans] == ["segments/long-gone"]
    tally.add()


class Unsteady(FileStore):
    """A store whose first reading of each object goes wrong, in turn in one of several ways."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seen: dict[str, int] = {}
        self.broken = False

    def chunks(self, key):  # type: ignore[no-untyped-def]
        turn = self.seen[key] = self.seen.get(key, -1) + 1
        whole = b"".join(super().chunks(key))
        if key.startswith("segments") and (self.broken or turn == 0):
            kind = len(self.seen) % 3
            if self.broken or kind == 0:
                raise Failed("the store failed: 503 slow down")
            whole = whole[:-1] if kind == 1 else bytes(len(whole))
        yield whole


@pytest.mark.files
@pytest.mark.fault("S3")
def test_s3_a_reading_that_slips_is_tried_again_and_not_taken_for_damage(vault, fill, tally: Tally):
    fill(9)
    vault.store = Unsteady(vault.store.folder)
    assert check(vault).faults == []
    vault.store.broken = True
    found = check(vault)
    assert {fault.kind for fault in found.faults} == {"unreadable"}
    before = {s.object: (vault.store.folder / s.object).read_bytes() for s in stored(vault)}
    repairing.repair(vault, found)  # without a copy, and with nothing to mend
    assert before == {key: (vault.store.folder / key).read_bytes() for key in before}
    tally.add(cases=18)


@pytest.mark.files
@pytest.mark.fault("S3")
def test_s3_what_the_store_returns_at_ingest_is_believed_by_its_hash_alone(
    vault, device, tally: Tally
):
    good = vault.store
    for turn in range(3):
        made = device.seal(start_s=60 * turn)
        upload = device.open(made)["upload"]
        device.put(made, upload)
        vault.store = Unsteady(good.folder)  # as after a restart: all is read back
        vault.store.seen = dict.fromkeys(map(str, range(turn)), 0)
        with pytest.raises((Damaged, Failed)):
            ingest.complete(vault, upload, device.id)
        assert len(stored(vault)) == turn
        vault.store = good
        assert device.hand_in(made)["receipt"]["kind"] == "stored"
        tally.add()
    assert check(vault).faults == []


@pytest.mark.files
@pytest.mark.fault("S4")
def test_s4_orphans_and_dangling_rows_are_listed_and_young_orphans_never_removed(
    vault, fill, device, clock, monkeypatch, tally: Tally
):
    fill(4)
    vault.store.put("segments/nobody", b"x")
    parts.Writer(vault.store.folder / "uploads" / "stray", 1, 0, 3).close()
    waiting = device.seal(start_s=9000)
    device.put(waiting, device.open(waiting)["upload"])
    dangling = stored(vault)[0]
    vault.store.delete(dangling.object)
    found = check(vault)
    assert [item.key for item in found.orphans] == ["segments/nobody", "uploads/stray"]
    assert [(f.segment, f.kind) for f in found.faults] == [(dangling.id, "missing")]
    changed_ns = max(item.changed_ns for item in found.orphans)
    clock.now_ns = changed_ns + 29 * DAY_NS
    assert repairing.repair(vault, found, force=True).removed == []
    assert vault.store.size("segments/nobody") == 1
    clock.now_ns = changed_ns + 31 * DAY_NS
    done = repairing.repair(vault, found)
    assert done.removed == ["segments/nobody", "uploads/stray"]
    assert check(vault).orphans == []
    # A dangling row stays, and says so: only a person may decide that its footage is lost.
    assert [f.segment for f in check(vault).faults] == [dangling.id]
    assert device.hand_in(waiting)["receipt"]["kind"] == "stored"
    tally.add(cases=4)


@pytest.mark.fault("S4")
def test_s4_where_much_looks_wrong_nothing_is_touched(copied, fill, clock, tally: Tally):
    fill(14)
    repairing.copy_out(copied)
    for segment in stored(copied)[:11]:
        copied.store.delete(segment.object)
    for number in range(12):
        copied.store.put(f"segments/old{number}", b"x")
    clock.now_ns += 400 * DAY_NS
    found = check(copied)
    listing = sorted(copied.store.keys("segments"))
    with pytest.raises(Refused, match="11 objects are missing or changed, of 14"):
        repairing.repair(copied, found)
    assert sorted(copied.store.keys("segments")) == listing
    with pytest.raises(Refused, match="12 objects are known to no row"):
        repairing.repair(copied, replace(found, faults=[]))
    assert sorted(copied.store.keys("segments")) == listing
    done = repairing.repair(copied, found, force=True)
    assert (len(done.mended), len(done.removed)) == (11, 12)
    after = check(copied)
    assert (after.faults, after.orphans) == ([], [])
    tally.add(cases=2)


def test_a_copy_that_is_damaged_too_replaces_nothing(copied, fill):
    fill(2)
    repairing.copy_out(copied)
    segment = stored(copied)[0]
    rot(copied, segment.object, random.Random(5))
    (copied.copy.folder / segment.object).write_bytes(b"rotten as well")
    bad = bytes_of(copied, segment.object)
    done = repairing.repair(copied, check(copied))
    assert [why for _, why in done.left] == ["its copy is damaged too"]
    assert bytes_of(copied, segment.object) == bad
    assert (aside(copied), list(copied.store.keys("repair"))) == ([], [])


def test_a_damaged_object_is_not_copied_over_a_whole_one(copied, fill):
    fill(2)
    rot(copied, stored(copied)[0].object, random.Random(6))
    with pytest.raises(Damaged):
        repairing.copy_out(copied)
    assert copied.copy.size(stored(copied)[0].object) is None


def test_a_segment_whose_key_is_gone_is_named(vault, person, fill):
    fill(1)
    day = stored(vault)[0].day
    vault.keyring.destroy_day_keys(person.id, day, before=1)
    assert [fault.kind for fault in check(vault).faults] == ["locked"]


@pytest.mark.files
@pytest.mark.fault("S5")
def test_s5_a_full_store_says_507_and_the_device_keeps_its_footage(
    vault, device, monkeypatch, tally: Tally
):
    made = device.seal({"video": bytes(300_000)})
    with monkeypatch.context() as patch:
        patch.setattr(vault.store, "free_bytes", lambda: quota.RESERVE_BYTES)
        with pytest.raises(parts.StoreFull, match="too little") as caught:
            device.open(made)
        assert caught.value.http_status == 507
    upload = device.open(made)["upload"]

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:  # another filled it after this upload was begun
        patch.setattr(os, "pwrite", full)
        with pytest.raises(parts.StoreFull) as caught:
            device.put(made, upload)
    _, need = ingest.missing_parts(vault, upload, device.id)
    assert len(need) == 1
    assert stored(vault) == []
    assert device.hand_in(made)["receipt"]["kind"] == "stored"
    assert check(vault).faults == []
    tally.add(cases=2)


def test_a_device_that_meets_its_limit_is_told_and_goes_on_tomorrow(
    vault, person, device, make_device, clock, monkeypatch
):
    monkeypatch.setattr(quota, "LEAST_BYTES", 0)
    size = len(device.seal().sealed)
    device.seq, device.prev = 1, ""
    vault.settings = replace(vault.settings, uploads_at_once=2)
    first, second, third = (device.seal(start_s=60 * n) for n in range(3))
    device.open(first)
    device.open(second)
    device.open(first)  # again is not one more
    with pytest.raises(quota.TooMuch, match="2 uploads open") as caught:
        device.open(third)
    assert caught.value.http_status == 429
    device.hand_in(first)
    device.open(third)
    device.hand_in(second)
    vault.settings = replace(vault.settings, device_gb_a_day=2.5 * size / 1e9)
    with pytest.raises(quota.TooMuch, match="device d1 may hand in"):
        device.hand_in(device.seal(start_s=300))
    assert device.hand_in(third)["receipt"]["kind"] == "stored"  # was promised before
    vault.settings = replace(vault.settings, device_gb_a_day=1000, person_gb_a_day=3.5 * size / 1e9)
    other = make_device(person, "d2")
    with pytest.raises(quota.TooMuch, match="person"):
        other.hand_in(other.seal(start_s=400))
    clock.now_ns += DAY_NS
    assert other.hand_in(other.seal(start_s=400))["receipt"]["kind"] == "stored"


def test_a_listing_of_ages_decides_and_a_key_without_one_stays(vault, clock):
    found = replace(check(vault), rows=1000, orphans=[Listed("segments/x", 1, 0)])
    clock.now_ns += 9999 * DAY_NS
    assert repairing.repair(vault, found).removed == []


def test_a_repair_writes_the_slips_that_a_vault_of_before_lacks(vault, person, fill, device):
    fill(2)
    device.hand_in(device.seal({}, 300, reason="paused"))
    slips = {key: bytes_of(vault, key) for key in vault.store.keys("journal/slips")}
    assert len(slips) == 3
    for key in slips:
        vault.store.delete(key)
    repairing.repair(vault, check(vault))
    again = {key: bytes_of(vault, key) for key in vault.store.keys("journal/slips")}
    assert again.keys() == slips.keys()  # without the devices' signatures, which were not kept
    assert repairing.repair(vault, check(vault)).slips == 0
