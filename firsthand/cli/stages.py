"""The stages of the demo, each through the same code as the real thing.

Nothing here knows how to record, seal, decide or learn; it only puts one room's result to the next.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firsthand.cli.cast import Player
from firsthand.cli.locally import enrol_here
from firsthand.config import MARK, Settings
from firsthand.consent import people
from firsthand.consent.capture import review, withhold
from firsthand.consent.runs import answers, proposals
from firsthand.consent.terms import consents, quiz, text
from firsthand.errors import Error, Failed
from firsthand.record.cameras import camera as cameras
from firsthand.record.card.card import Card
from firsthand.record.device import Device, load_device
from firsthand.record.home.carried import Carried
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import Recorded, record
from firsthand.release.pool import processes
from firsthand.simulate.camera import open_sim, oracle
from firsthand.simulate.link import BreakingLink
from firsthand.simulate.people import policies
from firsthand.vault import catalog
from firsthand.vault.vault import Vault

PERMISSIONS = ("train-general-model", "train-person-model", "emulate-self")
PURPOSES = ("train-general-model", "train-person-model")
# Bytes after which the link breaks, one connection each.
BREAKS = (200_000, 900_000, 50_000, 2_500_000)
PATIENCE_S = 30.0
Move = Callable[..., None]


@dataclass
class Member:
    """A player once enrolled, with what was recorded of them and what failed."""

    player: Player
    person: people.Person
    device: Device
    recorded: list[Recorded]
    failures: list[str]

    @property
    def footage_ns(self) -> int:
        """Length of what the recorder took in."""
        return sum(each.footage_ns for each in self.recorded)


def clear(folder: Path) -> None:
    """Empties a demo folder but for its mark."""
    for path in folder.iterdir():
        if path.name != MARK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def enrol(vault: Vault, players: list[Player]) -> list[Member]:
    """Enrols everyone, each with a device and an empty card."""
    members = []
    for player in players:
        person = vault.add_person(player.name, player.place)
        members.append(Member(player, person, enrol_here(vault, person), [], []))
    return members


def record_all(members: list[Member], workers: int, move: Move) -> None:
    """Records every camera onto its wearer's card; one that fails is noted, the rest goes on."""
    with processes(workers) as pool:
        jobs: dict[Future[list[tuple[Recorded | None, str]]], Member] = {
            pool.submit(_record, member.device.folder, member.player.cameras): member
            for member in members
        }
        waiting = set(jobs)
        while waiting:
            done, waiting = wait(waiting, 0.2, FIRST_COMPLETED)
            move(sum(_on_card(member.device) for member in members))
            for job in done:
                for recorded, failure in job.result():
                    if recorded is not None:
                        jobs[job].recorded.append(recorded)
                    if failure:
                        jobs[job].failures.append(failure)


def _record(folder: Path, urls: tuple[str, ...]) -> list[tuple[Recorded | None, str]]:
    cameras.register("sim", open_sim)
    device, card = load_device(folder), Card(folder / "card")
    told: list[tuple[Recorded | None, str]] = []
    for url in urls:
        so_far: list[Recorded] = []
        try:
            camera = cameras.open_camera(url)
            with contextlib.closing(camera):
                told.append((record(camera, card, device, progress=so_far.append), ""))
        except Error as error:
            # What came before the fault is on the card, and counts.
            told.append((so_far[-1] if so_far else None, f"{error.message}; {error.hint}"))
    return told


def _on_card(device: Device) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(device.folder / "card" / "ready"))
    return 0


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[int]:
    """A vault server in a process of its own, on a free loopback port; gives the port."""
    command = [sys.executable, "-m", "firsthand", "--data", str(settings.data), "serve"]
    command += ["--port", "0", "--no-carry"]
    log = settings.data / "serve.log"
    with log.open("w") as errors:
        # The demo shares no setting with real data, so neither may its server.
        clean = {key: value for key, value in os.environ.items() if key[:10] != "FIRSTHAND_"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=clean
        )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        words = lines[1].split()
        if len(words) < 6:
            raise Failed(
                f"the vault server did not start: {log.read_text().strip()[-300:]}",
                "is the port free? Run it again",
            )
        yield int(words[5].rstrip(";").rsplit(":", 1)[1])
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def carry_all(members: list[Member], port: int, move: Move) -> tuple[list[Carried], int]:
    """Carries all cards home at once through a link that breaks; (each's figures, breaks)."""
    ended = threading.Event()
    done = [Carried() for _ in members]

    def carry(place: int) -> None:
        def tell(so_far: Carried) -> None:
            done[place] = so_far

        device = replace(members[place].device, vault_url=f"http://127.0.0.1:{link.port}")
        card = Card(device.folder / "card")
        done[place] = carry_home(
            card, device, stop=ended.is_set, patience_s=PATIENCE_S, progress=tell
        )

    with BreakingLink(port, BREAKS) as link, ThreadPoolExecutor(4) as pool:
        try:
            waiting: set[Future[None]] = {pool.submit(carry, n) for n in range(len(members))}
            while waiting:
                finished, waiting = wait(waiting, 0.2, FIRST_COMPLETED)
                move(sum(each.stored + each.refused for each in done))
                for each in finished:
                    each.result()
        finally:
            ended.set()
        return done, link.breaks


def consent_all(vault: Vault, members: list[Member]) -> tuple[proposals.Run, str]:
    """Consents, a withheld interval, a proposal and the ballots; (the run, who says no or "").

    The first answers by standing rules, the last of three or more says no, the others say yes.
    """
    with vault.db.write() as connection:
        for member in members:
            _qualify(connection, member.person)
            consents.give(connection, member.person, PERMISSIONS, ["DUO:0000046"])
        _withhold(connection, members)
        for member in members:  # nobody waits a week for a demo: each has looked at their days
            review.reviewed(connection, member.person)
        for purpose in PURPOSES:
            answers.set_rule(connection, members[0].person, purpose, "yes")
        proposal = proposals.Proposal(
            "the demo's own model", PURPOSES, "a small decoder-only model", "nobody", 30
        )
        run = proposals.propose(connection, proposal)
        for member in members[1:]:
            says_no = len(members) > 2 and member is members[-1]
            answers.vote(connection, run, member.person, "no" if says_no else "yes")
    return run, members[-1].person.name if len(members) > 2 else ""


def _qualify(connection: Any, person: people.Person) -> None:
    """Plays the quiz for the person of a file; simulated people need none, and a demo's data never
    mixes with real data."""
    if person.jurisdiction == quiz.SIMULATED:
        return
    words = text.in_force(connection)
    quiz.attest(connection, person, adult=True, own_hand=True)
    quiz.take(connection, person, words, [question["right"] for question in words.questions])


def _withhold(connection: Any, members: list[Member]) -> None:
    """One person keeps a stretch of one day back: a sixth of it, from its middle."""
    for member in members[1:2] + members[:1] + members[2:-1]:
        kept = catalog.of_person(connection, member.person.id)
        if sum(segment.duration_s for segment in kept) >= 6:
            first = [segment for segment in kept if segment.day == kept[0].day]
            start_ns, stop_ns = first[0].start_ns, first[-1].stop_ns
            middle, length = (start_ns + stop_ns) // 2, (stop_ns - start_ns) // 6
            withhold.withhold(connection, member.person, middle, middle + length)
            return


def oracle_rows(
    members: list[Member], names: dict[str, str], seed: int, days: int, day_s: float
) -> list[dict[str, Any]]:
    """What the best possible predictor pays for each act (nats), by the release's names."""
    rows = []
    everyone = policies(len(members), seed)
    for index, member in enumerate(members):
        if member.person.id not in names:
            continue
        for day in range(days):
            camera = open_sim(f"sim:{index}?seed={seed}&day={day}&seconds={day_s}")
            for start_ns, nats in oracle(everyone[index], day, seed, day_s):
                rows.append(
                    {
                        "person": names[member.person.id],
                        "start_ns": (camera.wall_ns or 0) + start_ns,
                        "nats": nats,
                    }
                )
    return rows
