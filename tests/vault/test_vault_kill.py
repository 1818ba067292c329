"""The vault killed at each system call of a `complete`: receipt, row and object agree after it."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from faults import FULL, Tally

from firsthand.segment import verify_receipt
from firsthand.vault import catalog, ingest, reading
from firsthand.vault.check import check
from firsthand.vault.vault import Vault

pytestmark = pytest.mark.files
SHORT = 6  # cases in an ordinary run, of some 400


def completing(settings, clock, upload: str, device: str, told: Path) -> int:
    """A process that stops itself, then completes an upload and writes down the receipt."""
    child = os.fork()
    if child:
        return child
    try:
        os.kill(os.getpid(), signal.SIGSTOP)
        vault = Vault(settings, clock)
        receipt = ingest.complete(vault, upload, device)
        told.write_text(json.dumps(receipt))
    finally:
        os._exit(0)


def traced(child: int, *options: str) -> subprocess.CompletedProcess:
    """Runs a stopped process to its end under strace."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(child), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
        if tracer.poll() is not None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.skip(f"strace may not trace here: {tracer.communicate()[1]}")
        time.sleep(0.001)
    os.kill(child, signal.SIGCONT)
    out, said = tracer.communicate(timeout=120)
    os.waitpid(child, 0)
    return subprocess.CompletedProcess(tracer.args, tracer.returncode, out, said)


def calls(child: int, log: Path) -> dict[str, int]:
    """Each system call of a process that runs to its end, and how often it makes it."""
    traced(child, "-o", str(log))
    found: Counter = Counter()
    for line in log.read_text().splitlines():
        match = re.match(r"\d+ +([a-z0-9_]+)\(", line)
        if match:
            found[match[1]] += 1
    found.pop("exit_group", None)
    return found


@pytest.mark.fault("B1")
def test_b1_killed_at_each_system_call_of_a_complete_receipt_row_and_object_agree(
    vault, person, device, clock, tmp_path, tally: Tally
):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    made, upload = _prepare(device)
    settings, key = vault.settings, vault.keyring.log_key().public
    vault.close()
    ready = tmp_path / "ready"
    shutil.copytree(settings.data, ready)

    def fresh() -> None:
        shutil.rmtree(settings.data)
        shutil.copytree(ready, settings.data)

    told = tmp_path / "told.json"
    counted = calls(completing(settings, clock, upload, device.id, told), tmp_path / "calls")
    assert {"fsync", "fdatasync", "link", "pwrite64"} <= counted.keys()
    cases = [(name, number) for name in sorted(counted) for number in range(1, counted[name] + 1)]
    if not FULL:
        cases = random.Random(8).sample(cases, SHORT)
    killed = 0
    for name, number in cases:
        fresh()
        told.unlink(missing_ok=True)
        child = completing(settings, clock, upload, device.id, told)
        inject = f"inject={name}:signal=KILL:when={number}"
        traced(child, "-o", "/dev/null", "-e", f"trace={name}", "-e", inject)
        said = told.read_text() if told.exists() else ""
        killed += not said
        before = json.loads(said) if said else None
        _agree(Vault(settings, clock), person, device, made, upload, key, before)
        tally.add()
    assert killed >= len(cases) * 0.9  # the sweep is one: nearly all were cut off before the end


def _prepare(device):  # type: ignore[no-untyped-def]
    device.hand_in(device.seal({"video": b"before"}))
    made = device.seal({"video": b"v" * 200_000, "events": b"{}\n"}, start_s=60)
    upload = device.open(made)["upload"]
    device.put(made, upload)
    return made, upload


def _agree(vault, person, device, made, upload, key, before) -> None:  # type: ignore[no-untyped-def]
    try:
        with vault.db.read() as connection:
            rows = list(catalog.of_person(connection, person.id))
        found = check(vault)
        assert found.faults == []  # no row without its object
        assert [item for item in found.orphans if item.key.startswith("segments/")] == []
        assert before is None or len(rows) == 2  # no receipt without a row
        device.vault = vault
        receipt = device.hand_in(made)
        assert before is None or receipt == before
        assert len(rows) == 1 or rows[1].receipt == receipt  # and no row but with the same
        assert verify_receipt(receipt, key).kind == "stored"
        with vault.db.read() as connection:
            rows = list(catalog.of_person(connection, person.id))
        assert len(rows) == 2
        assert len(list(vault.store.keys("segments"))) == 2
        plain = reading.read_part(vault, rows[1].id, "video", "self", "x")
        assert plain == made.plain["video"]
        assert check(vault).faults == []
    finally:
        vault.close()
