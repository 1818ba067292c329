"""Row U9: the vault's server is a process of its own, killed with SIGKILL at steps of an upload.

The device's carrier speaks real HTTP to it and is told nothing; whoever runs the server starts it
again, while the carrier waits.
"""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from backends import both
from faults import FULL
from way import Pack, Time

from firsthand.record.home.upload import carry_home
from firsthand.vault.check import check

PART = 1000
SHORT = 4  # cases in an ordinary run, of some 300


class Mortal:
    """The server's process, and whoever starts it again."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self.port = 0
        self.kills = 0

    def start(self, die_at: int = 0) -> None:
        self.port = int(self._ask(f"start {self.port} {die_at}"))

    @property
    def steps(self) -> int:
        """Steps of store, database and answers since the start."""
        return int(self._ask("state").split()[1])

    def revive(self, die_at: int = 0) -> None:
        """Start it again if it was killed."""
        if self._ask("state").split()[0] == "0":
            self.kills += 1
            self.start(die_at)

    def end(self) -> None:
        self._ask("kill")

    def _ask(self, words: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer, "the server's process is gone"
        return answer


class Waiting(Time):
    """While the carrier waits, somebody looks after the server."""

    mortal: Mortal
    next_deaths: list[int]

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        before = self.mortal.kills
        self.mortal.revive(self.next_deaths[0] if self.next_deaths else 0)
        if self.mortal.kills > before and self.next_deaths:
            self.next_deaths.pop(0)


@contextmanager
def mortal_server(data: Path, now_ns: int) -> Iterator[Mortal]:
    program = str(Path(__file__).with_name("mortal_server.py"))
    args = [sys.executable, program, str(data), str(now_ns), str(PART)]
    pipe = subprocess.PIPE
    with subprocess.Popen(args, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Mortal(process)
        finally:
            assert process.stdin
            process.stdin.close()


def fill(pack: Pack) -> int:
    """Two segments of three parts, and a gap; their bytes."""
    made = [pack.capture({"video": bytes(2500)}, start_s=60 * n) for n in range(2)]
    pack.capture({}, reason="paused")
    return sum(len(each.sealed) for each in made)


@both
@pytest.mark.fault("U9")
def test_u9_a_server_killed_at_any_step_loses_nothing_and_stores_nothing_twice(
    vault, make_pack, clock, tally, backend
):
    files = not backend
    with mortal_server(vault.settings.data, clock.now_ns) as mortal:

        def carry(name: str, deaths: list[int]) -> None:
            pack = make_pack(name)
            size = fill(pack)
            waiting = Waiting(clock.now_ns)
            waiting.mortal, waiting.next_deaths = mortal, deaths[1:]
            mortal.kills = 0
            mortal.start(deaths[0] if deaths else 0)
            device = replace(pack.device, vault_url=f"http://127.0.0.1:{mortal.port}")
            chance = random.Random(1)
            done = carry_home(pack.card, device, clock=waiting, chance=chance, patience_s=300.0)
            kills.append(mortal.kills)
            assert (done.left, done.rejected) == (0, {})
            # Each kill cost the part under way at most.
            assert done.bytes_sent <= size + mortal.kills * PART
            pack.assert_home()

        kills: list[int] = []
        carry("whole", [])
        steps = mortal.steps
        mortal.end()
        assert steps > 100
        cases = [[at] for at in range(1, steps + 1)]
        if FULL and files:  # and again soon after the start
            cases += [[at, at // 3 + 1, at // 5 + 1] for at in range(1, steps + 1, 6)]
        else:
            count = 60 if FULL else SHORT if files else 2
            cases = [*random.Random(9).sample(cases, count - 1), [steps // 2, 9, 40]]
        for number, deaths in enumerate(cases):
            carry(f"killed{number}", deaths)
            mortal.end()
            tally.add()
    assert sum(kills) >= 0.9 * len(cases)  # nearly all were killed before all was home
    found = check(vault)
    assert found.faults == []
    assert [item for item in found.orphans if item.key.startswith("segments/")] == []
