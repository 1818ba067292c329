"""Killed at a system call, whichever: strace counts them and kills before the Nth.

What a kill can't find, because the page cache survives it, test_power_cut.py looks for.
"""

import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import FULL
from recording import NumberedCamera, one_chain, segments, tile, whole_footage

from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record

CALLS = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "renameat"),
    *("renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
)

# Forks for each case, so that a case doesn't pay for Python's start. Before a child begins, it
# waits until strace is attached.
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from recording import NumberedCamera
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.recorder import record
from firsthand.record.card.replace import overwrite_oldest
from firsthand.record.card.salvage import salvage

def work(job, folder):
    card, device = Card(folder / "card"), load_device(folder / "device")
    if job == "record":
        record(NumberedCamera(3.5, live=True), card, device, segment_s=1.5)
    elif job == "salvage":
        salvage(card, device)
    else:
        overwrite_oldest(card, device)

work("record", Path(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin.buffer.raw:
    job, folder = line.decode().split()
    child = os.fork()
    if not child:
        os.read(0, 3)
        work(job, Path(folder))
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Victim:
    """A process that does jobs on cards, each in a child to be watched and killed."""

    def __init__(self, folder: Path, make_device) -> None:
        self.make_device = make_device
        self.log = folder / "calls"
        command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
        self.process = subprocess.Popen(
            [*command, str(self.new(folder / "warm"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout.readline() == b"ready\n"

    def new(self, folder: Path) -> Path:
        Card.create(folder / "card")
        self.make_device(folder / "device")
        return folder

    def run(
        self, job: str, folder: Path, call: str = "", number: int = 0, fault: str = "signal=KILL"
    ) -> Counter:
        """Do a job, killed (or failed) at a call if one is named; which calls it made."""
        self._write(f"{job} {folder}\n")
        child = int(self.process.stdout.readline())
        inject = ["-e", f"inject={call}:{fault}:when={number}"] if call else []
        trace = ["-y", "-e", f"trace={','.join(CALLS)}", "-o", str(self.log), *inject]
        strace = subprocess.Popen(
            ["strace", "-f", "-p", str(child), *trace], stderr=subprocess.PIPE
        )
        told = strace.stderr.readline()  # "Process N attached"
        self._write("go\n")
        status = int(self.process.stdout.readline())
        strace.communicate()
        if b"attached" not in told:
            pytest.skip(f"strace may not attach here: {told.decode().strip()}")
        assert status == (signal.SIGKILL if call and "KILL" in fault else 0)
        return Counter(re.findall(r"^\d+ +(\w+)\(", self.log.read_text(), re.MULTILINE))

    def _write(self, text: str) -> None:
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


@pytest.fixture(scope="module")
def victim(tmp_path_factory, make_device) -> Iterator[Victim]:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed: apt-get install strace")
    victim = Victim(tmp_path_factory.mktemp("victim"), make_device)
    yield victim
    victim.process.kill()
    victim.process.wait()


def places(counts: Counter, seed: str, sample: int) -> list[tuple[str, int]]:
    """Every call of every kind, or a sample of them."""
    found = [(call, number) for call in counts for number in range(1, counts[call] + 1)]
    return found if FULL else random.Random(seed).sample(found, sample)


@pytest.mark.fault("D2")
def test_d2_killed_at_any_call_of_recording_it_leaves_one_valid_chain(
    victim, tmp_path, keys, tally
):
    tally.bound = "1 s of the open segment"
    counts = victim.run("record", victim.new(tmp_path / "whole"))
    assert counts["rename"] > 10
    for call, number in places(counts, "record", 8):
        folder = victim.new(tmp_path / f"{call}-{number}")
        victim.run("record", folder, call, number)
        card, device = Card(folder / "card"), load_device(folder / "device")
        record(NumberedCamera(0.5), card, device)
        one_chain(card, device)
        numbers = whole_footage(card, device, keys.ingest)
        assert numbers[:-4] == list(range(len(numbers) - 4))
        assert numbers[-4:] == [0, 1, 2, 3]
        assert not list((card.path / "ready").rglob("*.new"))
        tally.add()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def left_open(victim, tmp_path_factory) -> Path:
    """A card on which one segment is closed and one was being recorded."""
    whole = victim.run("record", victim.new(tmp_path_factory.mktemp("whole") / "day"))
    folder = victim.new(tmp_path_factory.mktemp("left") / "open")
    victim.run("record", folder, "fdatasync", whole["fdatasync"] * 3 // 4)
    assert list((folder / "card" / "open").iterdir())
    return folder


@pytest.mark.fault("D2")
def test_d2_killed_at_any_call_of_salvage_the_next_salvage_does_the_same(
    victim, left_open, tmp_path, keys, tally
):
    def salvaged(folder: Path) -> list[int]:
        card, device = Card(folder / "card"), load_device(folder / "device")
        record(NumberedCamera(0.5), card, device)
        one_chain(card, device)
        return whole_footage(card, device, keys.ingest)

    shutil.copytree(left_open, tmp_path / "whole")
    counts = victim.run("salvage", tmp_path / "whole")
    expected = salvaged(tmp_path / "whole")
    assert len(expected) > 16
    for call, number in places(counts, "salvage", 6):
        folder = tmp_path / f"{call}-{number}"
        shutil.copytree(left_open, folder)
        victim.run("salvage", folder, call, number)
        assert salvaged(folder) == expected
        tally.add()
        shutil.rmtree(folder)


@pytest.mark.fault("D2")
def test_d2_killed_at_any_call_of_overwriting_the_oldest_is_there_or_told(
    victim, tmp_path, keys, tally
):
    first = victim.new(tmp_path / "first")
    victim.run("record", first)
    shutil.copytree(first, tmp_path / "whole")
    counts = victim.run("overwrite", tmp_path / "whole")
    for call, number in places(counts, "overwrite", 4):
        folder = tmp_path / f"{call}-{number}"
        shutil.copytree(first, folder)
        victim.run("overwrite", folder, call, number)
        card, device = Card(folder / "card"), load_device(folder / "device")
        record(NumberedCamera(0.5), card, device)
        records = one_chain(card, device)
        assert [each.seq for each in records] == [1, 2, 3, 4]
        assert [each.reason for each in records[1:]] == ["", "", ""]
        assert len(list((card.path / "ready").iterdir())) == 4
        kept = whole_footage(card, device, keys.ingest)
        assert kept[-20:] == [*range(12, 28), 0, 1, 2, 3]
        assert (records[0].reason == "overwritten") == (len(kept) == 20)
        assert len(segments(card)) == len([each for each in records if each.parts])
        tally.add()
        shutil.rmtree(folder)


@pytest.mark.fault("D12")
def test_d12_after_a_failed_sync_the_segment_is_cut_and_a_new_file_begun(
    victim, tmp_path, keys, tally
):
    tally.bound = "1 s of the open segment"
    whole = victim.run("record", victim.new(tmp_path / "whole"))
    calls = [("fdatasync", n) for n in range(1, whole["fdatasync"] + 1)]
    calls += [("fsync", n) for n in range(1, whole["fsync"] + 1)]
    for call, number in calls if FULL else random.Random(12).sample(calls, 6):
        folder = victim.new(tmp_path / f"{call}-{number}")
        victim.run("record", folder, call, number, fault="error=EIO")
        lines = victim.log.read_text().splitlines()
        failed = next(place for place, line in enumerate(lines) if "INJECTED" in line)
        path = re.search(r"<(.*?)>", lines[failed])[1]
        after = [line for line in lines[failed + 1 :] if "sync(" in line and f"<{path}>" in line]
        assert not (call == "fdatasync" and after)  # never taken for good at a second try
        card, device = Card(folder / "card"), load_device(folder / "device")
        records = one_chain(card, device)
        tile(records)
        assert records[-1].boot_ns_end >= 3.4e9
        numbers = whole_footage(card, device, keys.ingest)
        assert numbers == sorted(set(numbers))
        assert 28 - len(numbers) <= 8  # of 8 a second
        gaps = [each.reason for each in records if not each.parts]
        assert gaps in (["card"], ["cut", "card"])
        tally.add()
        shutil.rmtree(folder)
