"""Rows U1 to U4: links that break, flap, lie or can't be trusted, to a real server.

Bytes pass over real sockets but for the hour of flapping, which takes no time on a simulated clock.
"""

import random
import socket
import ssl
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from faults import FULL
from way import PORTAL, InlineLink, Time

from firsthand.record.home import handin
from firsthand.record.home.link import Answer, Link, Unreached
from firsthand.record.home.network import Network
from firsthand.record.home.upload import carry_home
from firsthand.simulate.link import BreakingLink
from firsthand.vault import ingest
from firsthand.vault.check import check
from firsthand.vault.ingest import opening
from firsthand.web.server import Server

MIB = 1 << 20


@pytest.fixture
def server(vault) -> Iterator[Server]:
    with Server(vault, "127.0.0.1", 0).background() as running:
        yield running


def carry(pack, clock, url: str = "", **options):
    device = replace(pack.device, vault_url=url) if url else pack.device
    options = {"patience_s": 300.0, "chance": random.Random(1), "clock": clock} | options
    return carry_home(pack.card, device, **options)


def fill(pack, count: int = 2, size: int = 2500) -> int:
    """Segments of three small parts each, and a gap; returns their bytes."""
    made = [pack.capture({"video": bytes(size)}, start_s=60 * n) for n in range(count)]
    pack.capture({}, reason="paused")
    return sum(len(each.sealed) for each in made)


@pytest.mark.fault("U1")
def test_u1_a_reset_at_every_class_of_byte_costs_one_part_and_nothing_else(
    server, clock, make_pack, small_parts, tally
):
    with BreakingLink(server.port) as whole:
        first = make_pack("first")
        fill(first, 1)
        carry(first, clock, f"http://127.0.0.1:{whole.port}")
    # Request lines, headers, bodies, the last byte of each, and the same of all answers.
    step = whole.passed // (400 if FULL else 5)
    out = [*range(0, whole.passed, step), whole.passed - 1]
    step = whole.answered // (200 if FULL else 3)
    back = [*range(0, whole.answered, step), whole.answered - 1]
    for number, (after, answers_after) in enumerate(
        [([at], []) for at in out] + [([], [at]) for at in back]
    ):
        pack = make_pack(f"c{number:04}")  # names as long as "first"
        size = fill(pack, 1)
        with BreakingLink(server.port, after, answers_after) as link:
            done = carry(pack, clock, f"http://127.0.0.1:{link.port}")
        pack.assert_home()
        assert (done.left, link.breaks, done.retries) == (0, 1, 1), (after, answers_after)
        assert done.bytes_sent <= size + small_parts
        tally.add()
    assert check(server_vault(first)).faults == []


def server_vault(pack):
    return pack.wearer.vault


@pytest.fixture
def scale(monkeypatch) -> int:
    """The least part: 5 MiB in full, else 64 KiB with all other sizes in proportion."""
    if FULL:
        return handin.PART_MIN
    for module, names in ((handin, ("PART_MIN", "PART_MAX", "MIB")), (opening, ("PART_SIZE",))):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name) // 80)
    monkeypatch.setattr(opening, "PART_MAX", ingest.PART_MAX // 80)
    return handin.PART_MIN


@pytest.mark.fault("U1")
def test_u1_one_break_in_100_mib_costs_at_most_a_twentieth(server, clock, pack, scale, tally):
    count, breaks = (8, 3) if FULL else (5, 2)
    size = sum(len(each.sealed) for each in [fill_large(pack, scale, n) for n in range(count)])
    hundred = 20 * scale
    with BreakingLink(server.port, [hundred] * breaks) as link:
        done = carry(pack, clock, f"http://127.0.0.1:{link.port}")
    pack.assert_home()
    assert link.breaks == breaks
    # Of each 100 MiB between breaks a twentieth at most, and so of the whole.
    assert size < done.bytes_sent <= size + link.breaks * hundred / 20 < 1.05 * size
    tally.add(cases=link.breaks)
    tally.bound = "1.05 times the bytes sent at one break in 100 MiB"


@pytest.mark.fault("U1")
def test_u1_there_is_progress_while_one_part_passes_between_breaks(
    server, clock, pack, scale, tally
):
    made = [fill_large(pack, scale, n) for n in range(2)]
    parts = sum(-(-len(each.sealed) // scale) for each in made)
    with BreakingLink(server.port, [scale + 16_000] * parts) as link:  # and the requests around it
        done = carry(pack, clock, f"http://127.0.0.1:{link.port}")
    pack.assert_home()
    assert done.left == 0
    assert link.breaks >= parts // 2
    tally.add(cases=link.breaks)


def fill_large(pack, scale: int, number: int):
    """A minute of footage at 3 GB/h, in proportion: ten parts."""
    return pack.capture({"video": bytes(10 * scale - 1000)}, start_s=60 * number)


@pytest.mark.fault("U1")
def test_u1_parts_grow_on_a_good_link_and_shrink_once_it_breaks(
    served, clock, pack, scale, monkeypatch, tally
):
    for number in range(12):
        fill_large(pack, scale, number)
    asked: list[int] = []
    broken: list[str] = []

    def fault(method: str, target: str) -> str:
        if method == "PUT" and len(pack.card.waiting()) <= 3 and len(broken) < 2:
            broken.append(target)
            return "cut"
        return ""

    link = InlineLink(pack.device, clock, served, fault)
    put = link.put
    monkeypatch.setattr(
        link, "put", lambda url, data, md5: (asked.append(len(data)), put(url, data, md5))[1]
    )
    size = sum(len(each.sealed) for each in pack.captured.values())
    done = carry(pack, clock, link=link)
    pack.assert_home()
    assert asked[0] == scale
    assert scale < max(asked) <= handin.PART_MAX
    # A part that breaks twice was cut for a better link: it is cut anew.
    assert asked[-1] <= scale
    # What went since the last break has earned the larger part.
    assert done.bytes_sent <= 1.05 * size + 10 * scale
    tally.add()


class FlappingLink(InlineLink):
    """Up and down by turns of 1 to 10 s; what is on its way when it goes down is lost."""

    bytes_per_s = 20_000.0

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.tries: list[int] = []
        chance = random.Random(7)
        self._edges, at = [], self._clock.wall_ns()
        for _ in range(20_000):  # 30 hours: it never ends while something is on its way
            self._edges.append(at)
            at += int(chance.uniform(1, 10) * 1e9)

    def look(self) -> Network:
        """What NetworkManager would say."""
        return Network(up=bisect_right(self._edges, self._clock.wall_ns()) % 2 == 1)

    def _request(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> Answer:
        now_ns = self._clock.wall_ns()
        self.tries.append(now_ns)
        number = bisect_right(self._edges, now_ns)
        if number % 2 == 0:
            raise Unreached("there is no route")
        takes_s = 0.02 + len(data) / self.bytes_per_s
        left_s = (self._edges[number] - now_ns) / 1e9
        self._clock.sleep(min(takes_s, left_s))
        if takes_s > left_s:
            if method == "PUT":
                b"".join(self._pace.pieces(data))
            raise Unreached("the connection was reset")
        return super()._request(method, url, data, headers)


@pytest.mark.fault("U2")
@pytest.mark.parametrize("watched", [True, False])
def test_u2_an_hour_of_flapping_wifi_brings_everything_home_without_haste(
    watched, served, clock: Time, pack, monkeypatch, tally
):
    # A part takes 2 s, as 5 MiB do at 20 Mbit/s, and a segment ten parts.
    part = 40_000
    monkeypatch.setattr(opening, "PART_SIZE", part)
    monkeypatch.setattr(opening, "PART_MAX", part)
    began_ns, size = clock.now_ns, 0
    for number in range(60 if FULL else 8):
        size += len(pack.capture({"video": bytes(399_000)}, start_s=60 * number).sealed)
    link = FlappingLink(pack.device, clock, served)
    network = link if watched else None
    done = carry(pack, clock, link=link, network=network, patience_s=None)
    pack.assert_home()
    took_s = (clock.now_ns - began_ns) / 1e9
    # Half the time it is down, and a part breaks in most of the others.
    assert took_s < (8 if watched else 15) * size / link.bytes_per_s
    assert done.retries > 10
    assert done.bytes_sent <= size + done.retries * part
    # While it is down, tries come ever more apart; whoever is told makes none.
    down = [n for n, edge in enumerate(link._edges) if n % 2 and edge < clock.now_ns]
    ends = [link._edges[n + 1] for n in down]
    tries = [
        bisect_left(link.tries, end) - bisect_left(link.tries, link._edges[n])
        for n, end in zip(down, ends, strict=True)
    ]
    assert max(tries) <= (1 if watched else 8)  # 0.25 s, 0.5 s, 1 s and so on, by a random share
    tally.add(cases=len(down))


@pytest.mark.fault("U3")
@pytest.mark.parametrize(
    "answer",
    [
        b"200 OK\r\nContent-Type: text/html",
        b"302 Found\r\nLocation: http://login.example/",
        b"307 Temporary Redirect\r\nLocation: http://login.example/",
        b"511 Network Authentication Required\r\nContent-Type: text/html",
        b'200 OK\r\nContent-Type: application/json\r\nETag: "1"\r\nX-Body: {"receipt":1}',
    ],
)
def test_u3_a_captive_portal_is_never_taken_for_the_vault(answer, server, clock, pack, small_parts):
    fill(pack)
    body = b'{"checkpoint": "x", "receipt": {}}' if b"json" in answer else PORTAL
    with portal(answer, body) as (port, seen):
        done = carry(pack, clock, f"http://127.0.0.1:{port}", patience_s=20.0)
    assert (done.stored, done.refused, done.left, done.bytes_sent) == (0, 0, 3, 0)
    assert done.waiting_for
    # Whoever has not proved to be the vault is shown no record and no byte.
    assert set(seen) == {b"GET /api/device HTTP/1.1"}
    pack.assert_nothing_lost()
    assert not pack.receipts()
    assert carry(pack, clock, server.url).left == 0
    pack.assert_home()


@contextmanager
def portal(head: bytes, body: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answers whatever is asked with one and the same page: its port, and what was asked."""
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                seen.append(peer.recv(65536).partition(b"\r\n")[0])
                length = b"Content-Length: %d\r\nConnection: close" % len(body)
                peer.sendall(b"HTTP/1.1 " + head + b"\r\n" + length + b"\r\n\r\n" + body)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


# --- who answers, and who may be trusted


def certificate(folder: Path, name: str, host: str, ends_days: int, signed_by: str) -> None:
    """Writes NAME.pem (certificate, key) for a host, signed by another such file or itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, signer = subject, key
    if signed_by != name:
        pem = (folder / f"{signed_by}.pem").read_bytes()
        issuer = x509.load_pem_x509_certificate(pem).subject
        signer = serialization.load_pem_private_key(pem, None)  # type: ignore[assignment]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=ends_days))
        .add_extension(x509.BasicConstraints(ca=not host, path_length=None), critical=True)
    )
    if host:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    pem = made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    pem += key.private_bytes(serialization.Encoding.PEM, plain[1], plain[0])
    (folder / f"{name}.pem").write_bytes(pem)


@contextmanager
def tls_front(target: int, pem: Path) -> Iterator[int]:
    """Speaks TLS with a certificate, and passes on what comes to a port that speaks plain HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, goal: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                goal.sendall(piece)
        except OSError:
            pass
        goal.close()

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            try:
                secure = context.wrap_socket(peer, server_side=True)
            except OSError:
                peer.close()
                continue
            plain = socket.create_connection(("127.0.0.1", target))
            for pair in ((secure, plain), (plain, secure)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def authority(tmp_path, monkeypatch) -> Path:
    """A folder with a certificate authority that this process trusts."""
    folder = tmp_path / "tls"
    folder.mkdir()
    certificate(folder, "ca", "", 30, "ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    return folder


@pytest.mark.fault("U4")
def test_u4_a_trusted_certificate_carries_everything_home(
    server, clock, pack, small_parts, authority
):
    fill(pack)
    certificate(authority, "good", "localhost", 30, "ca")
    with tls_front(server.port, authority / "good.pem") as port:
        assert carry(pack, clock, f"https://localhost:{port}").left == 0
    pack.assert_home()


@pytest.mark.fault("U4")
@pytest.mark.parametrize(
    ("name", "host", "ends_days", "signed_by", "told"),
    [
        ("expired", "localhost", -1, "ca", "certificate has expired"),
        ("other", "other.example", 30, "ca", "not valid for 'localhost'"),
        ("alone", "localhost", 30, "alone", "self-signed"),
        ("between", "localhost", 30, "stranger", "unable to get local issuer"),
    ],
)
def test_u4_no_byte_goes_where_the_certificate_does_not_hold(
    name, host, ends_days, signed_by, told, server, clock, pack, small_parts, authority
):
    fill(pack)
    certificate(authority, "stranger", "", 30, "stranger")
    certificate(authority, name, host, ends_days, signed_by)
    with tls_front(server.port, authority / f"{name}.pem") as port:
        done = carry(pack, clock, f"https://localhost:{port}", patience_s=20.0)
    assert (done.stored, done.left, done.bytes_sent) == (0, 3, 0)
    assert told.lower() in done.waiting_for.lower()
    assert "is not trusted" in done.waiting_for
    pack.assert_nothing_lost()
    assert not pack.rows()
    assert carry(pack, clock, server.url).left == 0


@pytest.mark.fault("U4")
@pytest.mark.parametrize("place", ["vault.invalid", "127.0.0.1:1", "plain", "silent"])
def test_u4_a_name_that_is_none_a_closed_port_and_no_answer_are_told(
    place, server, clock, pack, small_parts
):
    fill(pack)
    silent = socket.create_server(("127.0.0.1", 0))
    place = {
        "plain": f"127.0.0.1:{server.port}",  # no TLS there
        "silent": f"127.0.0.1:{silent.getsockname()[1]}",
    }.get(place, place)
    device = replace(pack.device, vault_url=f"https://{place}")
    link = Link(device, clock, timeout_s=0.2)
    with silent:
        done = carry(pack, clock, link=link, patience_s=0.5)
    assert (done.stored, done.left, done.bytes_sent) == (0, 3, 0)
    assert f"{place} was not reached: " in done.waiting_for
    pack.assert_nothing_lost()
    assert carry(pack, clock, server.url).left == 0
    pack.assert_home()
