"""Two processes with the same vault folder at once."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from faults import FULL

from firsthand import config, log
from firsthand.consent import people
from firsthand.vault import catalog, reading
from firsthand.vault.check import check

NOW_NS = 1_793_520_000 * 10**9  # where the clock of conftest.py stands
TESTS = str(Path(__file__).parents[1])
OPEN = """
import sys
from pathlib import Path
from firsthand import config
from firsthand.vault.vault import Vault
print("ready", flush=True)
sys.stdin.readline()
vault = Vault(config.load(Path(sys.argv[1]), {}))
vault.add_person(sys.argv[2])
print(vault.keyring.log_key().public)
"""
WORK = """
import json, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from wearer import NOW_NS, PASSPHRASE, Clock, Wearer
from firsthand import config
from firsthand.consent import erasure, people
from firsthand.vault import erase
from firsthand.vault.vault import Vault
vault = Vault(config.load(Path(sys.argv[1]), {}, passphrase=PASSPHRASE), Clock())
person = vault.add_person(sys.argv[2])
device = Wearer(vault, person, sys.argv[2])
with vault.db.write() as connection:
    people.enrol(connection, person, device.id, device.key.public)
print("ready", flush=True)
sys.stdin.readline()
for number in range(8):
    device.hand_in(device.seal({"video": b"v%d" % number}, 60 * number))
    if number % 3 == 2:
        start_ns = NOW_NS + 60 * (number - 1) * 10**9
        with vault.db.write() as connection:
            order = erasure.order(connection, person, (start_ns, start_ns + 1))
        erase.carry_out(vault, order)
vault.close()
print(json.dumps(person.id))
"""
SAME = """
import json, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from wearer import PASSPHRASE, Clock
from firsthand import config
from firsthand.consent import erasure, people
from firsthand.errors import NotFound
from firsthand.vault import erase, ingest
from firsthand.vault.vault import Vault
vault = Vault(config.load(Path(sys.argv[1]), {}, passphrase=PASSPHRASE), Clock())
jobs = json.loads((Path(sys.argv[1]) / "jobs.json").read_text())
print("ready", flush=True)
sys.stdin.readline()
done = []
for device, upload in jobs["uploads"]:
    done.append(ingest.complete(vault, upload, device)["receipt"])
person = vault.person(jobs["person"])
with vault.db.write() as connection:
    order = erasure.order(connection, person, tuple(jobs["interval"]))
erase.carry_out(vault, order)
vault.close()
print(json.dumps(done))
"""


def run_two(script: str, folder: Path, names: Sequence[str] = ("left", "right")) -> list[str]:
    """Runs the script as processes that begin their work together; gives what each printed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder), name, TESTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=300)[0].strip() for process in processes]
    assert {process.returncode for process in processes} == {0}
    return answers


def test_two_processes_that_make_a_new_vault_at_once_share_one_root_and_log_key(tmp_path):
    data = config.mark(tmp_path / "data", "real")
    left, right = run_two(OPEN, data)
    assert left == right
    assert left.startswith("ed25519:")
    vaults = sorted(path.name for path in (data / "vault").glob("root*"))
    assert vaults == ["root.age"]


def test_two_processes_hand_in_and_erase_at_once(open_vault, tmp_path):
    ids = [json.loads(each) for each in run_two(WORK, tmp_path / "data")]
    vault = open_vault()
    for person in ids:
        with vault.db.read() as connection:
            segments = catalog.of_person(connection, person)
            salt = people.find(connection, person).salt
            assert log.verify_openings(connection, {person: salt or b""}) > 10
        found = [reading.read_part(vault, each.id, "video", "self", "x") for each in segments]
        assert found == [b"v0", b"v2", b"v3", b"v5", b"v6", b"v7"]
    with vault.db.read() as connection:
        assert log.verify(connection) == log.size(connection)
    assert (check(vault).faults, check(vault).orphans) == ([], [])


@pytest.mark.fault("B2")
def test_b2_workers_with_the_same_jobs_have_exactly_one_effect(
    open_vault, vault, person, device, tmp_path, tally
):
    workers, count = (6, 40) if FULL else (3, 5)
    made = [device.seal(start_s=60 * number) for number in range(count)]
    uploads = []
    for each in made:
        uploads.append((device.id, device.open(each)["upload"]))
        device.put(each, uploads[-1][1])
    jobs = {"uploads": uploads, "person": person.name, "interval": [NOW_NS, NOW_NS + 1]}
    (tmp_path / "data" / "jobs.json").write_text(json.dumps(jobs))
    answers = run_two(SAME, tmp_path / "data", [str(number) for number in range(workers)])
    receipts = json.loads(answers[0])
    assert [json.loads(each) for each in answers] == [receipts] * workers
    assert [each["record_hash"] for each in receipts] == [each.record.hash() for each in made]
    with vault.db.read() as connection:
        kept = catalog.of_person(connection, person.id)
        kinds = [entry.kind for entry in log.read(connection)]
        assert log.verify(connection) == log.size(connection)
    assert [each.seq for each in kept] == list(range(2, count + 1))
    assert kinds.count("segment_stored") == count
    assert sorted(vault.store.keys("segments")) == sorted(each.object for each in kept)
    assert (check(vault).faults, check(vault).orphans) == ([], [])
    tally.add(cases=workers * count)
