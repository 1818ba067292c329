"""A hard day of one device in simulated time, with the real recorder, cards, carrier and vault.

The power goes three times, the clock has no battery, the card is full for half an hour, and Wi-Fi
is there from 22:00 to 06:00 only. Afterwards the vault is asked what it holds, what it knows of the
rest, and whether that comes to the whole day.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firsthand import config
from firsthand.consent import people
from firsthand.record.card.card import Card
from firsthand.record.clock import Clock
from firsthand.record.device import Device, create_device
from firsthand.record.durable import sync_folder
from firsthand.record.home.carried import Carried
from firsthand.record.home.limits import Limits
from firsthand.record.home.network import Network
from firsthand.record.home.upload import carry_home
from firsthand.segment import Record
from firsthand.simulate.worn import SECOND_NS, Boot, PowerCut, Took, wear
from firsthand.vault import catalog
from firsthand.vault.account import Stretch, account
from firsthand.vault.check import check
from firsthand.vault.vault import Vault

HOUR_NS = 3600 * SECOND_NS
MIDNIGHT_NS = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp()) * SECOND_NS
WIFI_FROM_H, WIFI_UNTIL_H = 22, 6
HOURS = 14.0
FPS = 1.0  # one picture a second: 14 h of them are recorded in some minutes
# As shares of the day: when the power goes; when the first card is full.
CUTS, FULL = (0.12, 0.30, 0.74), 0.55
# In seconds of a day of 14 h, and of a shorter one less: how long no power comes back; until a
# Raspberry Pi has booted and its camera gives a picture; until the wearer looks after a full card;
# to put in another.
OFF_S, BOOTING_S, FULL_S, SWAP_S = (2.0, 45.0, 300.0), 25.0, 1800.0, 60.0
LINK_BYTES_PER_S = 2.5e6
# What a second at one picture takes on the card: one chunk of the seal and its share of a segment.
BYTES_PER_S = 65_700
PHASES = ("wear", "carry home", "check")


class Wall(Clock):
    """The clock of the vault, and of a device at home; it moves by waiting."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """For the vault."""
        return self.now_ns

    def boot_ns(self) -> int:
        """One clock is enough here."""
        return self.now_ns

    def wall_ns(self) -> int:
        """The true time."""
        return self.now_ns

    def wall_quality(self) -> str:
        """By Wi-Fi."""
        return "ntp"

    def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.now_ns += round(seconds * SECOND_NS)


@dataclass(frozen=True)
class WiFi:
    """At home, at night."""

    clock: Wall

    def look(self) -> Network:
        """Up from 22:00 to 06:00."""
        hour = self.clock.now_ns % (24 * HOUR_NS) / HOUR_NS
        return Network(up=hour >= WIFI_FROM_H or hour < WIFI_UNTIL_H, kind="Wi-Fi")


@dataclass(frozen=True)
class Cut:
    """One power cut: when, for how long nothing had power, and what it cost."""

    booted_ns: int
    at_ns: int
    off_s: float
    lost_s: float = 0.0


@dataclass(frozen=True)
class Hour:
    """One hour of the day as the vault has it: seconds recorded, and without, by reason."""

    start_ns: int
    recorded_s: float
    gaps: dict[str, float]


@dataclass(frozen=True)
class Lived:
    """What came of the day; `wrong` is empty if nothing was lost and all of it is accounted for."""

    start_ns: int
    stop_ns: int
    captured: int  # records that the device signed
    stored: int
    bytes: int
    pictures: int  # that the camera gave
    kept: int  # that are stored
    recorded_s: float
    gaps: list[Stretch]
    cuts: list[Cut]
    hours: list[Hour]
    home_ns: int  # when all of it was home
    placed_off_s: float  # how far from the truth the vault places what had no clock, at most
    wrong: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def live(
    data: Path,
    serve: Callable[[Vault], AbstractContextManager[str]],
    *,
    hours: float = HOURS,
    seed: int = 1,
    fps: float = FPS,
    worn: Path | None = None,
    power_cut: PowerCut = nullcontext,
    tell: Callable[[str, float], None] = lambda phase, share: None,
) -> Lived:
    """Lives one day of `hours` in a new data folder; `serve` gives the URL of a served vault.

    Device and cards lie in `worn`, else in the data folder. `power_cut`: see worn.py.
    """
    clock = Wall(MIDNIGHT_NS + WIFI_FROM_H * HOUR_NS - round(hours * HOUR_NS))
    vault = Vault(config.load(config.mark(data, "demo"), {}), clock)
    try:
        home = worn or data / "device"
        home.mkdir(exist_ok=True)
        pack = _Pack(home, _enrol(vault, home, clock), hours, random.Random(seed), seed, fps)
        pack.wear(clock.now_ns + 5 * 60 * SECOND_NS, power_cut, tell)
        records = pack.captured()
        clock.now_ns = pack.stop_ns
        with serve(vault) as url:
            _carry(pack, url, clock, tell)
        tell("check", 0.0)
        return _judge(vault, pack, records, clock.now_ns)
    finally:
        vault.close()


class _Pack:
    """The device with its two cards, through its day."""

    def __init__(
        self, home: Path, device: Device, hours: float, chance: random.Random, seed: int, fps: float
    ) -> None:
        self.device, self.cards = device, [home / "card-1", home / "card-2"]
        self.day_ns = round(hours * HOUR_NS)
        self._chance, self._seed, self.fps = chance, seed, fps
        self.took: list[Took] = []
        self.cuts: list[Cut] = []
        self.start_ns = self.stop_ns = 0
        budget = round(FULL * self.day_ns / SECOND_NS * BYTES_PER_S * max(1.0, fps))
        Card.create(self.cards[0], budget_bytes=budget)
        Card.create(self.cards[1])
        for folder in (*self.cards, device.folder, home):
            sync_folder(folder)

    def wear(self, start_ns: int, power_cut: PowerCut, tell: Callable[[str, float], None]) -> None:
        """From the morning, when it had Wi-Fi and knew the time, to some minutes after 22:00."""
        self.start_ns, self.stop_ns = start_ns, start_ns + self.day_ns
        first = Boot(start_ns - 2 * HOUR_NS, start_ns, self._at(0), cut=True, told_ns=start_ns)
        at_ns = self._cut(0, first, 0, power_cut)
        tell("wear", self._share(at_ns))
        at_ns = self._cut(1, self._boot(at_ns, self._at(1)), 0, power_cut)
        tell("wear", self._share(at_ns))
        # The first card fills in this one; after a while the wearer sees it and puts in another.
        begun = self._boot(at_ns, self._at(2))
        took = self._wear(0, replace(begun, cut=False, patience_ns=self._ns(FULL_S)))
        tell("wear", self._share(took.stop_ns))
        at_ns = self._cut(2, replace(begun, start_ns=took.stop_ns + self._ns(SWAP_S)), 1, power_cut)
        tell("wear", self._share(at_ns))
        wifi_ns = MIDNIGHT_NS + WIFI_FROM_H * HOUR_NS
        last = self._boot(at_ns, self.stop_ns)
        # So late that its last picture ends with the day.
        late_ns = (self.stop_ns - last.start_ns) % round(SECOND_NS / self.fps)
        told_ns = max(wifi_ns, last.start_ns) + 20 * SECOND_NS
        last = replace(last, start_ns=last.start_ns + late_ns, cut=False, told_ns=told_ns)
        self._wear(1, last)
        tell("wear", 1.0)

    def captured(self) -> list[Record]:
        """Every record that the device signed, and every byte that it names, as the cards lie."""
        return [item.record for card in self.cards for item in Card(card).waiting()]

    def _boot(self, at_ns: int, stop_ns: int) -> Boot:
        return Boot(at_ns, at_ns + self._ns(BOOTING_S), stop_ns, cut=True)

    def _cut(self, number: int, boot: Boot, card: int, power_cut: PowerCut) -> int:
        """One boot up to its cut; when power comes back."""
        took = self._wear(card, boot, power_cut)
        off_ns = self._ns(OFF_S[number])
        self.cuts.append(Cut(boot.booted_ns, took.stop_ns, off_ns / 1e9))
        return took.stop_ns + off_ns

    def _wear(self, card: int, boot: Boot, power_cut: PowerCut = nullcontext) -> Took:
        took = wear(
            self.device.folder,
            self.cards[card],
            boot,
            seed=self._seed,
            fps=self.fps,
            delay_s=self._chance.random() / 50,
            power_cut=power_cut,
        )
        self.took.append(took)
        return took

    def _at(self, number: int) -> int:
        """About when the power goes: by chance, so that a segment is cut anywhere."""
        late_ns = self._chance.randrange(min(self.day_ns // 50, 120 * SECOND_NS))
        return self.start_ns + round(CUTS[number] * self.day_ns) + late_ns

    def _ns(self, seconds: float) -> int:
        return round(seconds * self.day_ns / HOURS / 3600)

    def _share(self, at_ns: int) -> float:
        return (at_ns - self.start_ns) / self.day_ns


def _enrol(vault: Vault, home: Path, clock: Wall) -> Device:
    person = vault.add_person("sim", "sim")
    device = create_device(
        home / "pack",
        name="pack",
        person=person.id,
        vault_url="http://127.0.0.1:9",
        recipient=vault.keyring.ingest_recipient(person.id, clock.now_ns),
        receipt_key=str(vault.keyring.log_key().public),
    )
    with vault.db.write() as connection:
        people.enrol(connection, person, device.name, device.key.public, clock.now_ns)
    return device


def _carry(pack: _Pack, url: str, clock: Wall, tell: Callable[[str, float], None]) -> None:
    """At home: the card that is in the device goes first, then the one from the pocket."""
    device = replace(pack.device, vault_url=url)
    for number, path in enumerate(reversed(pack.cards)):

        def see(now: Carried, before: int = number) -> None:
            share = now.stored / max(1, now.stored + now.left)
            tell("carry home", (before + share) / len(pack.cards))

        carry_home(
            Card(path),
            device,
            clock=clock,
            chance=random.Random(1),
            limits=Limits(bytes_per_s=LINK_BYTES_PER_S),
            network=WiFi(clock),
            progress=see,
        )


def _judge(vault: Vault, pack: _Pack, records: list[Record], home_ns: int) -> Lived:
    """What the vault says of the day, held against what the device signed and the camera gave."""
    wrong = []
    start_ns, stop_ns = pack.start_ns, pack.stop_ns
    with vault.db.read() as connection:
        (person,) = people.listed(connection)
        held = {
            record.hash(): catalog.find_record(connection, record.device, record.seq)
            for record in records
        }
        stretches = account(connection, person.id, start_ns - HOUR_NS, stop_ns + HOUR_NS)
        missing = catalog.missing_records(connection, person.id)
    stored = [row for digest, row in held.items() if row and row.record_hash == digest]
    found = check(vault)
    if len(stored) != len(records) or missing:
        wrong.append(f"{len(records) - len(stored) + missing} records are not in the vault")
    if found.faults or found.orphans:
        wrong.append(f"{len(found.faults)} faults and {len(found.orphans)} orphans in the store")
    if any(True for card in pack.cards for _ in Card(card).waiting()):
        wrong.append("a card is not empty")
    whole_ns = sum(each.stop_ns - each.start_ns for each in stretches)
    if whole_ns != stop_ns - start_ns:
        told_s = f"{whole_ns / 1e9:.9f} s, not {(stop_ns - start_ns) / 1e9:.9f} s"
        wrong.append(f"what is stored and the gaps come to {told_s}")
    if hole := _hole(stretches, start_ns, stop_ns):
        wrong.append(f"what is stored and the gaps do not lie end to end at {hole}")
    cuts = _cuts(pack, records)
    wrong += [
        f"the cut at {_time(cut.at_ns)} lost {cut.lost_s} s" for cut in cuts if cut.lost_s > 1
    ]
    given = sum(took.pictures for took in pack.took)
    kept = sum(record.frames for record in records)
    gaps = [each for each in stretches if each.kind != "recorded"]
    full = [each for each in gaps if each.reason == "full"]
    lost = given - kept - sum(round(_s(e.start_ns, e.stop_ns) * pack.fps) for e in full)
    # Of each cut the last second and the picture that was just taken; of each gap one at its edge.
    if not -len(full) <= lost <= len(cuts) * (1 + pack.fps) + len(full):
        wrong.append(f"{lost} pictures are in no segment and no gap")
    return Lived(
        start_ns=start_ns,
        stop_ns=stop_ns,
        captured=len(records),
        stored=len(stored),
        bytes=found.bytes,
        pictures=given,
        kept=kept,
        recorded_s=sum(_s(e.start_ns, e.stop_ns) for e in stretches if e.kind == "recorded"),
        gaps=gaps,
        cuts=cuts,
        hours=_hours(stretches, start_ns, stop_ns),
        home_ns=home_ns,
        placed_off_s=sum(cut.off_s for cut in cuts[1:]),
        wrong=wrong,
    )


def _cuts(pack: _Pack, records: list[Record]) -> list[Cut]:
    """What each cut cost: from where the last record before it ends to where the power went."""
    ends: dict[str, int] = {}
    for record in sorted(records, key=lambda each: each.seq):
        if record.boot_ns_end:  # else only its number was taken before the cut
            ends[record.session] = record.boot_ns_end
    first, second, _, third, _ = ends.values()  # the card was changed in the third boot
    found = []
    for cut, end_ns in zip(pack.cuts, (first, second, third), strict=True):
        lost_ns = max(0, cut.at_ns - cut.booted_ns - end_ns)
        found.append(replace(cut, lost_s=round(lost_ns / 1e9, 3)))
    return found


def _hole(stretches: list[Stretch], start_ns: int, stop_ns: int) -> str:
    """Where they do not lie end to end from start to stop; empty if they do."""
    edge_ns = start_ns
    for each in sorted(stretches, key=lambda one: one.start_ns):
        if each.start_ns != edge_ns:
            break
        edge_ns = each.stop_ns
    return "" if edge_ns == stop_ns else _time(edge_ns)


def _hours(stretches: list[Stretch], start_ns: int, stop_ns: int) -> list[Hour]:
    found = []
    step_ns = HOUR_NS if stop_ns - start_ns > 2 * HOUR_NS else 60 * SECOND_NS
    for begin in range(start_ns - start_ns % step_ns, stop_ns, step_ns):
        recorded_s = 0.0
        gaps: dict[str, float] = defaultdict(float)
        for each in stretches:
            inside_ns = min(each.stop_ns, begin + step_ns) - max(each.start_ns, begin)
            if inside_ns > 0 and each.kind == "recorded":
                recorded_s += inside_ns / 1e9
            elif inside_ns > 0:
                gaps[each.reason or each.kind] += inside_ns / 1e9
        found.append(Hour(begin, recorded_s, dict(gaps)))
    return found


def _s(start_ns: int, stop_ns: int) -> float:
    return (stop_ns - start_ns) / 1e9


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%H:%M:%S")
