"""The link breaks as often as it was told to, with a reset, and else passes bytes intact."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from firsthand.simulate.link import BreakingLink


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets, when its client has ended."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket) -> None:
        with peer:
            try:
                received = b"".join(iter(lambda: peer.recv(65536), b""))
                peer.sendall(received)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def send(port: int, data: bytes) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_bytes_pass_intact_both_ways(echo_port: int):
    data = os.urandom(1_000_003)
    with BreakingLink(echo_port) as link:
        assert send(link.port, data) == data
        assert send(link.port, b"") == b""
        assert link.breaks == 0


def test_link_breaks_as_often_as_told_and_then_lets_through(echo_port: int):
    data = os.urandom(300_000)
    with BreakingLink(echo_port, [0, 1000, 299_999]) as link:
        for count in (1, 2, 3):
            with pytest.raises(OSError):
                send(link.port, data)
            assert link.breaks == count
        assert send(link.port, data) == data
        assert link.breaks == 3


def test_link_breaks_on_the_way_back_too(echo_port: int):
    data = os.urandom(300_000)
    with BreakingLink(echo_port, break_answers_after=[0, 1000, 299_999]) as link:
        for count in (1, 2, 3):
            with pytest.raises(OSError):
                send(link.port, data)
            assert link.breaks == count
        assert send(link.port, data) == data
        assert link.breaks == 3
    assert link.answered == 0 + 1000 + 299_999 + len(data)


def test_short_connection_leaves_its_break_to_the_next(echo_port: int):
    with BreakingLink(echo_port, [1000]) as link:
        assert send(link.port, b"short") == b"short"
        with pytest.raises(OSError):
            send(link.port, bytes(2000))
        assert link.breaks == 1


def test_connections_side_by_side_do_not_mix(echo_port: int):
    parts = [os.urandom(200_000) for _ in range(6)]
    answers: dict[int, bytes] = {}
    with BreakingLink(echo_port) as link:
        jobs = [
            threading.Thread(target=lambda n=n, p=p: answers.update({n: send(link.port, p)}))
            for n, p in enumerate(parts)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(10)
    assert [answers.get(number) for number in range(6)] == parts


def test_missing_server_looks_like_a_reset():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with BreakingLink(port) as link, pytest.raises(ConnectionError):
        send(link.port, b"hello")


def test_leaving_the_link_ends_what_is_open(echo_port: int):
    with BreakingLink(echo_port) as link:
        client = socket.create_connection(("127.0.0.1", link.port), timeout=5)
        client.sendall(b"half a")
    with closing(client):
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            return  # what was on its way when the link ended
