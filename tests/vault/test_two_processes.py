"""Two processes with the same vault folder at once."""

import json
import subprocess
import sys
from pathlib import Path

from firsthand import config, log
from firsthand.consent import people
from firsthand.vault import catalog, reading
from firsthand.vault.check import check

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
from conftest import NOW_NS, PASSPHRASE, Clock, Wearer
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


def run_two(script: str, folder: Path) -> list[str]:
    """Runs the script as two processes that begin their work together; gives what each printed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder), name, TESTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("left", "right")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
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
            assert log.verify_openings(connection, person, salt or b"") > 10
        found = [reading.read_part(vault, each.id, "video", "self", "x") for each in segments]
        assert found == [b"v0", b"v2", b"v3", b"v5", b"v6", b"v7"]
    with vault.db.read() as connection:
        assert log.verify(connection) == log.size(connection)
    assert (check(vault).faults, check(vault).orphans) == ([], [])
