import random
import shutil
from dataclasses import replace

import pytest
from recording import NumberedCamera, flip, open_parts, pictures
from vault_server import Vault, serving

from firsthand.errors import Locked
from firsthand.record.cameras.camera import Gap
from firsthand.record.card.card import Card
from firsthand.record.card.waiting import Waiting
from firsthand.record.clock import Clock
from firsthand.record.device import load_device
from firsthand.record.home import upload
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record

NOW_S = 1_800_000_000


class SleeplessClock(Clock):
    """Wall time moves only by sleeping, which takes none."""

    def __init__(self, now_s=NOW_S):
        self.now_ns = now_s * 10**9
        self.slept = []

    def wall_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_ns += int(seconds * 1e9)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, make_device):
    """A device and a card with three segments and a gap, to be copied."""
    folder = tmp_path_factory.mktemp("recorded")
    card, gap = Card.create(folder / "card"), Gap(5 * 10**9, 6 * 10**9, "asleep")
    record(NumberedCamera(9, gap=gap), card, make_device(folder / "device"), segment_s=4.0)
    kinds = [item.record.kind for item in card.waiting()]
    assert kinds == ["segment", "segment", "gap", "segment"]
    return folder


@pytest.fixture
def device(recorded, tmp_path):
    shutil.copytree(recorded / "device", tmp_path / "device")
    return load_device(tmp_path / "device")


@pytest.fixture
def full(recorded, tmp_path):
    """A card of the test's own with three segments and a gap."""
    shutil.copytree(recorded / "card", tmp_path / "full")
    return Card(tmp_path / "full")


@pytest.fixture
def vault(device, keys):
    return Vault(device.key.public, keys.receipt)


@pytest.fixture
def home(vault, device):
    """The device, aimed at a served vault."""
    with serving(vault) as url:
        yield replace(device, vault_url=url)


def carry(card, home, clock=None, **options):
    options = {"patience_s": 300.0, "chance": random.Random(1)} | options
    return carry_home(card, home, clock=clock or SleeplessClock(), **options)


def once(*faults):
    """Each fault happens once, at its turn among the requests that match."""
    left = list(faults)

    def fault(method, path):
        for number, (wanted, part, name) in enumerate(left):
            if method == wanted and part in path:
                del left[number]
                return name
        return ""

    return fault


def test_everything_goes_home_records_first_then_oldest_first_and_leaves_only_receipts(
    full, home, vault, keys
):
    before = full.waiting()
    done = carry(full, home)
    assert [held.seq for held in vault.records.values()] == [3, 1, 2, 4]  # the gap before all bytes
    assert (done.stored, done.left, done.retries) == (4, 0, 0)
    assert done.bytes_stored == done.bytes_sent == sum(map(len, vault.objects.values()))
    assert done.bytes_stored == sum(item.record.object_size for item in before)
    assert not list((full.path / "ready").iterdir())
    assert full.last_receipt().seq == 4


def test_what_arrives_is_what_was_recorded(full, home, vault, keys):
    numbers = []
    for item in full.waiting():
        if item.record.parts:
            numbers += [row.number for row in pictures(open_parts(item, keys.ingest)["video"])]
    expected = {
        item.record.hash(): item.read(0, item.record.object_size) for item in full.waiting()
    }
    carry(full, home)
    assert vault.objects == expected
    assert numbers == [number for number in range(72) if not 40 <= number < 48]


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("POST", "/api/uploads", "drop"),
        ("POST", "/api/uploads", "drop the answer"),
        ("POST", "/api/uploads", "portal"),
        ("POST", "/api/uploads", "empty"),
        ("POST", "/api/uploads", "500"),
        ("POST", "/api/uploads", "503"),
        ("POST", "/api/uploads", "429"),
        ("PUT", "/parts/", "drop"),
        ("PUT", "/parts/", "drop in the middle"),
        ("PUT", "/parts/", "drop the answer"),
        ("PUT", "/parts/", "500"),
        ("PUT", "/parts/", "portal"),
        ("PUT", "/parts/", "no etag"),
        ("POST", "/complete", "drop"),
        ("POST", "/complete", "drop the answer"),
        ("POST", "/complete", "portal"),
        ("POST", "/complete", "502"),
        ("POST", "/complete", "other key"),
        ("POST", "/complete", "other record"),
        ("POST", "/complete", "other bytes"),
        ("POST", "/complete", "other size"),
        ("POST", "/complete", "other seq"),
        ("POST", "/complete", "unknown kind"),
        ("POST", "/complete", "no receipt"),
        ("POST", "/complete", "text"),
    ],
)
def test_one_fault_costs_one_retry_and_nothing_else(method, path, fault, full, home, vault):
    vault.fault = once((method, path, fault))
    clock = SleeplessClock()
    done = carry(full, home, clock)
    assert (done.stored, done.left, done.retries) == (4, 0, 1)
    assert len(vault.objects) == 4
    assert clock.slept


def test_a_break_costs_at_most_the_part_in_which_it_fell(full, home, vault):
    total = sum(item.record.object_size for item in full.waiting())
    broken = [("PUT", "/2?", "drop in the middle")] * 3
    vault.fault = once(*broken)
    done = carry(full, home)
    assert done.retries == 3
    assert done.left == 0
    assert total < done.bytes_sent <= total + 3 * vault.part_size
    assert vault.taken_bytes <= total + 3 * vault.part_size


def test_a_new_start_goes_on_at_the_part_where_the_last_one_stopped(full, home, vault):
    first = full.waiting()[0]
    parts = -(-first.record.object_size // vault.part_size)
    assert parts > 2

    def two_parts_are_there():
        return sum(1 for method, _ in vault.requests if method == "PUT") >= 2

    stopped = carry(full, home, stop=two_parts_are_there)
    assert (stopped.stored, stopped.left) == (1, 3)  # the gap has no bytes
    carry(full, home)
    puts = [path for method, path in vault.requests if method == "PUT"]
    assert len(puts) == len(set(puts))


@pytest.mark.parametrize("fault", ["portal", "empty", "500", "401", "403", "404", "412", "drop"])
def test_while_every_answer_is_bad_nothing_is_cleared(fault, full, home, vault):
    vault.fault = lambda method, path: fault
    before = sorted(path for path in full.path.rglob("*"))
    done = carry(full, home, patience_s=20.0)
    assert (done.stored, done.left) == (0, 4)
    assert done.waiting_for or len(done.rejected) == 4
    after = sorted(path for path in full.path.rglob("*") if path.suffix != ".lock")
    assert after == [path for path in before if path.suffix != ".lock"]
    vault.fault = lambda method, path: ""
    assert carry(full, home).left == 0


@pytest.mark.parametrize("fault", ["other key", "other bytes", "no receipt", "text"])
def test_a_receipt_that_does_not_hold_never_clears_the_card(fault, full, home, vault):
    vault.fault = lambda method, path: fault
    done = carry(full, home, patience_s=20.0)
    assert (done.stored, done.refused, done.left) == (0, 0, 4)
    assert "receipt" in done.waiting_for
    assert len(vault.objects) == 1  # it has the first, but the device can't know that
    vault.fault = lambda method, path: ""
    assert carry(full, home).stored == 4
    assert len(vault.objects) == 4


def test_a_signed_refusal_ends_a_segments_stay(full, home, vault):
    vault.refused = True
    done = carry(full, home)
    assert (done.stored, done.refused, done.left) == (0, 4, 0)
    assert not vault.objects
    assert full.last_receipt().kind == "refused"


def test_what_the_vault_rejects_stays_and_holds_nothing_up(full, home, vault, monkeypatch):
    bad = full.waiting()[1]
    monkeypatch.setattr(Waiting, "verify", lambda self, key: None)  # it changes after that
    flip(bad.folder / "video.sealed", 1000)
    done = carry(full, home)
    assert (done.stored, done.left) == (3, 1)
    assert list(done.rejected) == [bad.folder.name]
    assert "not what the record names" in done.rejected[bad.folder.name]
    assert [item.folder for item in full.waiting()] == [bad.folder]
    assert not vault.uploads  # given up there too


def test_an_object_that_lost_a_part_on_the_card_is_kept_and_told(full, home, vault):
    bad = full.waiting()[0]
    (bad.folder / "video.sealed").unlink()
    done = carry(full, home)
    assert (done.stored, done.left) == (4, 0)
    assert list(done.rejected) == [bad.folder.name]


def test_an_upload_that_the_vault_forgot_is_begun_again(full, home, vault):
    def forget(method, path):
        if method == "PUT" and path.split("?")[0].endswith("/2") and not forgotten:
            forgotten.append(path)
            vault.uploads.clear()
            return "404"
        return ""

    forgotten = []
    vault.fault = forget
    done = carry(full, home)
    assert (done.stored, done.left) == (4, 0)


def test_waits_grow_are_jittered_and_start_over_after_progress(full, home, vault):
    faults = [("POST", "/api/uploads", "500")] * 6 + [("POST", "/complete", "500")]
    vault.fault = once(*faults)
    waits = []
    clock = SleeplessClock()
    carry(full, home, clock, progress=lambda done: waits.append(done.wait_s))
    waits = [wait for before, wait in zip([0.0, *waits], waits, strict=False) if wait != before]
    waits = [wait for wait in waits if wait]
    limits = [upload.WAIT_FIRST_S * 2**n for n in range(6)] + [upload.WAIT_FIRST_S]
    assert len(waits) == 7
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    assert sum(clock.slept) == pytest.approx(sum(waits))
    assert max(clock.slept) <= upload.NAP_S


def test_two_devices_do_not_wait_in_step(full, home, vault):
    vault.fault = lambda method, path: "500"
    spans = []
    for seed in (1, 2):
        clock = SleeplessClock()
        carry(full, home, clock, chance=random.Random(seed), patience_s=30.0)
        spans.append(sum(clock.slept))
    assert spans[0] != spans[1]


def test_stop_ends_a_wait_at_once(full, home, vault):
    vault.fault = lambda method, path: "500"
    clock = SleeplessClock()
    done = carry(full, home, clock, stop=lambda: len(clock.slept) >= 3, patience_s=None)
    assert len(clock.slept) == 3
    assert done.left == 4


def test_a_device_that_booted_in_1970_takes_the_time_from_the_vault(full, home):
    done = carry(full, home, SleeplessClock(now_s=1000))
    assert (done.stored, done.left, done.retries) == (4, 0, 0)


def test_a_device_with_another_key_is_refused_and_keeps_everything(full, home, vault, keys):
    vault.device_key = keys.receipt.public
    done = carry(full, home, patience_s=20.0)
    assert (done.stored, done.left) == (0, 4)


def test_a_vault_that_is_not_there_is_waited_for(full, device):
    clock = SleeplessClock()
    done = carry_home(full, device, clock=clock, patience_s=10.0, chance=random.Random(3))
    assert "127.0.0.1:9" in done.waiting_for
    assert done.left == 4
    assert 0 < sum(clock.slept) <= 10


def test_what_an_earlier_recorder_left_open_goes_home_too(card, home, vault):
    (card.path / "open" / "0000000003-cafe").mkdir()
    done = carry(card, home)
    assert done.stored == 1
    (held,) = vault.records.values()
    assert (held.kind, held.reason, held.seq) == ("gap", "cut", 3)


def test_what_its_wearer_had_forgotten_meanwhile_is_given_up_and_holds_nothing_up(
    full, home, vault
):
    gone = full.waiting()[0].folder

    def forget(method, path):
        if method == "PUT" and gone.exists():
            shutil.rmtree(gone)
        return ""

    vault.fault = forget
    done = carry(full, home)
    assert (done.stored, done.left, done.rejected) == (3, 0, {})
    assert not vault.uploads


def test_a_second_carrier_is_refused(full, home):
    with full.lock("carrier"), pytest.raises(Locked):
        carry(full, home)


def test_carrying_goes_on_while_a_recorder_runs(full, home):
    with full.lock("recorder"):
        assert carry(full, home).stored == 4


def test_progress_tells_what_is_left_and_why_it_waits(full, home, vault):
    vault.fault = once(("PUT", "/parts/", "503"))
    seen = []
    carry(full, home, progress=seen.append)
    assert seen[0].left == 4
    assert seen[-1].left == 0
    assert any("503" in done.waiting_for or "on purpose" in done.waiting_for for done in seen)
    assert seen[-1].waiting_for == ""
