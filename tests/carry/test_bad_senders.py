"""Rows U5 to U8 and U11 to U18: senders that repeat, lie, forge, fork, flood or come too late."""

import base64
import hashlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from backends import both
from faults import FULL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from way import InlineLink

from firsthand.consent import people
from firsthand.consent.capture import withhold
from firsthand.crypto import SigningKey, canonical
from firsthand.errors import Damaged, Error, Refused
from firsthand.record.home.link import Denied, Rejected, Unreached
from firsthand.record.home.upload import carry_home
from firsthand.segment import sign_record
from firsthand.vault import catalog, forged, fork, ingest, quota
from firsthand.vault.check import check
from firsthand.web import body, wire
from firsthand.web.server import Server


@pytest.fixture
def server(vault) -> Iterator[Server]:
    with Server(vault, "127.0.0.1", 0).background() as running:
        yield running


def assert_stored_once(vault, made, receipts) -> None:
    assert receipts == [receipts[0]] * len(receipts)
    with vault.db.read() as connection:
        row = catalog.find_record(connection, made.record.device, made.record.seq)
    assert b"".join(vault.store.chunks(row.object)) == made.sealed
    assert list(vault.store.keys("segments")) == [row.object]
    found = check(vault)
    assert (found.faults, found.orphans) == ([], [])


def together(count: int, work) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


@both
@pytest.mark.fault("U5")
def test_u5_one_segment_handed_in_fifty_times_at_once_is_one_object_with_one_receipt(
    vault, device, small_parts, tally
):
    made = device.seal({"video": bytes(2500)})
    receipts: list = []

    def hand_in(number: int) -> None:
        while True:
            try:
                receipts.append(device.hand_in(made))
                return
            except Error:
                continue  # another was quicker between two steps; a device asks again too

    together(50, hand_in)
    assert len(receipts) == 50
    assert_stored_once(vault, made, receipts)
    tally.add(cases=50)


@both
@pytest.mark.fault("U6")
def test_u6_one_part_put_from_two_sides_at_once_is_whole(vault, device, small_parts, tally):
    made = device.seal({"video": bytes(2500)})
    upload = device.open(made)["upload"]

    def put(number: int) -> None:
        for _ in range(20):
            try:
                device.put(made, upload)
                return
            except Error:
                continue

    together(8, put)
    device.put(made, upload)
    assert_stored_once(vault, made, [ingest.complete(vault, upload, device.id)] * 2)
    tally.add(cases=8)


@both
@pytest.mark.fault("U7")
@pytest.mark.parametrize("lie", ["all is there", "nothing is there", "it goes back"])
def test_u7_a_list_of_parts_that_lies_or_goes_back_leaves_no_hole(
    lie, served, pack, clock, small_parts, monkeypatch
):
    pack.capture({"video": bytes(3500)})
    link = InlineLink(pack.device, clock, served)
    ask, first = link.ask, []

    def lying(method, path, content=None):
        answer = ask(method, path, content)
        if "parts" in answer and len(first) < 3:
            first.append(answer["parts"])
            parts = {"all is there": [], "nothing is there": first[0], "it goes back": first[0][1:]}
            return answer | {"parts": parts[lie]}
        return answer

    monkeypatch.setattr(link, "ask", lying)
    for _ in range(2):
        carry_home(pack.card, pack.device, clock=clock, link=link, patience_s=60.0)
        pack.assert_nothing_lost()
        first += [[]] * 3
    pack.assert_home()


def send_changed(vault, device, upload: str, changed: bytes, size: int) -> None:
    """As many parts as belong there, of other bytes; what is too much goes into the last."""
    for part in ingest.missing_parts(vault, upload, device.id)[1]:
        query = dict(pair.split("=") for pair in urlsplit(part["url"]).query.split("&"))
        start = (part["number"] - 1) * 1000
        last = part["number"] * 1000 >= size
        body = changed[start:] if last else changed[start : start + 1000]
        given = part["number"], int(query["expires"]), query["mac"], body, ""
        ingest.put_part(vault, upload, *given)
    ingest.complete(vault, upload, device.id)


MUTATIONS = st.tuples(
    st.sampled_from(["truncated", "extended", "flipped", "swapped", "repeated"]),
    st.integers(0, 10_000),
)


@pytest.mark.fault("U8")
@settings(
    max_examples=300 if FULL else 25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(MUTATIONS)
def test_u8_bodies_that_changed_are_never_stored(vault, device, small_parts, mutation):
    kind, at = mutation
    made = device.seal({"video": hashlib.sha256(bytes([at % 256])).digest() * 80})
    data, at = made.sealed, at % len(made.sealed)
    changed = {
        "truncated": data[:at],
        "extended": data + b"x" * (at + 1),
        "flipped": data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :],
        "swapped": data[1000:2000] + data[:1000] + data[2000:],
        "repeated": data[:1000] + data[:1000] + data[2000:],
    }[kind]
    upload = device.open(made)["upload"]
    before = list(vault.store.keys("segments"))
    if kind == "extended":
        changed = data[: len(data) - 1] + b"xx"
    with pytest.raises(Damaged):
        send_changed(vault, device, upload, changed, len(data))
    assert list(vault.store.keys("segments")) == before
    ingest.abort(vault, upload, device.id)
    assert device.hand_in(made)["receipt"]["kind"] == "stored"


@pytest.mark.fault("U11")
def test_u11_a_replay_changes_nothing_and_other_devices_records_are_refused(
    vault, person, device, make_device
):
    made = [device.seal(start_s=60 * number) for number in range(3)]
    receipts = [device.hand_in(each) for each in made]
    assert [device.hand_in(each) for each in made] == receipts
    other = make_device(person, "d2")
    for each in made:
        with pytest.raises((Damaged, Refused)):
            other.open(each)
        with pytest.raises(Refused):
            other.open(replace(each, envelope=sign_record(each.record, other.key)))
    assert len(list(vault.store.keys("segments"))) == 3


@pytest.mark.fault("U12")
def test_u12_forged_signatures_unknown_keys_and_other_contexts_are_refused(vault, device):
    made = device.seal()
    body = made.envelope["record"]
    stranger = SigningKey.generate()
    wrong = [
        sign_record(made.record, stranger),
        made.envelope | {"signature": base64.b64encode(bytes(64)).decode()},
        made.envelope | {"signature": "é"},
        made.envelope | {"record": body | {"frames": 1}},
    ]
    for context in ("firsthand/receipt/v1", "firsthand/segment/v2", None):
        signature = device.key.sign(context, canonical(body))
        wrong.append({"record": body, "signature": base64.b64encode(signature).decode()})
    for envelope in wrong:
        with pytest.raises((Damaged, Refused)):
            device.open(replace(made, envelope=envelope))
    assert device.hand_in(made)["receipt"]["kind"] == "stored"


@pytest.mark.fault("U12")
def test_u12_whatever_is_wrongly_signed_raises_an_alarm_that_a_flood_cannot_make_dear(
    vault, person, pack, make_pack, served, clock, tally
):
    def alarms() -> list[tuple[str, int]]:
        with vault.db.read() as connection:
            found = forged.alarms(connection, vault.now_ns())
        return sorted((each.device, each.minutes) for each in found)

    def ask(device, count: int = 1) -> None:
        for _ in range(count):
            with pytest.raises((Denied, Rejected, Unreached)):
                InlineLink(device, clock, served).state()

    InlineLink(pack.device, clock, served).state()
    assert alarms() == []
    made = pack.wearer.seal()  # a record by another key, in a request by the right one
    pack.lay(replace(made, envelope=sign_record(made.record, SigningKey.generate())))
    link = InlineLink(pack.device, clock, served)
    with pytest.raises(Rejected):
        link.ask("POST", "/api/uploads", asked(pack.card.waiting()[0]))
    assert alarms() == [("d1", 1)]
    clock.sleep(60)
    ask(replace(pack.device, key=SigningKey.generate()), 50)
    assert alarms() == [("d1", 2)]
    revoked = make_pack("d2")
    with vault.db.write() as connection:
        people.revoke(connection, "d2")
    ask(revoked.device)
    for number in range(50):  # names that nobody gave
        ask(replace(pack.device, name=f"x{number}"))
    assert alarms() == [("", 1), ("d1", 2), ("d2", 1)]
    assert pack.rows() == {}
    clock.sleep(7 * 86_400)
    assert alarms() == []
    tally.add(cases=103)


def asked(item) -> dict:
    return {"envelope": item.envelope, "headers": item.headers()}


@both
@pytest.mark.fault("U13")
def test_u13_a_fork_flags_the_device_and_neither_record_is_used(vault, person, pack, served, clock):
    first = pack.capture(seq=7)
    carry_home(pack.card, pack.device, clock=clock, link=InlineLink(pack.device, clock, served))
    other = pack.capture(seq=7, start_s=3600, session="copied")
    later = pack.capture(seq=8, start_s=7200)
    for _ in range(2):  # the second time finds it noted
        link = InlineLink(pack.device, clock, served)
        done = carry_home(pack.card, pack.device, clock=clock, link=link, patience_s=60.0)
        assert done.left == 1
    assert "two different records numbered 7" in next(iter(done.rejected.values()))
    assert [item.record.hash() for item in pack.card.waiting()] == [other.record.hash()]
    assert set(pack.rows()) == {first.record.hash(), later.record.hash()}
    with vault.db.read() as connection:
        assert fork.flagged(connection) == ["d1"]
        (kept_back,) = withhold.of(connection, person.id)
    row = pack.rows()[first.record.hash()]
    assert (kept_back.start_ns, kept_back.stop_ns) == (row.start_ns, row.stop_ns)


@pytest.mark.fault("U14")
def test_u14_a_missing_middle_is_taken_as_on_its_way_and_told_after_a_week(
    vault, person, device, clock
):
    made = [device.seal({}, start_s=60 * number) for number in range(5)]
    for number in (0, 1, 4):
        assert device.hand_in(made[number])["receipt"]["kind"] == "stored"

    def overdue() -> list:
        with vault.db.read() as connection:
            assert catalog.missing_records(connection, person.id) == 2
            return catalog.overdue_records(connection, person.id, vault.now_ns())

    assert overdue() == []
    clock.sleep(7 * 86_400 - 1)
    assert overdue() == []
    clock.sleep(1)
    assert overdue() == [("d1", 3), ("d1", 4)]
    device.hand_in(made[2])
    device.hand_in(made[3])
    with vault.db.read() as connection:
        assert catalog.overdue_records(connection, person.id, vault.now_ns()) == []


@pytest.mark.fault("U15")
def test_u15_lying_lengths_and_slow_senders_leave_others_unaffected(
    server, pack, clock, small_parts, monkeypatch, tally
):
    for module, name in ((body, "IDLE_S"), (wire, "IDLE_S"), (wire, "HEAD_S")):
        monkeypatch.setattr(module, name, 1.0)
    heads = [
        b"Content-Length: 99999999999999",
        b"Content-Length: 99999999999999999999999999",
        b"Content-Length: -1",
        b"Content-Length: 1e3",
        b"Content-Length: 10",
        b"Transfer-Encoding: chunked",
        b"X-None: 1",
    ]
    lines = []
    for number in range(200 if FULL else 40):
        line = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        head = b"POST /api/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\n" + heads[number % len(heads)]
        line.sendall(head + b"\r\n\r\nabc" if number % 2 else head)  # or not even a whole head
        lines.append(line)
    pack.capture({"video": bytes(2500)})
    device = replace(pack.device, vault_url=server.url)
    assert carry_home(pack.card, device, clock=clock, patience_s=20.0).left == 0
    pack.assert_home()
    for line in lines:
        answer = line.recv(65536)  # refused at once or after the wait, or let go without a word
        assert answer == b"" or answer.split()[1][:1] == b"4"
        tally.add()
        line.close()


@pytest.mark.fault("U15")
@pytest.mark.parametrize("where", ["nothing", "head", "second head", "part"])
def test_u15_a_sender_that_dribbles_is_let_go_in_time_however_long_it_goes_on(
    where, server, vault, device, monkeypatch
):
    for module, name, value in ((wire, "HEAD_S", 0.5), (wire, "IDLE_S", 0.5)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(wire, "LEAST_BYTES_PER_S", 10_000)
    made = device.seal({"video": bytes(3000)})
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    line = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if where == "second head":  # a head that was whole buys no time for the next
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
    if where == "part":
        head = f"PUT {part['url']} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        line.sendall(f"{head}Content-Length: {part['size']}\r\n\r\n".encode())
    began, sent = time.monotonic(), 0
    line.settimeout(0.1)
    dribble = b"" if where == "nothing" else b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * 1000
    while time.monotonic() - began < 15:
        try:
            if sent < len(dribble):
                line.sendall(dribble[sent : sent + 1])
                sent += 1
            if line.recv(100) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        pytest.fail("it is still served")
    assert time.monotonic() - began < 10
    line.close()
    assert device.hand_in(made)["receipt"]["kind"] == "stored"


@pytest.mark.fault("U15")
def test_u15_a_flood_of_tiny_segments_meets_its_quota_and_takes_no_memory(
    vault, pack, served, clock, person, tally
):
    count = 2000 if FULL else 12
    allowed_gb = count * quota.LEAST_BYTES / quota.GB
    vault.settings = replace(vault.settings, device_gb_a_day=allowed_gb)
    served.vault.settings = vault.settings
    device = pack.wearer
    device.vault = served.vault
    for number in range(count):
        tiny = device.seal({"video": b"x"} if number % 2 else {}, start_s=number, length_s=1)
        assert device.hand_in(tiny)["receipt"]["kind"] == "stored"
        if number == count // 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 20 << 10
    assert list(served.vault.store.begun()) == []
    pack.capture({"video": b"x"}, start_s=count)
    pack.capture({}, start_s=count + 60)
    link = InlineLink(pack.device, clock, served)
    options = {"clock": clock, "link": link, "patience_s": 300.0}
    done = carry_home(pack.card, pack.device, **options)
    assert (done.left, done.rejected) == (2, {})  # kept on the card, for tomorrow
    assert "GB a day" in done.waiting_for
    clock.sleep(86_400)
    assert carry_home(pack.card, pack.device, **options).left == 0
    tally.add(cases=count)


@pytest.mark.fault("U16")
@pytest.mark.parametrize(
    "path",
    [
        "/api/uploads/..%2f..%2fetc/parts/1?expires=1&mac=1",
        "/api/uploads/%00/parts/1?expires=1&mac=1",
        "/api/uploads/%ff%fe/parts/1?expires=1&mac=%ff",
        "/api/uploads/1-a/parts/-1?expires=1&mac=1",
        "/api/uploads/1-a/parts/99999999999999999999999?expires=1&mac=1",
        "/api/uploads/1-a/parts/1?expires=99999999999999999999999&mac=1",
        "/api/uploads/" + "a" * 5000 + "/parts/1?expires=1&mac=1",
    ],
)
def test_u16_names_that_play_tricks_are_refused_and_make_no_file(path, served, vault):
    answer = served.call("PUT", path, {"Host": "127.0.0.1", "Content-Length": "3"}, b"abc")
    assert answer is not None
    assert 400 <= answer.status < 500
    assert b"Traceback" not in answer.body
    assert [*vault.store.keys("segments"), *vault.store.keys("uploads")] == []


@both
@pytest.mark.fault("U18")
def test_u18_after_withdrawal_nothing_is_stored_and_the_device_clears_by_a_signed_refusal(
    vault, pack, served, clock, small_parts
):
    pack.capture({"video": bytes(2500)})
    pack.capture({}, reason="paused")
    with vault.db.write() as connection:
        connection.execute(people.people.update().values(status="withdrawn"))
    link = InlineLink(pack.device, clock, served)
    done = carry_home(pack.card, pack.device, clock=clock, link=link, patience_s=20.0)
    assert (done.refused, done.left, done.bytes_sent) == (2, 0, 0)
    assert [*vault.store.keys("segments"), *vault.store.keys("uploads")] == []
    assert {each["receipt"]["kind"] for each in pack.receipts().values()} == {"refused"}
