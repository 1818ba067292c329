"""A vault's server that is really killed at a step of its own: python mortal_server.py DATA NOW_NS.

Everything is imported once; each server is a fork of that, so that a start takes some 0.1 s. Words
on stdin steer it, each is answered by a line: `start PORT STEP` (0: any port; never), `state`.

A kill -9 shows what logic forgets. It can't show a missing fsync: the page cache lives on.
"""

import mmap
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from uvicorn.protocols.http import h11_impl

from firsthand import config
from firsthand.vault.ingest import opening
from firsthand.vault.store import Store
from firsthand.vault.vault import Vault
from firsthand.web import wire
from firsthand.web.server import Server

PASSPHRASE = "correct horse"  # as in tests/conftest.py
ON_DISK = ("pwrite", "fdatasync", "fsync", "link", "unlink", "replace", "mkdir")
IN_STORE = ("begin", "parts", "finish", "size", "put", "replace", "delete", "abort")

shared = mmap.mmap(-1, 8)  # the steps taken, which outlive the server


def serve(data: Path, now_ns: int, port: int, die_at: int, told: int, part_size: int) -> None:
    """Serves until killed; the port goes to `told`."""

    def step() -> None:
        taken = int.from_bytes(shared[:8], "little") + 1
        shared[:8] = taken.to_bytes(8, "little")
        if taken == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    opening.PART_SIZE = opening.PART_MAX = part_size
    vault = Vault(config.load(data, {}, passphrase=PASSPHRASE), lambda: now_ns)
    for name in ("before_cursor_execute", "commit"):
        event.listen(vault.db.engine, name, lambda *_: step())
    for name in ON_DISK:
        _step_around(os, name, step)
    for name in IN_STORE:
        _step_around(vault.store, name, step)
    _step_around(wire._Exchange, "_answer", step)
    send = h11_impl.RequestResponseCycle.send

    async def stepping(self: Any, message: Any) -> None:
        step()
        await send(self, message)
        step()

    h11_impl.RequestResponseCycle.send = stepping  # type: ignore[method-assign]
    server = Server(vault, "127.0.0.1", port)
    shared[:8] = bytes(8)
    os.write(told, f"{server.port}\n".encode())
    server.run()


def _step_around(owner: Any, name: str, step: Callable[[], None]) -> None:
    real = getattr(owner, name)

    def stepping(*args: Any, **options: Any) -> Any:
        step()
        result = real(*args, **options)
        step()
        return result

    setattr(owner, name, stepping)


def main() -> None:
    data, now_ns, part_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    assert Store  # the object store's own threads start in the fork, not here
    child = 0
    for line in sys.stdin:
        match line.split():
            case ["start", port, die_at]:
                shared[:8] = bytes(8)
                reads, writes = os.pipe()
                child = os.fork()
                if not child:
                    try:
                        serve(data, now_ns, int(port), int(die_at), writes, part_size)
                    finally:
                        os._exit(1)
                os.close(writes)
                print(os.read(reads, 16).decode().strip(), flush=True)
                os.close(reads)
            case ["state"]:
                if child and os.waitpid(child, os.WNOHANG)[0]:
                    child = 0
                print(child, int.from_bytes(shared[:8], "little"), flush=True)
            case ["kill"]:
                if child:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    child = 0
                print("dead", flush=True)
    if child:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
