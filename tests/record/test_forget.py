"""Forgetting: gone from the card, gone from the vault, with a receipt, at whatever moment."""

import errno
import fcntl
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import sqlalchemy as sa
from faults import FULL
from moment import NOW_NS, Moment
from recording import SECOND_NS, NumberedCamera

from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, Failed, Usage
from firsthand.forgetting import Forget, sign_forgotten, touched, verify_forgotten
from firsthand.record.card.card import Card
from firsthand.record.device import Device, create_device
from firsthand.record.home import upload
from firsthand.record.home.link import Link, Rejected
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record
from firsthand.record.wearer import forget
from firsthand.record.wearer.control import Control
from firsthand.segment import Record, verify_record
from firsthand.vault import catalog
from firsthand.vault.vault import Vault
from firsthand.web.server import Server


@pytest.fixture
def moment() -> Moment:
    return Moment()


class Wearer:
    """A real device with a real card, at a real vault that is being served."""

    def __init__(self, device: Device, card: Card, vault: Vault, clock: Moment) -> None:
        self.device, self.card, self.vault, self.clock = device, card, vault, clock

    def record(self, seconds: float, start_s: float, segment_s: float = 4.0) -> None:
        camera = NumberedCamera(
            seconds,
            size=(64, 48),
            sound_hz=0,
            senses=False,
            start_ns=round(start_s * SECOND_NS),
            wall_ns=self.clock.wall_at_boot_ns,
        )
        self.clock.now_ns = round((start_s + seconds) * SECOND_NS)
        control = Control(self.device.folder, self.clock)
        record(camera, self.card, self.device, segment_s=segment_s, control=control)

    def carry(self) -> upload.Carried:
        chance = random.Random(1)
        return carry_home(self.card, self.device, clock=self.clock, chance=chance, patience_s=120.0)

    def forget(self, seconds: float) -> forget.Wish:
        return forget.forget(self.card, self.device, seconds / 60, clock=self.clock, wait_s=0.0)

    def held(self) -> list[catalog.Segment]:
        """All that the vault knows of this device, by number."""
        with self.vault.db.read() as connection:
            return sorted(
                catalog.newest(connection, self.device.name, 10**9, 10**6), key=lambda s: s.seq
            )

    def stored(self) -> list[int]:
        """Numbers of the segments whose footage the vault can open."""
        return [row.seq for row in self.held() if row.kind == "segment" and row.state == "stored"]

    def objects(self) -> list[str]:
        """Footage that lies in the vault's store, parts of it included."""
        return [*self.vault.store.keys("segments"), *self.vault.store.keys("uploads")]


@pytest.fixture
def url(vault: Vault) -> Iterator[str]:
    with Server(vault, "127.0.0.1", 0, "key").background() as server:
        yield server.url


@pytest.fixture
def make_wearer(vault: Vault, url: str, tmp_path) -> Callable[..., Wearer]:
    """One more device of a person, with a card."""

    def make(person: people.Person, name: str, clock: Moment) -> Wearer:
        device = create_device(
            tmp_path / name / "device",
            name=name,
            person=person.id,
            vault_url=url,
            recipient=vault.keyring.ingest_recipient(person.id, NOW_NS),
            receipt_key=str(vault.keyring.log_key().public),
        )
        with vault.db.write() as connection:
            people.enrol(connection, person, name, device.key.public)
        return Wearer(device, Card.create(tmp_path / name / "card"), vault, clock)

    return make


@pytest.fixture
def wearer(make_wearer, person, moment) -> Wearer:
    return make_wearer(person, "d-1", moment)


def kinds(card: Card) -> list[tuple[int, str]]:
    return [(item.record.seq, item.record.kind) for item in card.waiting()]


def test_what_is_forgotten_leaves_no_byte_and_no_key_on_the_card(wearer):
    wearer.record(12, start_s=100)
    before = {item.record.seq: item for item in wearer.card.waiting()}
    wish = wearer.forget(5)
    assert wish.here
    assert wish.receipt is None
    assert kinds(wearer.card) == [(1, "segment"), (2, "forgotten"), (3, "forgotten")]
    for item in wearer.card.waiting()[1:]:
        assert [path.name for path in item.folder.iterdir()] == ["record.json"]
        assert item.record.media == {"replaces": before[item.record.seq].record.hash()}
        assert (item.record.boot_ns_start, item.record.boot_ns_end) == (
            before[item.record.seq].record.boot_ns_start,
            before[item.record.seq].record.boot_ns_end,
        )


def follow(records: list[Record]) -> None:
    """The chain from record to record, by what the forgotten ones replace."""
    for before, after in pairwise(records):
        assert after.prev in (before.hash(), before.media.get("replaces"))


def test_the_chain_stays_whole_over_what_was_forgotten(wearer):
    wearer.record(12, start_s=100)
    wearer.forget(5)
    wearer.record(8, start_s=120)
    key = wearer.device.key.public
    records = [verify_record(item.envelope, key) for item in wearer.card.waiting()]
    assert [each.kind for each in records] == ["segment", *2 * ["forgotten"], *2 * ["segment"]]
    follow(records)


def test_what_was_sent_is_erased_in_the_vault_with_a_receipt(wearer):
    wearer.record(12, start_s=100)
    wearer.carry()
    assert wearer.stored() == [1, 2, 3]
    wish = wearer.forget(5)
    assert wish.here
    wearer.carry()
    assert wearer.stored() == [1]
    assert len(wearer.objects()) == 1
    assert forget.wishes(wearer.card) == []
    line = (wearer.card.path / "forget" / "receipts.jsonl").read_text()
    receipt = verify_forgotten(json.loads(line), wearer.device.receipt_key)
    assert (receipt.id, receipt.segments) == (wish.id, 2)
    assert receipt.size_bytes > 0


def test_the_receipt_is_for_this_request_and_by_this_vault(wearer, keys):
    wearer.record(4, start_s=100)
    wish = wearer.forget(5)
    said = {"id": wish.id, "device": "d-1", "person": "p", "segments": 0, "size_bytes": 0}
    said |= {"log_index": 0, "log_root": "", "time_ns": 0}
    forged = sign_forgotten(forget.Forgotten(**said), SigningKey.generate())
    with pytest.raises(Damaged):
        forget.check_forgotten(forged, wish, wearer.device)
    device = replace(wearer.device, receipt_key=keys.receipt.public)
    other = sign_forgotten(forget.Forgotten(**(said | {"id": "f-other"})), keys.receipt)
    with pytest.raises(Damaged, match="another request"):
        forget.check_forgotten(other, wish, device)


def test_a_request_waits_for_the_vault_and_goes_first(wearer, url):
    wearer.record(12, start_s=100)
    wearer.carry()
    away = replace(wearer.device, vault_url="http://127.0.0.1:9")
    wearer.forget(5)
    carry_home(wearer.card, away, clock=wearer.clock, patience_s=1.0)
    assert len(forget.wishes(wearer.card)) == 1
    wearer.record(4, start_s=120)
    wearer.carry()
    assert wearer.stored() == [1, 4]
    assert forget.wishes(wearer.card) == []


def test_asked_again_the_vault_gives_the_same_receipt(wearer):
    wearer.record(8, start_s=100)
    wearer.carry()
    wish = wearer.forget(3)
    link = Link(wearer.device, wearer.clock)
    answers = [link.ask("POST", "/api/forget", wish.request)["receipt"] for _ in range(2)]
    link.close()
    assert answers[0] == answers[1]
    assert answers[0]["forgotten"]["segments"] == 1


def test_the_date_covers_the_persons_other_devices_too(wearer, make_wearer, person):
    other = make_wearer(person, "d-2", Moment())
    other.record(12, start_s=100)
    other.carry()
    wearer.clock.now_ns = 112 * SECOND_NS
    wearer.forget(5)
    wearer.carry()
    assert other.stored() == [1]


def test_without_a_date_nobody_else_is_touched(wearer, make_wearer, person):
    other = make_wearer(person, "d-2", Moment())
    other.record(12, start_s=100)
    other.carry()
    wearer.clock.quality = "fake"
    wearer.record(12, start_s=100)
    wearer.carry()
    wearer.forget(5)
    wearer.carry()
    assert (wearer.stored(), other.stored()) == ([1], [1, 2, 3])


def test_what_is_open_is_dropped_by_the_recorder_itself(wearer):
    """The recorder runs: it holds card and chain, and has 2 s in an open segment."""
    wishes = []

    class Asking(NumberedCamera):
        def samples(self):
            for sample in super().samples():
                if sample.time_ns >= 110 * SECOND_NS and not wishes:
                    wearer.clock.now_ns = sample.time_ns
                    wishes.append(wearer.forget(1))
                yield sample

    camera = Asking(14, size=(64, 48), sound_hz=0, senses=False, start_ns=100 * SECOND_NS)
    control = Control(wearer.device.folder, wearer.clock)
    wearer.clock.now_ns = 100 * SECOND_NS
    record(camera, wearer.card, wearer.device, segment_s=4.0, control=control)
    assert not wishes[0].here  # nobody waited for it
    assert forget.wishes(wearer.card)[0].here
    found = [(item.record.seq, item.record.kind) for item in wearer.card.waiting()]
    assert found[:2] == [(1, "segment"), (2, "segment")]
    assert found[2] == (3, "forgotten")
    follow([item.record for item in wearer.card.waiting()])
    forgotten = wearer.card.waiting()[2]
    assert [path.name for path in forgotten.folder.iterdir()] == ["record.json"]
    assert 110 <= forgotten.record.boot_ns_end / 1e9 <= 110.2
    assert found[3][1] == "segment"


def test_a_recorder_that_was_killed_leaves_nothing_of_it(wearer):
    """It was asked to forget what it had open, and died before it did."""
    wearer.record(8, start_s=100)
    folder = wearer.card.path / "ready"
    last = sorted(folder.iterdir())[-1]
    os.rename(last, wearer.card.path / "open" / last.name)
    (wearer.card.path / "open" / last.name / "record.json").unlink()
    with wearer.card.lock("recorder"):
        assert not wearer.forget(1).here
    assert kinds(wearer.card) == [(1, "segment")]
    wearer.record(4, start_s=120)
    assert kinds(wearer.card) == [(1, "segment"), (2, "forgotten"), (3, "segment")]
    assert [path.name for path in wearer.card.waiting()[1].folder.iterdir()] == ["record.json"]


def test_a_full_card_can_still_forget(wearer, monkeypatch):
    wearer.record(8, start_s=100)
    real = forget.write_durably

    def full(path, data):
        if list(wearer.card.path.glob("ready/*/opening.json"))[1:]:  # until one was emptied
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(forget, "write_durably", full)
    wearer.forget(10)
    assert kinds(wearer.card) == [(1, "forgotten"), (2, "forgotten")]
    wearer.record(4, start_s=100_000)  # nothing of it is to go, so nothing makes room
    monkeypatch.setattr(forget, "write_durably", lambda path, data: real(path.parent / "x/y", data))
    with pytest.raises(Failed):
        wearer.forget(0.001)
    assert [kind for _, kind in kinds(wearer.card)][-1] == "segment"


def test_more_than_a_day_or_nothing_is_refused(wearer):
    for minutes in (0, -1, 1441):
        with pytest.raises(Usage):
            forget.forget(wearer.card, wearer.device, minutes, clock=wearer.clock)
    assert forget.wishes(wearer.card) == []


def plain(seq, session, start_s, stop_s, wall_s=None):
    wall = {} if wall_s is None else {"wall_quality": "ntp", "wall_ns_start": wall_s * SECOND_NS}
    if wall_s is not None:
        wall["wall_ns_end"] = (wall_s + stop_s - start_s) * SECOND_NS
    times = {"boot_ns_start": start_s * SECOND_NS, "boot_ns_end": stop_s * SECOND_NS}
    return Record("d", "p", session, seq, "", "segment", **times, **wall)


def asked(length_s, session="", boot_s=0, wall_s=0, top=99):
    span = (wall_s - length_s, wall_s) if wall_s else (0, 0)
    span_ns = [each * SECOND_NS for each in span]
    ns = (length_s * SECOND_NS, top, session, boot_s * SECOND_NS)
    return Forget("f-1", "d", "p", *ns, *span_ns)


def test_one_rule_says_what_the_last_minutes_touch():
    same = [plain(1, "a", 0, 60), plain(2, "a", 60, 120), plain(3, "a", 120, 180)]
    # By the session's own clock: the device stood still for a minute since.
    assert touched(same, asked(90, "a", 240)) == {3}
    assert touched(same, asked(60, "a", 240)) == set()
    assert touched(same, asked(120, "a", 180, top=2)) == {2}
    # An older session: by the date, if both know it.
    dated = [plain(1, "b", 0, 60, wall_s=1000), plain(2, "b", 60, 120, wall_s=1060)]
    assert touched(dated, asked(60, "a", 5, wall_s=1150)) == {2}
    assert touched(dated, asked(60, "a", 5, wall_s=1300)) == set()
    # Else walking back as if the device had never been off: rather more than less.
    assert touched(dated, asked(60, "a", 5)) == {2}
    assert touched(dated, asked(61, "a", 5)) == {1, 2}
    mixed = [*dated, plain(3, "a", 0, 30), plain(4, "a", 30, 60)]
    assert touched(mixed, asked(60, "a", 60)) == {3, 4}
    assert touched(mixed, asked(90, "a", 60)) == {2, 3, 4}


def when_answered(monkeypatch, path: str, then: Callable[[], None]) -> None:
    """Does something once, right after the vault's answer to the second request for this path."""
    send, count = Link._request, []

    def sending(self, method, url, data, headers):
        answer = send(self, method, url, data, headers)
        if url.endswith(path):
            count.append(url)
            if len(count) == 2:
                then()
        return answer

    monkeypatch.setattr(Link, "_request", sending)


@pytest.mark.fault("D22")
@pytest.mark.parametrize("path", ["/api/uploads", "/complete"])
def test_d22_a_receipt_on_its_way_clears_nothing_that_was_forgotten(wearer, monkeypatch, path):
    """The vault has stored the segment; its receipt reaches the device just after the press."""
    wearer.record(12, start_s=100)
    when_answered(monkeypatch, path, lambda: wearer.forget(5))
    wearer.carry()
    all_is_settled(wearer, gone={2, 3})
    assert [row.kind for row in wearer.held()] == ["segment", "forgotten", "forgotten"]


@pytest.mark.fault("D22")
def test_d22_nothing_forgotten_is_sent_after_the_press(wearer, monkeypatch):
    wearer.record(12, start_s=100)
    put, sent = Link.put, []

    def putting(self, url, *args):
        sent.append(int(url.split("/uploads/")[1].split("-")[0]))
        return put(self, url, *args)

    monkeypatch.setattr(Link, "put", putting)
    forget.ask(wearer.card, wearer.device, 5 / 60, wearer.clock)  # and nothing is replaced yet
    wearer.carry()
    assert sent == [1]


# Two hands at once: one carries home, one forgets.


class Cut(BaseException):
    """The process is gone at this step."""


class Turns:
    """Runs two sides by turns: each stops at its step's number, and where a lock holds it."""

    def __init__(self, stops: dict[str, int], cut: str = "") -> None:
        self.steps = dict.fromkeys(stops, 0)
        self._stops, self._cut = stops, cut
        self._ended: set[str] = set()
        self._turn = next(iter(stops))
        self._moved = threading.Condition()
        self.errors: list[BaseException] = []

    def run(self, sides: dict[str, Callable[[], object]]) -> None:
        threads = [
            threading.Thread(target=self._side, args=item, name=item[0]) for item in sides.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)

    def _side(self, name: str, work: Callable[[], object]) -> None:
        try:
            self._wait(name)
            work()
        except Cut:
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            self._ended.add(name)
            self._give(name)

    def step(self) -> None:
        """Called before whatever another process could see."""
        name = threading.current_thread().name
        if name in self.steps:
            self.steps[name] += 1
            if self.steps[name] == self._stops[name]:
                if self._cut == name:
                    raise Cut
                self.yield_turn()

    def yield_turn(self) -> None:
        name = threading.current_thread().name
        self._give(name)
        self._wait(name)

    def _give(self, name: str) -> None:
        with self._moved:
            left = [each for each in self._stops if each != name and each not in self._ended]
            if left:
                self._turn = left[0]
            self._moved.notify_all()

    def _wait(self, name: str) -> None:
        with self._moved:
            others = set(self._stops) - {name}
            self._moved.wait_for(lambda: self._turn == name or others <= self._ended, timeout=60)


@pytest.fixture
def by_turns(monkeypatch) -> Callable[[Turns], None]:
    """Every change of a file and every request of the two sides becomes a step."""
    now: list[Turns] = []
    for name in ("replace", "rename", "unlink", "rmdir", "fsync", "pwrite", "mkdir"):
        real = getattr(os, name)

        def stepping(*args, real=real, **options):
            if now:
                now[0].step()
            return real(*args, **options)

        monkeypatch.setattr(os, name, stepping)
    send, flock = Link._request, fcntl.flock

    def sending(self, *args):
        if now:
            now[0].step()
        answer = send(self, *args)
        if now:
            now[0].step()
        return answer

    def locking(handle, how):
        if not now or how & fcntl.LOCK_NB or threading.current_thread().name not in now[0].steps:
            return flock(handle, how)
        while True:
            try:
                return flock(handle, how | fcntl.LOCK_NB)
            except BlockingIOError:
                now[0].yield_turn()

    monkeypatch.setattr(Link, "_request", sending)
    monkeypatch.setattr(fcntl, "flock", locking)

    def use(turns: Turns | None) -> None:
        now[:] = [turns] if turns else []

    return use


def all_is_settled(wearer: Wearer, gone: set[int]) -> None:
    """Nothing of the forgotten is anywhere, everything else is home, and the chain is whole."""
    assert forget.wishes(wearer.card) == []
    for room in ("open", "ready"):
        assert not list((wearer.card.path / room).iterdir())
    held = wearer.held()
    assert [row.seq for row in held] == list(range(1, len(held) + 1))
    assert not gone & set(wearer.stored())
    assert set(wearer.stored()) == {row.seq for row in held if row.kind == "segment"} - gone
    with wearer.vault.db.read() as connection:
        listed = connection.scalars(
            sa.select(catalog.segments.c.object).where(catalog.segments.c.object != "")
        ).all()
        assert not connection.execute(sa.select(catalog.uploads)).all()
        keyed = sa.select(catalog.parts.c.segment).where(catalog.parts.c.file_key.is_not(None))
        with_keys = set(connection.scalars(keyed))
    assert sorted(wearer.objects()) == sorted(listed)
    assert with_keys == {row.id for row in _stored_rows(wearer)}


def _stored_rows(wearer: Wearer) -> list[catalog.Segment]:
    with wearer.vault.db.read() as connection:
        query = sa.select(catalog.segments).where(
            catalog.segments.c.kind == "segment", catalog.segments.c.state == "stored"
        )
        return [catalog.Segment(**row._mapping) for row in connection.execute(query)]


@pytest.mark.fault("D22")
def test_d22_forgetting_races_with_the_carrier_at_every_step(make_wearer, vault, by_turns, tally):
    chance = random.Random(22)

    def race(number: int, carrier_at: int, forget_at: int) -> Turns:
        person = vault.add_person(f"racer {number}")  # what one forgets is not another's
        wearer = make_wearer(person, f"d-{number}", Moment((1 + number) * 10_000 * SECOND_NS))
        wearer.record(3, start_s=(1 + number) * 10_000, segment_s=1.0)
        turns = Turns({"carrier": carrier_at, "forget": forget_at})
        by_turns(turns)
        turns.run({"carrier": wearer.carry, "forget": lambda: wearer.forget(1.5)})
        by_turns(None)
        assert turns.errors == []
        wearer.carry()
        all_is_settled(wearer, gone={2, 3})
        assert wearer.stored() == [1]
        tally.add()
        return turns

    carrier_steps = race(0, 10**6, 10**6).steps["carrier"]
    forget_steps = race(1, 1, 10**6).steps["forget"]
    assert carrier_steps > 30
    assert forget_steps > 20
    # All of the forgetting at each of the carrier's steps, and both cut up at random steps.
    whole = [(k, 10**6) for k in range(1, carrier_steps + 1, 1 if FULL else 5)]
    pairs = [(k, j) for k in range(1, carrier_steps + 1) for j in range(1, forget_steps + 1)]
    pairs = whole + chance.sample(pairs, min(len(pairs), 600 if FULL else 5))
    for number, (carrier_at, forget_at) in enumerate(pairs, 2):
        race(number, carrier_at, forget_at)


@pytest.mark.fault("D22")
def test_d22_forgetting_that_is_cut_at_any_step_is_finished_at_the_next_start(
    make_wearer, vault, by_turns, tally
):
    def cut(number: int, step: int) -> Turns:
        person = vault.add_person(f"cut {number}")
        wearer = make_wearer(person, f"c-{number}", Moment((1 + number) * 10_000 * SECOND_NS))
        wearer.record(2, start_s=(1 + number) * 10_000, segment_s=1.0)
        turns = Turns({"forget": step}, cut="forget")
        by_turns(turns)
        turns.run({"forget": lambda: wearer.forget(0.5)})
        by_turns(None)
        assert turns.errors == []
        asked = bool(forget.wishes(wearer.card)) or not step
        wearer.record(1, start_s=(1 + number) * 10_000 + 100, segment_s=1.0)
        wearer.carry()
        # Before the request was on the card, nothing was promised and nothing is lost.
        all_is_settled(wearer, gone={2} if asked else set())
        assert {1, 3} <= set(wearer.stored())
        tally.add()
        return turns

    steps = cut(0, 0).steps["forget"]
    assert steps > 10
    for step in range(1, steps + 1, 1 if FULL else 4):
        cut(step, step)


def test_a_request_to_forget_that_the_vault_rejects_is_named_and_holds_nothing_up(
    wearer, monkeypatch
):
    wearer.record(6, start_s=100)
    wearer.forget(1)
    ask = Link.ask

    def asking(self, method, path, body=None):
        if path == "/api/forget":
            raise Rejected("the vault rejected it: no such thing")
        return ask(self, method, path, body)

    monkeypatch.setattr(Link, "ask", asking)
    done = wearer.carry()
    assert "no such thing" in done.rejected["forget"]
    assert (done.left, len(forget.wishes(wearer.card))) == (0, 1)
