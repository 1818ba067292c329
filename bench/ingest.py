"""What a vault takes in: server CPU seconds per GB and throughput, beside other servers.

Ours verifies SHA-256 of the whole, opens what was sealed, and has bytes, database and log durable
before it says so; the figure is of the whole server process until the receipts are there. The
peers get the same bytes in the same run over loopback: granian and aiohttp hash and write them,
nginx's DAV and tus only write them; none waits for the disk. Peers that are not installed are left
out, with a note.

    python bench/ingest.py [GB]
"""

import base64
import datetime
import hashlib
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firsthand import age, config
from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.home.link import Link
from firsthand.segment import Part, Record, sign_record
from firsthand.vault.vault import Vault

MIB = 1 << 20
SEGMENT = 64 * MIB
BODIES = (8 * MIB, 64 * MIB)
TURNS = 3
BOUND = 1.0
TICKS = os.sysconf("SC_CLK_TCK")

GRANIAN = """
import hashlib, os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    digest = hashlib.sha256()
    with open(os.environ["OUT"] + "/" + scope["path"].strip("/"), "wb", buffering=0) as out:
        more = True
        while more:
            message = await receive()
            body = message.get("body", b"")
            digest.update(body)
            out.write(body)
            more = message.get("more_body", False)
    etag = digest.hexdigest().encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", etag)]})
    await send({"type": "http.response.body", "body": b""})
"""
AIOHTTP = """
import hashlib, os, sys
from aiohttp import web
async def put(request):
    digest = hashlib.sha256()
    with open(os.environ["OUT"] + "/" + request.match_info["name"], "wb", buffering=0) as out:
        async for chunk in request.content.iter_any():
            digest.update(chunk)
            out.write(chunk)
    return web.Response(headers={"ETag": digest.hexdigest()})
app = web.Application(client_max_size=1 << 40)
app.router.add_put("/{name}", put)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""
NGINX = """
daemon off; worker_processes 1; pid {out}/nginx.pid; error_log {out}/error.log;
events {{}}
http {{ access_log off; client_max_body_size 0; client_body_buffer_size 1m;
  client_body_temp_path {out}/body;
  server {{ listen 127.0.0.1:{port}; location / {{ root {out}/dav; dav_methods PUT; }} }} }}
"""
TUS = """
const {{ Server }} = require("@tus/server"), {{ FileStore }} = require("@tus/file-store");
const datastore = new FileStore({{ directory: "{out}/tus" }});
const tus = new Server({{ path: "/files", datastore }});
require("http").createServer((a, b) => tus.handle(a, b)).listen({port}, "127.0.0.1");
"""


def main() -> int:
    """Prints the table as JSON; 1 if ours needs more CPU than the best hashing peer."""
    size_gb = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    count = max(1, round(size_gb * 1e9 / SEGMENT))
    left_out: list[str] = []
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        data = os.urandom(SEGMENT)
        for body in BODIES:
            peers = {
                "firsthand": lambda folder, body=body: ours(folder, data, body, count),
                "granian, sha256, not durable": lambda f, b=body: granian(f, data, b, count),
                "aiohttp, sha256, not durable": lambda f, b=body: aiohttp(f, data, b, count),
                "nginx DAV, no hash": lambda f, b=body: nginx(f, data, b, count),
                "@tus/server, no hash": lambda f, b=body: tus(f, data, b, count),
            }
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
            for turn in range(TURNS):
                for number, (name, run) in enumerate(peers.items()):
                    folder = Path(place) / f"{body}-{turn}-{number}"
                    folder.mkdir()
                    try:
                        taken[name].append(run(folder))
                    except Missing as missing:
                        if str(missing) not in left_out:
                            left_out.append(str(missing))
                    shutil.rmtree(folder, ignore_errors=True)
                    os.sync()  # the next one does not pay for it
            rows += [row(name, body, each) for name, each in taken.items() if each]
    ratio = {}
    for body in BODIES:
        cpu = {r["server"]: r["cpu_s_per_gb"] for r in rows if r["body_mib"] == body // MIB}
        hashing = [value for name, value in cpu.items() if "sha256" in name]
        if hashing:
            ratio[f"{body // MIB} MiB"] = round(cpu["firsthand"] / min(hashing), 2)
    told = {
        "bench": "ingest",
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "gb": round(count * SEGMENT / 1e9, 2),
        "turns": TURNS,
        "rows": rows,
        "ratio_to_best_hashing_peer": ratio,
        "bound": BOUND,
        "left_out": left_out,
    }
    print(json.dumps(told, indent=1))
    return int(any(value > BOUND for value in ratio.values()))


class Missing(Exception):
    """This peer is not installed."""


def row(name: str, body: int, taken: list[tuple[float, float]]) -> dict[str, object]:
    """Medians over the turns, with the least and the most CPU."""
    cpu = [each[0] for each in taken]
    return {
        "server": name,
        "body_mib": body // MIB,
        "cpu_s_per_gb": round(statistics.median(cpu), 3),
        "cpu_range": [round(min(cpu), 3), round(max(cpu), 3)],
        "mb_s": round(statistics.median(each[1] for each in taken)),
    }


def ours(folder: Path, data: bytes, body: int, count: int) -> tuple[float, float]:
    """The real server and the device's own link; counted until the last receipt."""
    marked = config.mark(folder / "data", "real")
    port = free_port()
    settings = config.load(marked, {}, port=port)
    vault = Vault(settings)
    person = vault.add_person("ana", "sim")
    key = SigningKey.generate()
    with vault.db.write() as connection:
        people.enrol(connection, person, "d1", key.public)
    recipient = vault.keyring.ingest_recipient(person.id, time.time_ns())
    receipt_key = vault.keyring.log_key().public
    vault.close()
    made = segments(data, person.id, key, age.Recipient.parse(recipient), count)
    command = [sys.executable, "-m", "firsthand", "--data", str(marked), "serve"]
    to = age.Recipient.parse(recipient)
    device = Device(folder, "d1", person.id, settings.vault, to, receipt_key, key=key)

    def send() -> None:
        link = Link(device, Clock())
        for envelope, headers, sealed in made:
            asked = {"envelope": envelope, "headers": headers, "part_size": body}
            opened = link.ask("POST", "/api/uploads", asked)
            for part in opened["parts"]:
                start = (part["number"] - 1) * opened["part_size"]
                link.put(part["url"], sealed[start : start + part["size"]])
            link.ask("POST", f"/api/uploads/{opened['upload']}/complete", {})["receipt"]

    with server([*command, "--port", str(port)], port) as pid:
        return measured(pid, send, count)


def segments(
    data: bytes, person: str, key: SigningKey, recipient: age.Recipient, count: int
) -> list[tuple[dict, dict, bytes]]:
    """Records over the same sealed bytes: sealing is the device's work, not the vault's."""
    file_key = age.new_file_key()
    header = age.seal_header(file_key, [recipient])
    sealed = age.seal(file_key, data[: SEGMENT - 17 * (SEGMENT // 65536 + 2)])
    digest = hashlib.sha256(sealed).hexdigest()
    part = Part("video", len(sealed), digest, hashlib.sha256(header).hexdigest(), len(header))
    made, prev = [], ""
    for seq in range(1, count + 1):
        start_ns = seq * 60 * 10**9
        record = Record(
            "d1", person, "boot1", seq, prev, "segment", start_ns, start_ns + 60 * 10**9,
            time.time_ns() + start_ns, time.time_ns() + start_ns + 60 * 10**9, "ntp", (part,),
            digest, len(sealed),
        )  # fmt: skip
        prev = record.hash()
        headers = {"video": base64.b64encode(header).decode()}
        made.append((sign_record(record, key), headers, sealed))
    return made


def granian(folder: Path, data: bytes, body: int, count: int) -> tuple[float, float]:
    """A bare ASGI application under granian, one worker."""
    need("granian")
    (folder / "peer.py").write_text(GRANIAN)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "asginl",
        "--no-ws",
        "--no-access-log",
    ]
    command += ["--log-level", "error", "--host", "127.0.0.1", "--port", str(port), "peer:app"]
    with server(command, port, folder) as pid:
        return measured(pid, lambda: put_all(port, data, body, count), count)


def aiohttp(folder: Path, data: bytes, body: int, count: int) -> tuple[float, float]:
    """A bare aiohttp application."""
    need("aiohttp")
    (folder / "peer.py").write_text(AIOHTTP)
    port = free_port()
    with server([sys.executable, "peer.py", str(port)], port, folder) as pid:
        return measured(pid, lambda: put_all(port, data, body, count), count)


def nginx(folder: Path, data: bytes, body: int, count: int) -> tuple[float, float]:
    """nginx's DAV module, one worker."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise Missing("nginx (Debian: apt-get install nginx-light)")
    port = free_port()
    for name in ("dav", "body"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    (folder / "nginx.conf").write_text(NGINX.format(out=folder, port=port))
    with server([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], port) as pid:
        return measured(pid, lambda: put_all(port, data, body, count), count)


def tus(folder: Path, data: bytes, body: int, count: int) -> tuple[float, float]:
    """@tus/server with its file store: each segment an upload, each body a PATCH."""
    modules = os.environ.get("TUS_MODULES", "")
    if shutil.which("node") is None or not (Path(modules) / "@tus" / "server").is_dir():
        raise Missing("@tus/server (npm install @tus/server @tus/file-store; set TUS_MODULES)")
    port = free_port()
    (folder / "peer.js").write_text(TUS.format(out=folder, port=port))

    def send() -> None:
        link = http.client.HTTPConnection("127.0.0.1", port)
        version = {"Tus-Resumable": "1.0.0"}
        for _ in range(count):
            link.request("POST", "/files", headers=version | {"Upload-Length": str(len(data))})
            path = answer(link, 201).getheader("Location") or ""
            path = "/" + path.split("/", 3)[-1] if "//" in path else path
            for start in range(0, len(data), body):
                headers = version | {"Content-Type": "application/offset+octet-stream"}
                headers |= {"Upload-Offset": str(start)}
                link.request("PATCH", path, data[start : start + body], headers)
                answer(link, 204)

    with server(["node", "peer.js"], port, folder, NODE_PATH=modules) as pid:
        return measured(pid, send, count)


def put_all(port: int, data: bytes, body: int, count: int) -> None:
    """Puts the same bytes as ours gets, over one connection."""
    link = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(count):
        for start in range(0, len(data), body):
            link.request("PUT", f"/{number}-{start}", data[start : start + body])
            answer(link, 200, 201, 204)
    link.close()


def answer(link: http.client.HTTPConnection, *wanted: int) -> http.client.HTTPResponse:
    """The reply, read to its end."""
    reply = link.getresponse()
    reply.read()
    if reply.status not in wanted:
        raise SystemExit(f"a peer answered {reply.status} {reply.reason}")
    return reply


def measured(pid: int, send: Callable[[], None], count: int) -> tuple[float, float]:
    """(CPU seconds of the server and its children per GB, MB per second) while `send` runs."""
    before, began_s = cpu_s(pid), time.perf_counter()
    send()
    wall_s = time.perf_counter() - began_s
    gb = count * SEGMENT / 1e9
    return (cpu_s(pid) - before) / gb, gb * 1000 / wall_s


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and its living children."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(value) for value in fields[11:15]) / TICKS
        for task in Path(f"/proc/{one}/task").iterdir():
            waiting += [int(child) for child in (task / "children").read_text().split()]
    return total


@contextmanager
def server(
    command: list[str], port: int, folder: Path | None = None, **environment: str
) -> Iterator[int]:
    """Runs a server until the block ends; yields its process id once it listens."""
    held = os.environ | environment | ({"OUT": str(folder)} if folder else {})
    with open(os.devnull, "w") as nowhere:
        running = subprocess.Popen(
            command, cwd=folder, env=held, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
    try:
        for _ in range(600):
            if running.poll() is not None:
                raise SystemExit(f"{command[0]} ended at once: {' '.join(command)}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield running.pid
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def need(module: str) -> None:
    """Raises Missing unless this package is installed."""
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True)
    if done.returncode:
        raise Missing(f"{module} (pip install {module})")


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def commit() -> str:
    """The commit that is measured, with a + if files differ from it."""
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True
    )
    return done.stdout.strip()


def machine() -> str:
    """Processor, cores and memory."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(": ")[1] for line in info.splitlines() if "model name" in line), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{model or platform.machine()}, {os.cpu_count()} cores, {pages >> 30} GB"


if __name__ == "__main__":
    sys.exit(main())
