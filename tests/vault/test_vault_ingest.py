"""Ingest: stored once, said only when it is so, and nothing that is not what was signed."""

import base64
import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from backends import send_part

from firsthand import age, log, tlog
from firsthand.consent import erasure, people
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, Error, Failed, NotFound, Refused, Usage, WrongKey
from firsthand.segment import Part, sign_record, verify_receipt
from firsthand.vault import catalog, erase, ingest, quota, reading
from firsthand.vault import receipt as receipts
from firsthand.vault.check import check
from firsthand.vault.vault import Vault

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS


def held(vault: Vault, person: people.Person) -> list[catalog.Segment]:
    with vault.db.read() as connection:
        return list(catalog.of_person(connection, person.id))


def objects(vault: Vault) -> list[str]:
    return sorted(vault.store.keys("segments"))


def staged(vault: Vault) -> list[str]:
    """Parts that lie in the store, waiting for the others."""
    return sorted(
        f"{each.upload}/{number}"
        for each in vault.store.begun()
        for number in vault.store.parts(each.key, each.upload)
    )


def entries(vault: Vault) -> list[str]:
    with vault.db.read() as connection:
        assert log.verify(connection) == log.size(connection)
        return [entry.kind for entry in log.read(connection)]


def assert_clean(vault: Vault) -> None:
    """Every row has its bytes, and every object its row."""
    found = check(vault)
    assert (found.faults, found.orphans) == ([], [])


def test_a_handed_in_segment_is_stored_and_opens_to_the_same_bytes(vault, person, device):
    made = device.seal({"video": b"v" * 70_000, "events": b"{}\n"})
    device.hand_in(made)
    (segment,) = held(vault, person)
    assert b"".join(vault.store.chunks(segment.object)) == made.sealed
    for name, plain in made.plain.items():
        assert reading.read_part(vault, segment.id, name, "self", "test") == plain
    assert staged(vault) == []
    assert_clean(vault)


def test_the_receipt_says_what_was_stored_and_is_proven_by_the_log(vault, device):
    made = device.seal()
    receipt = verify_receipt(device.hand_in(made), vault.keyring.log_key().public)
    assert (receipt.kind, receipt.reason) == ("stored", "")
    assert (receipt.record_hash, receipt.device, receipt.seq) == (made.record.hash(), "d1", 1)
    assert receipt.object_sha256 == hashlib.sha256(made.sealed).hexdigest()
    assert receipt.object_size == len(made.sealed)
    vault.add_person("later")
    with vault.db.read() as connection:
        # Its root is that of the log up to and with its entry, at the head of every later log.
        size, read = log.size(connection), log.reader(connection)
        first = receipt.log_index + 1
        assert first < size
        proof = tlog.consistency_proof(first, size, read)
        top = log.root(connection)
        tlog.verify_consistency(first, size, proof, bytes.fromhex(receipt.log_root), top)
        (entry,) = [each for each in log.read(connection) if each.index == receipt.log_index]
    assert (entry.kind, entry.public["record"]) == ("segment_stored", made.record.hash())


def test_a_receipt_by_another_vault_does_not_pass(device):
    with pytest.raises(Damaged):
        verify_receipt(device.hand_in(device.seal()), SigningKey.generate().public)


@pytest.mark.files
def test_no_header_and_no_file_key_is_kept_in_the_open(vault, device, tmp_path):
    made = device.seal()
    device.hand_in(made)
    vault.close()
    everything = b"".join(p.read_bytes() for p in (tmp_path / "data").rglob("*") if p.is_file())
    assert made.record.object_sha256.encode() in everything  # the search itself works
    for name, header in made.headers.items():
        assert header[:60].encode() not in everything
        assert base64.b64decode(header)[-60:] not in everything
        assert made.file_keys[name] not in everything
        assert made.plain[name] * 5 not in everything


def test_handing_in_again_gives_the_same_receipt_and_no_second_object(vault, device):
    made = device.seal()
    opened = device.open(made)
    device.put(made, opened["upload"])
    first = ingest.complete(vault, opened["upload"], device.id)
    size = len(entries(vault))
    assert ingest.complete(vault, opened["upload"], device.id) == first
    assert device.open(made) == {"receipt": first}
    assert device.hand_in(made) == first
    assert (len(objects(vault)), len(entries(vault))) == (1, size)


def test_opening_again_before_completing_finds_the_same_upload(vault, device):
    made = device.seal()
    assert device.open(made) == device.open(made)
    assert entries(vault).count("segment_stored") == 0


@pytest.mark.parametrize("instances", [1, 2])
def test_completing_at_once_from_many_sides_stores_one_object(open_vault, vault, device, instances):
    made = device.seal({"video": b"v" * 300_000})
    upload = device.open(made)["upload"]
    device.put(made, upload)
    vaults = [vault, open_vault()][:instances]
    receipts: list[Any] = []
    barrier = threading.Barrier(4)

    def complete(number: int) -> None:
        barrier.wait()
        try:
            receipts.append(ingest.complete(vaults[number % instances], upload, device.id))
        except BaseException as error:
            receipts.append(error)

    threads = [threading.Thread(target=complete, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receipts == [receipts[0]] * 4
    assert verify_receipt(receipts[0], vault.keyring.log_key().public).kind == "stored"
    assert entries(vault).count("segment_stored") == 1
    assert_clean(vault)


def test_wrong_bytes_are_refused_and_thrown_away_so_that_the_right_ones_can_follow(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload, bytes(len(made.sealed)))
    with pytest.raises(Damaged, match="not what it names"):
        ingest.complete(vault, upload, device.id)
    assert (staged(vault), objects(vault)) == ([], [])
    assert "segment_stored" not in entries(vault)
    device.put(made, upload)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"
    assert_clean(vault)


def test_the_whole_and_each_part_must_be_what_the_record_names(vault, device):
    made = device.seal()
    video, events = made.record.parts
    for change in (
        {"object_sha256": "00" * 32},
        {"parts": (video, replace(events, payload_sha256="00" * 32))},
        {"parts": (replace(video, payload_sha256=events.payload_sha256), events)},
    ):
        record = replace(made.record, **change)
        forged = replace(made, record=record, envelope=sign_record(record, device.key))
        with pytest.raises(Damaged, match="not what it names"):
            device.hand_in(forged)
    assert (objects(vault), staged(vault)) == ([], [])
    device.hand_in(made)


@pytest.mark.parametrize("at", [0, 100, -1])
def test_one_flipped_bit_is_enough_to_refuse(vault, device, at):
    made = device.seal()
    upload = device.open(made)["upload"]
    changed = bytearray(made.sealed)
    changed[at] ^= 1
    device.put(made, upload, bytes(changed))
    with pytest.raises(Damaged):
        ingest.complete(vault, upload, device.id)
    assert objects(vault) == []


def test_two_different_records_of_one_number_are_refused_before_and_after(vault, person, device):
    first, fork = device.seal(seq=7), device.seal(seq=7, start_s=60)
    opened = device.open(first), device.open(fork)
    assert opened[0]["upload"] != opened[1]["upload"]
    device.put(fork, opened[1]["upload"])
    device.hand_in(first)
    with pytest.raises(Refused, match="two different records numbered 7"):
        device.open(fork)
    with pytest.raises(Refused, match="two different records numbered 7"):
        ingest.complete(vault, opened[1]["upload"], device.id)
    assert [segment.record_hash for segment in held(vault, person)] == [first.record.hash()]
    assert len(objects(vault)) == 1


def test_two_devices_of_one_person_number_on_their_own(vault, person, device, make_device):
    other = make_device(person, "d2")
    device.hand_in(device.seal(seq=1))
    other.hand_in(other.seal(seq=1))
    assert len(held(vault, person)) == 2


def test_a_device_hands_in_its_own_persons_segments_only(vault, person, device, make_device):
    ben = vault.add_person("ben")
    foreign = make_device(ben, "d2")
    made = device.seal()
    with pytest.raises(Damaged):  # not by this key
        foreign.open(made)
    for change in ({"device": "d2"}, {"person": ben.id}, {"person": "p-none"}):
        with pytest.raises(Refused):
            device.open(device.seal(**change))
    forged = replace(made, envelope=sign_record(made.record, foreign.key))
    with pytest.raises(Damaged):
        device.open(forged)
    with pytest.raises(Refused):
        foreign.open(forged)
    assert held(vault, person) == held(vault, ben) == []


def test_another_devices_upload_is_not_found(vault, person, device, make_device):
    other = make_device(person, "d2")
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    for attempt in (ingest.missing_parts, ingest.complete, ingest.abort):
        with pytest.raises(NotFound):
            attempt(vault, upload, other.id)
    device.hand_in(made)
    with pytest.raises(NotFound):
        ingest.complete(vault, upload, other.id)


def test_a_device_that_was_revoked_meanwhile_completes_nothing(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    with vault.db.write() as connection:
        connection.execute(people.devices.update().values(status="revoked"))
    with pytest.raises(Refused, match="revoked"):
        ingest.complete(vault, upload, device.id)
    assert objects(vault) == []


def test_an_upload_that_was_never_opened_is_not_found(vault, device):
    for upload in ("", "x", "1-", "-1-ab", "1-" + "0" * 64, "9" * 99, "\u0661-x", "../../x"):
        for attempt in (ingest.missing_parts, ingest.complete, ingest.abort):
            with pytest.raises(NotFound):
                attempt(vault, upload, device.id)


# --- headers and what is sealed


def change_header(made: Any, name: str, header: bytes) -> Any:
    return replace(made, headers=made.headers | {name: base64.b64encode(header).decode()})


def resign(device: Any, made: Any, header: bytes) -> Any:
    """The same segment whose record names another header for the video."""
    video, *rest = made.record.parts
    hashes = {"header_sha256": hashlib.sha256(header).hexdigest(), "header_size": len(header)}
    record = replace(made.record, parts=(replace(video, **hashes), *rest))
    changed = change_header(made, "video", header)
    return replace(changed, record=record, envelope=sign_record(record, device.key))


def test_a_header_that_the_record_does_not_name_is_refused(vault, device):
    made = device.seal()
    for header in (b"", b"age-encryption.org/v1\n", base64.b64decode(made.headers["events"])):
        with pytest.raises(Damaged):
            device.open(change_header(made, "video", header))
    with pytest.raises(Damaged):
        device.open(replace(made, headers={}))
    for nonsense in ("é", "????", None, 5):
        with pytest.raises(Damaged):
            device.open(replace(made, headers=made.headers | {"video": nonsense}))
    assert device.open(made)["upload"]


@pytest.mark.fault("U17")
def test_u17_a_header_that_is_not_for_our_key_is_refused_before_any_byte_travels(vault, device):
    made = device.seal()
    header = age.seal_header(made.file_keys["video"], [age.Identity.generate().recipient])
    with pytest.raises(WrongKey):
        device.open(resign(device, made, header))
    ours = base64.b64decode(made.headers["video"])
    changed = ours[:-10] + (b"A" if ours[-10:-9] != b"A" else b"B") + ours[-9:]
    for broken in (b"none", header[:-5], changed):
        with pytest.raises((Damaged, WrongKey)):
            device.open(resign(device, made, broken))


def test_a_header_for_another_wearer_is_refused(vault, device, make_device):
    ben = make_device(vault.add_person("ben"), "d2")
    theirs = ben.seal()
    with pytest.raises(WrongKey):
        device.open(resign(device, device.seal(), base64.b64decode(theirs.headers["video"])))


def test_headers_that_no_part_asks_for_are_not_kept(vault, device):
    made = device.seal({"video": b"x"})
    device.open(replace(made, headers=made.headers | {"still": "junk", "x": "y" * 1000}))
    with vault.db.read() as connection:
        (row,) = connection.execute(catalog.uploads.select()).all()
    assert row.headers == made.headers


def claim(device: Any, made: Any, sealed: bytes, **changes: Any) -> Any:
    """A segment of one part whose record truly names `sealed` as that part's bytes."""
    digest = hashlib.sha256(sealed).hexdigest()
    (part,) = made.record.parts
    part = replace(part, size_bytes=len(sealed), payload_sha256=digest, **changes)
    record = replace(made.record, parts=(part,), object_sha256=digest, object_size=len(sealed))
    return replace(made, record=record, envelope=sign_record(record, device.key), sealed=sealed)


@pytest.mark.fault("U17")
@pytest.mark.parametrize("cut", [False, True])
def test_u17_plaintext_is_refused_though_its_hashes_are_right(vault, device, cut):
    for size in (1, 40, 5_000, 70_000, 200_000):
        plain = (b"plain footage " * 15_000)[:size]
        with pytest.raises(Damaged):
            device.hand_in(claim(device, device.seal({"video": b"x"}), plain, cut=cut))
    assert (objects(vault), staged(vault)) == ([], [])


@pytest.mark.fault("U17")
def test_u17_bytes_sealed_with_another_file_key_are_refused(vault, device):
    made = device.seal({"video": b"x"})
    with pytest.raises(Damaged):
        device.hand_in(claim(device, made, age.seal(age.new_file_key(), b"v" * 100_000)))
    assert objects(vault) == []


def test_bytes_whose_beginning_alone_or_end_alone_is_sealed_are_refused(vault, device):
    made = device.seal({"video": b"x"})
    sealed = age.seal(made.file_keys["video"], b"v" * 200_000)
    for forged in (bytes(70_000) + sealed[70_000:], sealed[:140_000] + bytes(60_064)):
        assert forged != sealed
        with pytest.raises(Damaged):
            device.hand_in(claim(device, made, forged))
    device.hand_in(claim(device, made, sealed))


def test_a_cut_part_is_stored_only_if_it_is_said_to_be_cut_and_read_as_far_as_it_goes(
    vault, person, device
):
    made = device.seal({"video": b"x"})
    plain = bytes(range(250)) * 600
    torn = age.seal(made.file_keys["video"], plain)[:140_000]
    with pytest.raises(Damaged):
        device.hand_in(claim(device, made, torn))
    device.hand_in(claim(device, made, torn, cut=True))
    (segment,) = held(vault, person)
    found = reading.read_part(vault, segment.id, "video", "self", "test")
    assert found == plain[: 2 * 65_536]


# --- parts and their URLs


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(ingest, "PART_SIZE", 1000)


def asked(part: dict) -> tuple[int, str]:
    query = dict(parse_qsl(urlsplit(part["url"]).query))
    return int(query["expires"]), query["mac"]


def test_a_segment_in_parts_arrives_in_any_order_and_resumes(small_parts, vault, person, device):
    made = device.seal({"video": bytes(range(256)) * 15})
    upload = device.open(made)["upload"]
    have, need = ingest.missing_parts(vault, upload, device.id)
    assert (have, sum(part["size"] for part in need)) == ([], len(made.sealed))
    for part in reversed(need[1:]):
        start = (part["number"] - 1) * 1000
        data = made.sealed[start : start + part["size"]]
        send_part(vault, upload, part, data)
    with pytest.raises(Damaged, match="lacks 1 of 4 parts"):
        ingest.complete(vault, upload, device.id)
    assert objects(vault) == []
    have, need = ingest.missing_parts(vault, upload, device.id)
    assert ([part["number"] for part in need], len(have)) == ([1], 3)
    device.put(made, upload)
    ingest.complete(vault, upload, device.id)
    (segment,) = held(vault, person)
    assert b"".join(vault.store.chunks(segment.object)) == made.sealed


@pytest.mark.files
def test_a_part_url_holds_for_its_part_upload_and_hour_alone(small_parts, vault, device, clock):
    made, other = device.seal({"video": bytes(1900)}), device.seal()
    upload, second = device.open(made)["upload"], device.open(other)["upload"]
    _, need = ingest.missing_parts(vault, upload, device.id)
    expires_s, mac = asked(need[0])
    data = made.sealed[:1000]
    wrong: list[tuple[Any, ...]] = [
        (upload, 2, expires_s, mac),
        (second, 1, expires_s, mac),
        (upload, 1, expires_s + 1, mac),
        (upload, 1, expires_s, mac[:-1] + ("0" if mac[-1] != "0" else "1")),
        (upload, 1, expires_s, ""),
        (upload, 1, expires_s, "é" * 64),
        (upload, 1, expires_s, mac.upper() + "x"),
        ("nothing", 1, expires_s, mac),
    ]
    for arguments in wrong:
        with pytest.raises(Refused, match="not given out"):
            ingest.put_part(vault, *arguments, data, "")
    assert staged(vault) == []
    clock.now_ns = expires_s * SECOND_NS
    ingest.put_part(vault, upload, 1, expires_s, mac, data, "")
    clock.now_ns += SECOND_NS
    with pytest.raises(Refused, match="has ended"):
        ingest.put_part(vault, upload, 1, expires_s, mac, data, "")


@pytest.mark.files
def test_a_url_of_another_vault_is_refused(vault, device, tmp_path):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    vault.url_key = lambda: bytes(32)  # type: ignore[method-assign]
    with pytest.raises(Refused):
        ingest.put_part(vault, upload, 1, *asked(part), made.sealed, "")


def test_a_part_of_the_wrong_size_or_hash_is_not_kept(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    for data in (b"", made.sealed[:-1], made.sealed + b"x"):
        with pytest.raises((Damaged, Refused)):  # by the store: the URL is for one size
            send_part(vault, upload, part, data)
    md5 = base64.b64encode(hashlib.md5(b"else").digest()).decode()
    with pytest.raises(Damaged):
        send_part(vault, upload, part, made.sealed, md5)
    assert staged(vault) == []


def test_a_part_sent_again_replaces_the_first(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    send_part(vault, upload, part, bytes(len(made.sealed)))
    send_part(vault, upload, part, made.sealed)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_an_upload_given_up_leaves_nothing_and_can_be_begun_again(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    ingest.abort(vault, upload, device.id)
    assert staged(vault) == []
    with pytest.raises(NotFound):
        ingest.abort(vault, upload, device.id)
    assert device.hand_in(made)["receipt"]["kind"] == "stored"


def test_a_segment_larger_than_any_is_refused_at_once(vault, device):
    size = quota.MAX_OBJECT + 1
    part = Part("video", size, "aa", "bb", 5)
    made = device.seal(parts=(part,), object_size=size)
    with pytest.raises(Usage, match="are taken"):
        device.open(made)


# --- order, gaps and time


def test_segments_arrive_in_any_order(vault, person, device):
    made = [device.seal(start_s=60 * number) for number in range(4)]
    for number in (2, 0, 3, 1):
        device.hand_in(made[number])
    assert [segment.seq for segment in held(vault, person)] == [1, 2, 3, 4]
    assert [made[n].record.prev for n in (1, 2, 3)] == [made[n].record.hash() for n in (0, 1, 2)]


def test_a_gap_needs_no_bytes_and_is_receipted_at_once_and_once(vault, person, device):
    made = device.seal({}, reason="paused")
    first = device.open(made)["receipt"]
    assert device.open(made)["receipt"] == first
    receipt = verify_receipt(first, vault.keyring.log_key().public)
    assert (receipt.kind, receipt.object_size) == ("stored", 0)
    with vault.db.read() as connection:
        (gap,) = catalog.gaps(connection, person.id)
    assert (gap.kind, gap.record["reason"], gap.object) == ("gap", "paused", "")
    assert (held(vault, person), objects(vault)) == ([], [])
    assert_clean(vault)


def test_every_kind_of_record_without_bytes_is_kept(vault, device):
    for kind in ("gap", "withheld", "forgotten", "clock"):
        device.open(device.seal({}, kind=kind))
        assert entries(vault)[-1] == f"{kind}_stored"


def test_missing_numbers_are_counted(vault, person, device):
    for seq in (1, 2, 5, 9):
        device.hand_in(device.seal({}, seq=seq))
    with vault.db.read() as connection:
        assert catalog.missing_records(connection, person.id) == 5
        assert catalog.missing_records(connection, person.id, [3, 4, 10]) == 3


def unsure(start_s: float, **changes: Any) -> dict[str, Any]:
    blank = {"wall_ns_start": 0, "wall_ns_end": 0, "wall_quality": "none"}
    return {"start_s": start_s} | blank | changes


def test_a_record_without_the_time_is_placed_by_its_session(vault, person, device, clock):
    known = device.seal(start_s=600)
    device.hand_in(known)
    device.hand_in(device.seal(**unsure(120)))
    starts = [segment.start_ns for segment in held(vault, person)]
    assert starts == [clock.now_ns + 120 * SECOND_NS, clock.now_ns + 600 * SECOND_NS]


@pytest.mark.parametrize("quality", ["none", "fake"])
def test_a_clock_that_stood_still_is_not_believed_over_one_that_ran(
    vault, person, device, clock, quality
):
    # A Pi without a clock battery wakes up in the past: a withhold of today must still touch it.
    stale = {"wall_ns_start": 5 * SECOND_NS, "wall_quality": quality}
    device.hand_in(device.seal(start_s=600))
    device.hand_in(device.seal(**unsure(120, **stale)))
    assert held(vault, person)[0].start_ns == clock.now_ns + 120 * SECOND_NS


def test_a_segment_of_no_length_can_still_be_touched(vault, person, device, clock):
    device.hand_in(device.seal(length_s=0))
    with vault.db.read() as connection:
        at = clock.now_ns
        assert len(catalog.of_person(connection, person.id, at, at + 1)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"wall_ns_start": 2**63 - 1},
        {"boot_ns_start": 0, "boot_ns_end": 2**63 - 1},
        {"boot_ns_start": -(2**63), "boot_ns_end": 2**63 - 1},
        {"wall_ns_start": 2**63 - MINUTE_NS - 1},
        {"wall_ns_start": -5},
        {"boot_ns_start": -(2**62), "boot_ns_end": 0, "wall_ns_start": 0},
    ],
)
def test_times_from_nowhere_are_stored_or_refused_with_an_error_of_ours(vault, device, change):
    made = device.seal(**change)
    try:
        device.hand_in(made)
    except Error:
        assert "segment_stored" not in entries(vault)
    assert_clean(vault)


# --- refusals that a device can rely on


def refusal(vault: Vault, envelope: dict[str, Any]) -> str:
    receipt = verify_receipt(envelope, vault.keyring.log_key().public)
    assert receipt.kind == "refused"
    return receipt.reason


def leave(vault: Vault) -> None:
    with vault.db.write() as connection:
        connection.execute(people.people.update().values(status="withdrawn"))


def test_after_withdrawal_a_segment_is_refused_with_a_signed_receipt(vault, person, device):
    made, gap = device.seal(), device.seal({})
    leave(vault)
    assert refusal(vault, device.open(made)["receipt"]) == "withdrawn"
    assert refusal(vault, device.open(gap)["receipt"]) == "withdrawn"
    assert (held(vault, person), objects(vault), staged(vault)) == ([], [], [])
    assert entries(vault)[-1] == "ingest_refused"


def test_a_withdrawal_during_an_upload_refuses_it_and_throws_its_bytes_away(vault, person, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    leave(vault)
    assert refusal(vault, ingest.complete(vault, upload, device.id)) == "withdrawn"
    assert (held(vault, person), objects(vault), staged(vault)) == ([], [], [])


def erase_person(vault: Vault, person: people.Person) -> None:
    with vault.db.write() as connection:
        order = erasure.order(connection, person)
    erase.carry_out(vault, order)


def test_after_erasure_a_device_still_gets_its_refusal_and_can_clear_its_card(
    vault, person, device
):
    made, late = device.seal(), device.seal(start_s=60)
    upload = device.open(made)["upload"]
    device.put(made, upload)
    erase_person(vault, person)
    assert staged(vault) == []
    with vault.db.read() as connection:
        people.find_device(connection, device.id)  # else it could not even ask
    for each in (made, late):
        assert refusal(vault, device.open(each)["receipt"]) == "erased"
    with pytest.raises(NotFound):
        ingest.complete(vault, upload, device.id)
    assert (objects(vault), staged(vault)) == ([], [])


def test_what_comes_late_from_an_erased_interval_is_refused_and_the_rest_is_not(
    vault, person, device, clock
):
    made = [device.seal(start_s=60 * number) for number in range(4)]
    upload = device.open(made[1])["upload"]
    device.put(made[1], upload)
    with vault.db.write() as connection:
        bounds = clock.now_ns + 70 * SECOND_NS, clock.now_ns + 80 * SECOND_NS
        order = erasure.order(connection, person, bounds)
    # Ordered but not carried out yet, an erasure counts already.
    assert refusal(vault, ingest.complete(vault, upload, device.id)) == "erased"
    erase.carry_out(vault, order)
    assert refusal(vault, device.open(made[1])["receipt"]) == "erased"
    for number in (0, 2, 3):
        assert device.hand_in(made[number])["receipt"]["kind"] == "stored"
    assert [segment.seq for segment in held(vault, person)] == [1, 3, 4]


# --- crashes


class Crash(BaseException):
    """The process dies here: nothing of ours catches it."""


def crash(*_: object, **__: object) -> None:
    raise Crash


CRASHES: dict[str, Callable[[Any, Vault], None]] = {
    "joining": lambda patch, vault: patch.setattr(vault.store, "finish", crash),
    "verifying": lambda patch, vault: patch.setattr(ingest, "_verify_object", crash),
    "opening headers": lambda patch, vault: patch.setattr(ingest, "_open_headers", crash),
    "making the day key": lambda patch, vault: patch.setattr(vault.keyring, "day_key", crash),
    "logging": lambda patch, vault: patch.setattr(people, "note", crash),
    "signing": lambda patch, vault: patch.setattr(receipts, "sign_receipt", crash),
    "writing the row": lambda patch, vault: patch.setattr(catalog, "insert", crash),
    "removing the parts": lambda patch, vault: patch.setattr(vault.store, "abort", crash),
}


@pytest.mark.parametrize("where", CRASHES)
def test_a_crash_anywhere_leaves_no_row_without_its_object_and_can_be_repeated(
    vault, person, device, monkeypatch, where
):
    for killed in (False, True):
        made = device.seal(start_s=60 * killed)
        upload = device.open(made)["upload"]
        device.put(made, upload)
        with monkeypatch.context() as patch:
            CRASHES[where](patch, vault)
            if killed:  # then nothing is tidied up either
                patch.setattr(vault.store, "delete", crash)
            with pytest.raises(Crash):
                ingest.complete(vault, upload, device.id)
        stored = killed + (where == "removing the parts")
        assert (len(held(vault, person)), entries(vault).count("segment_stored")) == (stored,) * 2
        found = check(vault)
        assert found.faults == []
        # Whatever lies about is named, whole, and never taken for footage.
        known = [segment.object for segment in held(vault, person)]
        with vault.db.read() as connection:  # joined already, to be verified at the next try
            known += connection.scalars(sa.select(catalog.uploads.c.object)).all()
        assert [key for key in objects(vault) if key not in known] == []
        assert [item for item in found.orphans if not item.key.startswith("uploads/")] == []
        receipt = verify_receipt(device.hand_in(made), vault.keyring.log_key().public)
        assert receipt.kind == "stored"
        segment = held(vault, person)[killed]
        assert reading.read_part(vault, segment.id, "video", "self", "x") == made.plain["video"]
        assert check(vault).faults == []


def test_parts_that_no_upload_knows_are_visible_to_a_check(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    assert check(vault).orphans == []  # an open upload's parts are in their place
    with vault.db.write() as connection:
        connection.execute(catalog.uploads.delete())
    (begun,) = vault.store.begun()
    assert [item.key for item in check(vault).orphans] == [f"uploads/{begun.upload}"]
    assert len(staged(vault)) == 1


def test_a_text_that_no_database_can_ask_for_again_is_refused(vault, device):
    for change in ({"session": "boot\0"}, {"reason": "\0"}, {"media": {"codec": "h\0"}}):
        with pytest.raises(Usage, match="NUL"):
            device.open(device.seal({}, **change))
    for name in ("\0", "1-\0" + "0" * 64):
        with pytest.raises(Error):
            ingest.missing_parts(vault, name, device.id)
    device.hand_in(device.seal({}, session="b\\u0001", reason="ä\n\x01"))


def test_what_was_begun_and_left_alone_is_swept_away_and_can_be_begun_again(vault, device, clock):
    old, new, stray = device.seal(), device.seal(start_s=60), device.seal(start_s=120)
    upload = device.open(old)["upload"]
    device.put(old, upload)
    clock.now_ns += 3 * ingest.STALE_S * SECOND_NS // 4
    device.put(new, device.open(new)["upload"])
    device.put(stray, device.open(stray)["upload"])
    with vault.db.write() as connection:  # as after a crash between the store and the row
        where = catalog.uploads.c.id.startswith(f"{stray.record.seq}-")
        connection.execute(catalog.uploads.delete().where(where))
    assert (ingest.sweep(vault), len(staged(vault))) == (0, 3)
    clock.now_ns += ingest.STALE_S * SECOND_NS // 2
    assert (ingest.sweep(vault), len(staged(vault))) == (1, 2)  # the store's clock ran for seconds
    later_s = time.time() + ingest.STALE_S + 60
    assert (ingest.sweep(vault, now_s=lambda: later_s), len(staged(vault))) == (1, 1)
    with pytest.raises(NotFound):
        ingest.missing_parts(vault, upload, device.id)
    for each in (old, new, stray):
        assert device.hand_in(each)["receipt"]["kind"] == "stored"
    assert_clean(vault)


def test_an_upload_that_the_store_forgot_is_begun_anew_under_its_name(vault, device):
    made = device.seal({"video": b"v" * 3000})
    upload = device.open(made)["upload"]
    device.put(made, upload)
    with vault.db.read() as connection:
        (row,) = connection.execute(catalog.uploads.select()).all()
    vault.store.abort(row.object, row.multipart)
    with pytest.raises(Damaged, match="lacks"):
        ingest.complete(vault, upload, device.id)
    assert ingest.missing_parts(vault, upload, device.id)[0] == []
    device.put(made, upload)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_an_upload_given_up_while_it_was_verified_is_not_stored(vault, device, monkeypatch):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    verify = ingest._verify_object

    def slow(*arguments: Any) -> None:
        verify(*arguments)
        ingest.abort(vault, upload, device.id)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_verify_object", slow)
        with pytest.raises(NotFound):
            ingest.complete(vault, upload, device.id)
    assert (objects(vault), staged(vault)) == ([], [])
    assert device.hand_in(made)["receipt"]["kind"] == "stored"
    assert_clean(vault)


def test_a_part_that_comes_late_changes_nothing_that_was_verified(vault, person, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    device.put(made, upload)
    ingest.complete(vault, upload, device.id)
    with pytest.raises(NotFound):
        send_part(vault, upload, part, bytes(len(made.sealed)))
    (segment,) = held(vault, person)
    assert b"".join(vault.store.chunks(segment.object)) == made.sealed


def test_finishing_again_with_other_parts_changes_nothing_that_was_verified(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    with vault.db.read() as connection:
        (row,) = connection.execute(catalog.uploads.select()).all()
    device.put(made, upload)
    vault.store.finish(row.object, row.multipart)
    with suppress(NotFound):  # in S3 the upload is over by now
        send_part(vault, upload, part, bytes(len(made.sealed)))
    vault.store.finish(row.object, row.multipart)
    assert b"".join(vault.store.chunks(row.object)) == made.sealed


def test_a_full_store_is_no_success(vault, person, device, monkeypatch):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)

    def full(*_: object) -> None:
        raise Failed("cannot store object: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(vault.store, "finish", full)
        with pytest.raises(Failed):
            ingest.complete(vault, upload, device.id)
    assert (held(vault, person), objects(vault)) == ([], [])
    assert len(staged(vault)) == 1  # what came is kept: the device need not send it again
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_an_object_that_went_missing_or_was_changed_is_named_by_a_check(vault, person, device):
    for number in range(3):
        device.hand_in(device.seal(start_s=60 * number))
    segments = held(vault, person)
    vault.store.delete(segments[0].object)
    data = bytearray(b"".join(vault.store.chunks(segments[1].object)))
    data[0] ^= 1
    vault.store.delete(segments[1].object)
    vault.store.put(segments[1].object, bytes(data))
    faults = check(vault).faults
    assert len(faults) == 2
    assert any(segments[0].id == fault.segment and fault.kind == "missing" for fault in faults)
    assert any(segments[1].id == fault.segment and fault.kind == "changed" for fault in faults)


def test_numbers_that_a_device_skipped_when_it_lost_count_are_not_missing(
    vault, person, device, make_segment
):
    device.hand_in(make_segment())
    device.seq, device.prev = 1_000_003, ""
    device.hand_in(make_segment(start_s=60))
    with vault.db.read() as connection:
        assert catalog.missing_records(connection, person.id) == 0
    device.seq += 1_000_000  # with a link to the one before: those did exist
    device.hand_in(make_segment(start_s=120))
    with vault.db.read() as connection:
        assert catalog.missing_records(connection, person.id) == 1_000_000


def test_a_gap_in_the_place_of_a_segment_that_came_home_leaves_the_segment(
    vault, person, device, make_segment
):
    made = make_segment()
    device.hand_in(made)
    device.seq = made.record.seq
    gap = make_segment({}, reason="overwritten", media={"replaces": made.record.hash()})
    receipt = device.hand_in(gap)["receipt"]
    assert (receipt["kind"], receipt["record_hash"]) == ("stored", gap.record.hash())
    with vault.db.read() as connection:
        held = catalog.find_record(connection, device.id, made.record.seq)
    assert (held.kind, held.record_hash) == ("segment", made.record.hash())
    device.seq = made.record.seq
    with pytest.raises(Refused):
        device.hand_in(make_segment({}, reason="overwritten", media={"replaces": "another"}))
