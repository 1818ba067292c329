"""Part bodies past the framework: what goes wrong on a connection harms nothing else."""

import socket
import threading
import time
from urllib.parse import urlparse

import pytest
from rig import START_NS, call

from firsthand.errors import Failed
from firsthand.vault import ingest, parts
from firsthand.vault.check import check
from firsthand.web import head, wire
from firsthand.web import ingest as api

SIZE = 6 * wire.BUFFER + 12_345


@pytest.fixture
def begun(url, device):
    """An upload of one part: (its id, the part's URL, the bytes)."""
    content, joined = device.segment(START_NS, {"video": bytes(SIZE)})
    opened = device.call(url, "POST", "/api/uploads", content | {"part_size": 64 << 20}).json
    (part,) = opened["parts"]
    return opened["upload"], part["url"], joined


@pytest.fixture
def taken(monkeypatch) -> list[int]:
    """Which parts came by the short way."""
    seen: list[int] = []
    whole = ingest.open_part

    def noted(*args):  # type: ignore[no-untyped-def]
        if threading.current_thread().name.startswith("parts"):
            seen.append(args[2])
        return whole(*args)

    monkeypatch.setattr(ingest, "open_part", noted)
    return seen


class Wire:
    """A bare connection to the server."""

    def __init__(self, url: str) -> None:
        place = urlparse(url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=10)
        self.host = place.netloc

    def head(self, path: str, size: int, *more: str) -> bytes:
        lines = [f"PUT {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {size}", *more]
        return "\r\n".join([*lines, "", ""]).encode()

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer; (0, b"") if the connection ends before."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(4096)
            if not more:
                return 0, b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        size = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(body) < size:
            body += self.socket.recv(4096)
        return int(head.split()[1]), body


def complete(device, url, upload):
    return device.call(url, "POST", f"/api/uploads/{upload}/complete")


def test_a_part_goes_the_short_way_and_is_what_was_sent(vault, url, device, begun, taken):
    upload, path, joined = begun
    answer = call(url, "PUT", path, joined)
    assert (answer.status, bool(answer.headers["etag"]), taken) == (200, True, [1])
    assert complete(device, url, upload).json["receipt"]["receipt"]["kind"] == "stored"
    found = check(vault)
    assert (found.faults, found.orphans) == ([], [])


def test_one_connection_takes_parts_and_other_requests_in_turn(vault, url, device, begun):
    upload, path, joined = begun
    wire_ = Wire(url)
    for _ in range(3):
        wire_.socket.sendall(wire_.head(path, len(joined)) + joined)
        assert wire_.answer()[0] == 200
        wire_.socket.sendall(f"GET /healthz HTTP/1.1\r\nHost: {wire_.host}\r\n\r\n".encode())
        assert wire_.answer()[0] == 200
    assert complete(device, url, upload).status == 200


@pytest.mark.parametrize("step", [1, 7, 1000, wire.BUFFER - 1, wire.BUFFER + 1])
def test_a_part_may_come_in_pieces_of_any_size(url, device, begun, step):
    upload, path, joined = begun
    wire_ = Wire(url)
    head = wire_.head(path, len(joined))
    for start in range(0, len(head), 50 if step == 1 else len(head)):
        wire_.socket.sendall(head[start : start + (50 if step == 1 else len(head))])
        time.sleep(0.002)
    few = joined[: 20 * step]
    for start in range(0, len(few), step):
        wire_.socket.sendall(few[start : start + step])
    wire_.socket.sendall(joined[len(few) :])
    assert wire_.answer()[0] == 200
    assert complete(device, url, upload).status == 200


def test_what_is_unusual_goes_the_long_way(url, device, begun, taken):
    upload, path, joined = begun
    wire_ = Wire(url)
    wire_.socket.sendall(wire_.head(path, len(joined), "Expect: 100-continue"))
    assert b"100" in wire_.socket.recv(100)
    wire_.socket.sendall(joined)
    assert wire_.answer()[0] == 200
    chunked = Wire(url)
    head = chunked.head(path, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunked.socket.sendall(head + b"5\r\nabcde\r\n0\r\n\r\n")
    assert chunked.answer()[0] == 400
    assert taken == []
    assert complete(device, url, upload).status == 200


@pytest.mark.parametrize(
    "change",
    [
        ("HTTP/1.1", "HTTP/1.0"),
        ("Host: h\r\n", ""),
        ("Host: h", "Host: h\r\nHost: h"),
        ("Host: h", "Host : h"),
        ("Host: h", "Host: h\r\n more"),
        ("Content-Length: 5", "Content-Length: 05"),
        ("Content-Length: 5", "Content-Length: 5\r\ncontent-length: 6"),
        ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 5\r\nExpect: 100-continue"),
        ("Content-Length: 5", "Content-Length: 5\r\nConnection: upgrade"),
        ("Content-Length: 5", "Content-Length: 99999999999999999"),
        ("\r\n\r\n", "\r\n"),
        ("\r\n", "\n"),
        ("POST ", "POST  "),
    ],
)
def test_a_head_that_is_not_of_the_plainest_kind_is_left_to_uvicorn(change):
    plain = "POST /api/uploads HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    parsed = head.parse(plain.encode())
    assert parsed is not None
    assert (parsed.call, parsed.part, parsed.size, parsed.rest) == ("", None, 5, b"hello")
    assert head.parse(plain.replace(*change).encode()) is None


def test_calls_go_the_short_way_and_the_long_way_says_the_same(url, device, monkeypatch):
    seen = []
    whole = api.answer

    def noted(*args, **named):
        seen.append(threading.current_thread().name.startswith("parts"))
        return whole(*args, **named)

    monkeypatch.setattr(api, "answer", noted)
    content, _ = device.segment(START_NS, {"video": bytes(100)})
    short = device.call(url, "POST", "/api/uploads", content)
    refused = complete(device, url, short.json["upload"])
    monkeypatch.setattr(wire, "MAX_BODIES", 0)
    long = device.call(url, "POST", "/api/uploads", content)
    assert (short.json["upload"], short.status) == (long.json["upload"], long.status)
    assert complete(device, url, long.json["upload"]).json == refused.json
    assert (refused.status, seen) == (refused.json["status"], [True, True, False, False])


def test_a_call_that_nobody_signed_is_refused_and_the_connection_stays(url):
    wire_ = Wire(url)
    for _ in range(2):
        asked = f"POST /api/uploads HTTP/1.1\r\nHost: {wire_.host}\r\nContent-Length: 2\r\n\r\n{{}}"
        wire_.socket.sendall(asked.encode())
        status, said = wire_.answer()
        assert (status, b"not signed" in said) == (403, True)


def test_a_broken_link_leaves_the_part_to_be_sent_again(vault, url, device, begun):
    upload, path, joined = begun
    for sent in (0, 10, wire.BUFFER, len(joined) - 1):
        wire_ = Wire(url)
        wire_.socket.sendall(wire_.head(path, len(joined)) + joined[:sent])
        wire_.socket.close()
    assert complete(device, url, upload).status == 422
    assert call(url, "PUT", path, joined).status == 200
    assert complete(device, url, upload).status == 200
    assert check(vault).faults == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda path: path[:-1] + ("0" if path[-1] != "0" else "1"), 403),
        (lambda path: path.replace("parts/1", "parts/2"), 403),
        (lambda path: path.replace("expires=", "expires=9"), 403),
    ],
)
def test_a_url_that_was_not_given_out_is_refused_and_the_reason_arrives(
    url, device, begun, change, status
):
    upload, path, joined = begun
    answer = call(url, "PUT", change(path), joined)
    assert (answer.status, answer.json["detail"]) == (
        status,
        "this part URL was not given out by this vault",
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert complete(device, url, upload).status == 422


def test_a_part_of_another_size_is_refused_whether_longer_or_shorter(url, device, begun):
    upload, path, joined = begun
    for body in (joined[:-1], joined + b"x", b"x"):
        assert call(url, "PUT", path, body).status == 422
    wire_ = Wire(url)
    wire_.socket.sendall(wire_.head(path, 1 << 40) + b"x")  # a lie about a terabyte
    assert wire_.answer()[0] == 422
    assert complete(device, url, upload).status == 422


def test_a_body_that_looks_like_a_request_is_none(url, device, begun, taken):
    """A body is never read as a request, not even where it begins with the words of one."""
    _, path, joined = begun
    wire_ = Wire(url)
    inner = wire_.head(path, len(joined))
    post = (
        f"POST /api/uploads HTTP/1.1\r\nHost: {wire_.host}\r\nContent-Length: {len(inner)}\r\n\r\n"
    )
    wire_.socket.sendall(post.encode())
    time.sleep(0.05)
    wire_.socket.sendall(inner)  # in a packet of its own
    assert wire_.answer()[0] in (400, 403, 422)
    assert taken == []


def test_a_request_sent_ahead_of_its_turn_is_not_taken_for_a_body(url, device, begun):
    upload, path, joined = begun
    wire_ = Wire(url)
    ahead = f"GET /healthz HTTP/1.1\r\nHost: {wire_.host}\r\n\r\n".encode()
    wire_.socket.sendall(wire_.head(path, len(joined)) + joined + ahead)
    assert wire_.answer()[0] == 200
    assert complete(device, url, upload).status == 200


def test_a_part_that_comes_after_the_receipt_changes_nothing(vault, url, device, begun):
    upload, path, joined = begun
    wire_ = Wire(url)
    wire_.socket.sendall(wire_.head(path, len(joined)) + b"\xff" * (2 * wire.BUFFER))
    until = time.monotonic() + 30
    while not any(
        file.stat().st_size >= 2 * wire.BUFFER
        for file in vault.store.folder.glob("uploads/*/bytes")
    ):  # these bytes are the first to be written
        assert time.monotonic() < until
        time.sleep(0.01)
    assert call(url, "PUT", path, joined).status == 200
    assert complete(device, url, upload).status == 200
    wire_.socket.sendall(b"\xff" * (len(joined) - 2 * wire.BUFFER))
    status, body = wire_.answer()
    assert (status, b"ended" in body or b"no upload" in body) == (404, True)
    assert check(vault).faults == []


@pytest.mark.fault("S5")
def test_s5_a_store_that_fills_up_in_a_part_says_507_and_the_next_try_succeeds(
    url, device, begun, monkeypatch, tally
):
    upload, path, joined = begun
    whole, count = parts.Writer.write, 0

    def full(self, data):  # type: ignore[no-untyped-def]
        nonlocal count
        count += 1
        if count == 2:
            raise parts.StoreFull("the store is full", "make room")
        whole(self, data)

    monkeypatch.setattr(parts.Writer, "write", full)
    answer = call(url, "PUT", path, joined)
    assert (answer.status, answer.json["detail"]) == (507, "the store is full")
    assert call(url, "PUT", path, joined).status == 200
    assert complete(device, url, upload).status == 200
    tally.add()


def test_an_unexpected_failure_is_a_500_without_its_words(url, begun, monkeypatch, caplog):
    _, path, joined = begun

    def broken(self, data):  # type: ignore[no-untyped-def]
        raise RuntimeError("secret words")

    monkeypatch.setattr(parts.Writer, "write", broken)
    answer = call(url, "PUT", path, joined)
    assert answer.status == Failed.http_status
    assert "secret" not in answer.text
    assert "secret words" in caplog.text


def test_a_client_that_falls_silent_is_let_go_and_others_go_on(url, device, begun, monkeypatch):
    monkeypatch.setattr(wire, "IDLE_S", 0.2)
    upload, path, joined = begun
    silent = [Wire(url) for _ in range(4)]
    for each in silent:
        each.socket.sendall(each.head(path, len(joined)) + joined[:1000])
    assert call(url, "PUT", path, joined).status == 200
    for each in silent:
        try:
            assert each.socket.recv(1) == b""
        except ConnectionResetError:
            continue
    assert call(url, "PUT", path, joined).status == 200
    assert complete(device, url, upload).status == 200


def test_more_bodies_at_once_than_buffers_go_the_long_way(url, device, begun, monkeypatch, taken):
    monkeypatch.setattr(wire, "MAX_BODIES", 0)
    upload, path, joined = begun
    assert call(url, "PUT", path, joined).status == 200
    assert taken == []
    assert complete(device, url, upload).status == 200


def test_a_server_that_stops_lets_the_part_under_way_end(vault, server, device, begun):
    _, path, joined = begun
    wire_ = Wire(server.url)
    wire_.socket.sendall(wire_.head(path, len(joined)) + joined[:1000])
    time.sleep(0.2)
    server._server.should_exit = True
    time.sleep(0.3)
    wire_.socket.sendall(joined[1000:])
    assert wire_.answer()[0] == 200
    assert wire_.socket.recv(1) == b""
