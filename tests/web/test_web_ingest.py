"""The device API over a real server: what a device can do, and what nobody can."""

import base64
import hashlib
import json
import socket
import time
from urllib.parse import urlparse

import pytest
from rig import START_NS, FakeDevice, call

from firsthand import tlog
from firsthand.age import Recipient
from firsthand.errors import Refused
from firsthand.segment import verify_receipt
from firsthand.vault import catalog, reading
from firsthand.vault.ingest import opening
from firsthand.web.signed import Busy, Nonces

FILES = {"video": b"v" * 70_000, "events": b'{"start_ns":1}\n'}


def test_a_handed_in_segment_is_receipted_and_opens_to_the_same_bytes(vault, url, ana, device):
    content, joined = device.segment(START_NS, FILES)
    receipt = verify_receipt(device.hand_in(url, content, joined), vault.keyring.log_key().public)
    assert receipt.kind == "stored"
    with vault.db.read() as connection:
        (stored,) = catalog.of_person(connection, ana.id)
    assert reading.read_part(vault, stored.id, "video", "self", "test") == FILES["video"]


def test_a_segment_larger_than_one_part_goes_in_parts_and_resumes(vault, url, device, monkeypatch):
    monkeypatch.setattr(opening, "PART_SIZE", 1000)
    content, joined = device.segment(START_NS, {"video": b"v" * 2500})
    opened = device.call(url, "POST", "/api/uploads", content).json
    assert [part["size"] for part in opened["parts"]] == [1000, 1000, len(joined) - 2000]
    first = opened["parts"][0]
    md5 = base64.b64encode(hashlib.md5(joined[:1000]).digest()).decode()
    put = call(url, "PUT", first["url"], joined[:1000], {"Content-MD5": md5})
    assert (put.status, bool(put.headers["etag"])) == (200, True)
    state = device.call(url, "GET", f"/api/uploads/{opened['upload']}").json
    assert state["have"] == [{"number": 1, "size": 1000}]
    assert [part["number"] for part in state["parts"]] == [2, 3]
    early = device.call(url, "POST", f"/api/uploads/{opened['upload']}/complete")
    assert early.status == 422
    assert device.hand_in(url, content, joined)["receipt"]["kind"] == "stored"


def test_handing_in_twice_gives_the_same_receipt(url, device):
    content, joined = device.segment(START_NS, FILES)
    first = device.hand_in(url, content, joined)
    assert device.call(url, "POST", "/api/uploads", content).json == {"receipt": first}


def test_a_gap_record_is_receipted_at_once(url, device):
    content, _ = device.segment(START_NS, {}, reason="camera lost")
    assert device.call(url, "POST", "/api/uploads", content).json["receipt"]["receipt"]["seq"] == 0


def test_a_device_learns_its_recipient_and_the_signed_checkpoint(vault, url, device):
    state = device.call(url, "GET", "/api/device").json
    assert Recipient.parse(state["recipient"]).key_id == state["key_id"]
    assert state["status"] == "active"
    key = vault.keyring.log_key().public
    assert tlog.open_checkpoint(state["checkpoint"], vault.origin, key).size == 3


def test_an_aborted_upload_is_gone(url, device):
    content, _ = device.segment(START_NS, FILES)
    upload = device.call(url, "POST", "/api/uploads", content).json["upload"]
    assert device.call(url, "DELETE", f"/api/uploads/{upload}").status == 204
    gone = device.call(url, "GET", f"/api/uploads/{upload}")
    assert gone.status == 404
    assert gone.headers["content-type"] == "application/problem+json"
    assert set(gone.json) >= {"title", "detail", "hint"}


def test_a_replayed_request_is_refused(url, device):
    headers = device.sign("GET", "/api/device")
    assert call(url, "GET", "/api/device", None, headers).status == 200
    again = call(url, "GET", "/api/device", None, headers)
    assert again.status == 403
    assert "made before" in again.json["detail"]


@pytest.mark.parametrize("skew_s", [-400, 400])
def test_a_request_signed_long_ago_or_ahead_is_refused_with_the_right_time(url, device, skew_s):
    headers = device.sign("GET", "/api/device", now_s=int(time.time()) + skew_s)
    answer = call(url, "GET", "/api/device", None, headers)
    assert answer.status == 403
    assert "date" in answer.headers


def test_an_unsigned_or_altered_or_foreign_request_is_refused(url, device, vault):
    assert call(url, "GET", "/api/device").status == 403
    body = b'{"a":1}'
    headers = device.sign("POST", "/api/uploads", body)
    assert call(url, "POST", "/api/uploads", b'{"a":2}', headers).status == 422
    moved = device.sign("GET", "/api/device")
    assert call(url, "GET", "/api/device?x=1", None, moved).status == 422
    stranger = FakeDevice(vault, vault.add_person("bo"), "d2")
    stranger.id = "d1"
    assert stranger.call(url, "GET", "/api/device").status == 422
    stranger.id = "d9"
    assert stranger.call(url, "GET", "/api/device").status == 404


def test_another_devices_upload_is_not_found(vault, url, device):
    content, _ = device.segment(START_NS, FILES)
    upload = device.call(url, "POST", "/api/uploads", content).json["upload"]
    other = FakeDevice(vault, vault.add_person("bo"), "d2")
    for method, path in (("GET", ""), ("POST", "/complete"), ("DELETE", "")):
        assert other.call(url, method, f"/api/uploads/{upload}{path}").status == 404


def test_a_part_url_holds_for_its_part_alone(url, device):
    content, joined = device.segment(START_NS, FILES)
    part = device.call(url, "POST", "/api/uploads", content).json["parts"][0]["url"]
    mac = part[-64:]
    flipped = part[:-1] + ("0" if part[-1] != "0" else "1")
    for wrong in (flipped, part.replace("/parts/1?", "/parts/2?"), part[:-64] + "%C3%A9" * 64):
        assert call(url, "PUT", wrong, joined).status == 403, wrong
    assert call(url, "PUT", part.replace("expires=", "expires=9"), joined).status == 403
    assert call(url, "PUT", part.removesuffix(f"&mac={mac}"), joined).status == 400
    assert call(url, "PUT", part, joined).status == 200


def test_a_part_of_the_wrong_size_or_hash_is_not_kept(url, device):
    content, joined = device.segment(START_NS, FILES)
    part = device.call(url, "POST", "/api/uploads", content).json["parts"][0]["url"]
    assert call(url, "PUT", part, joined[:-1]).status == 422
    assert call(url, "PUT", part, b"").status == 422
    wrong = base64.b64encode(bytes(16)).decode()
    assert call(url, "PUT", part, joined, {"Content-MD5": wrong}).status == 422
    opened = device.call(url, "POST", "/api/uploads", content).json
    assert [each["number"] for each in opened["parts"]] == [1]


def test_wrong_bytes_of_the_right_size_are_never_stored(vault, url, ana, device):
    content, joined = device.segment(START_NS, FILES)
    opened = device.call(url, "POST", "/api/uploads", content).json
    call(url, "PUT", opened["parts"][0]["url"], bytes(len(joined)))
    done = device.call(url, "POST", f"/api/uploads/{opened['upload']}/complete")
    assert done.status == 422
    with vault.db.read() as connection:
        assert catalog.of_person(connection, ana.id) == []


def test_bodies_are_bounded_and_must_say_their_length(url, device):
    body = b" " * (257 << 10)
    headers = device.sign("POST", "/api/uploads", body)
    assert call(url, "POST", "/api/uploads", body, headers).status == 413
    chunked = {**device.sign("POST", "/api/uploads", b"{}"), "Transfer-Encoding": "chunked"}
    assert call(url, "POST", "/api/uploads", iter([b"{}"]), chunked).status == 400


def test_a_body_cut_off_on_its_way_leaves_nothing(url, device):
    content, joined = device.segment(START_NS, FILES)
    opened = device.call(url, "POST", "/api/uploads", content).json
    target = urlparse(url)
    with socket.create_connection((target.hostname, target.port)) as line:
        head = f"PUT {opened['parts'][0]['url']} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        line.sendall(head.encode() + f"Content-Length: {len(joined)}\r\n\r\n".encode())
        line.sendall(joined[:1000])
    state = device.call(url, "GET", f"/api/uploads/{opened['upload']}").json
    assert state["have"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"envelope":{},"headers":{}}',
        b'{"envelope":{"record":{"v":1.5},"signature":"!"},"headers":{}}',
        b'{"envelope":{"record":{"v":"\\ud800"},"signature":"AAAA"},"headers":{}}',
        b'{"envelope":{"record":{"v":1},"signature":"AAAA"},"headers":{"video":3}}',
        b"\xff\xfe",
    ],
)
def test_nonsense_gets_a_clear_error_and_no_traceback(url, device, body):
    answer = call(url, "POST", "/api/uploads", body, device.sign("POST", "/api/uploads", body))
    assert answer.status in (400, 422)
    assert "Traceback" not in answer.text
    assert json.loads(answer.body)["detail"]


def test_nonces_pass_once_and_their_memory_is_bounded():
    now = [0.0]
    nonces = Nonces(limit=2, clock_s=lambda: now[0])
    nonces.spend("d1", "a" * 8)
    nonces.spend("d2", "a" * 8)
    with pytest.raises(Refused):
        nonces.spend("d1", "a" * 8)
    with pytest.raises(Busy):
        nonces.spend("d1", "b" * 8)
    now[0] = 601.0
    nonces.spend("d1", "b" * 8)


def test_the_server_says_that_it_lives(url):
    assert call(url, "GET", "/healthz").json == {"status": "ok"}


def test_an_announcement_gets_no_urls_and_opening_it_later_gets_them(url, device):
    content, joined = device.segment(START_NS, FILES)
    said = device.call(url, "POST", "/api/uploads", content | {"announce": True}).json
    assert set(said) == {"upload", "part_size"}
    opened = device.call(url, "POST", "/api/uploads", content).json
    assert (opened["upload"], len(opened["parts"])) == (said["upload"], 1)
    receipt = device.hand_in(url, content, joined)
    assert receipt["receipt"]["kind"] == "stored"
    again = device.call(url, "POST", "/api/uploads", content | {"announce": True}).json
    assert again == {"receipt": receipt}
