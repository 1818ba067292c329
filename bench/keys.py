"""Ending a key epoch: 1000 people with a day key for each day of five years, on one core.

python bench/keys.py [PEOPLE [DAYS]]
"""

import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from firsthand.crypto import Wrapping
from firsthand.vault.keys import epochs
from firsthand.vault.keys.keyring import Keyring, aad_of


def fill(keyring: Keyring, people: int, days: int) -> None:
    """Rows as the keyring itself writes them, by the shortest way."""
    for number in range(people):
        keyring.add_person(f"p-{number:08x}")
    keyring.log_key()
    raw = sqlite3.connect(keyring.folder / "keyring.db")
    for number in range(people):
        person = f"p-{number:08x}"
        with keyring.db.read() as connection:
            over = Wrapping(keyring._volunteer(connection, person))
        names = [f"{person}|2026-{day:05}|0" for day in range(days)]
        raw.executemany(
            "INSERT INTO wrapped_key VALUES ('day', ?, ?, ?, '', 0)",
            [(name, person, over.wrap(bytes(32), aad_of("day", name))) for name in names],
        )
    raw.commit()
    raw.close()


def main() -> None:
    """Prints one line."""
    people, days = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (1000, 1825)
    with tempfile.TemporaryDirectory() as folder:
        keyring = Keyring(Path(folder), "words")
        fill(keyring, people, days)
        size = (Path(folder) / "keyring.db").stat().st_size
        began_s, began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        epochs.rotate(keyring)
        took_s, ended = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
        many = f"{people * days} day keys of {people} people, {size / 1e6:.0f} MB"
        peak_mb = ended.ru_maxrss / 1024
        print(f"keys: {many}: an epoch ended in {took_s:.1f} s, {cpu_s:.1f} s of one core;")
        print(f"  every key was opened again before the old root went; peak {peak_mb:.0f} MB")
        keyring.close()


if __name__ == "__main__":
    main()
