import os
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from faults import FULL
from lossy import Mounted, mounted
from recording import NumberedCamera, one_chain, segments, whole_footage
from vault_server import Vault, serving

from firsthand.errors import Damaged, Error
from firsthand.record.cameras.camera import Picture
from firsthand.record.card import card as card_module
from firsthand.record.card.card import Card
from firsthand.record.card.waiting import record_in
from firsthand.record.device import Device, load_device
from firsthand.record.durable import append_durably, sync_folder, write_durably
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record
from firsthand.record.sealing import part


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A lossy directory for all tests of this file; each works in a folder of its own."""
    with mounted(tmp_path_factory.mktemp("lossy") / "disk") as disk:
        yield disk


def cut(disk: Mounted) -> None:
    disk.power("cut")
    with pytest.raises(OSError, match="Input/output"):
        os.listdir(disk.path)
    disk.power("on")


def new_folder(disk: Mounted, name: str):
    folder = disk.path / name
    folder.mkdir()
    sync_folder(disk.path)
    return folder


def test_the_lossy_directory_forgets_what_was_not_synced_and_only_that(disk):
    folder = new_folder(disk, "forgets")
    (folder / "unsynced").write_bytes(b"gone")
    with open(folder / "nameless", "wb") as file:  # synced, but not the folder
        file.write(b"gone too")
        file.flush()
        os.fsync(file.fileno())
    with open(folder / "grown", "wb") as file:
        file.write(b"kept")
        file.flush()
        os.fsync(file.fileno())
        os.unlink(folder / "nameless")
        os.unlink(folder / "unsynced")
        sync_folder(folder)
        (folder / "later").write_bytes(b"gone")
        file.write(b" and gone")
        file.flush()
    assert (folder / "grown").read_bytes() == b"kept and gone"
    cut(disk)
    assert os.listdir(folder) == ["grown"]
    assert (folder / "grown").read_bytes() == b"kept"


def test_the_lossy_directory_keeps_a_linked_name_once_its_folder_was_synced(disk):
    folder = new_folder(disk, "links")
    write_durably(folder / "a", b"a")
    for name in ("b", "c"):
        os.link(folder / "a", folder / name)
        with pytest.raises(FileExistsError):
            os.link(folder / "a", folder / name)
        if name == "b":
            sync_folder(folder)
    os.unlink(folder / "a")
    assert (folder / "b").read_bytes() == (folder / "c").read_bytes() == b"a"
    cut(disk)
    assert sorted(os.listdir(folder)) == ["a", "b"]
    assert (folder / "b").read_bytes() == b"a"


def test_the_lossy_directory_undoes_renames_and_removals_that_were_not_synced(disk):
    folder = new_folder(disk, "undoes")
    for name in ("a", "b"):
        write_durably(folder / name, name.encode())
    os.rename(folder / "a", folder / "c")
    os.unlink(folder / "b")
    cut(disk)
    assert sorted(os.listdir(folder)) == ["a", "b"]
    os.rename(folder / "a", folder / "c")
    sync_folder(folder)
    cut(disk)
    assert sorted(os.listdir(folder)) == ["b", "c"]


@pytest.mark.parametrize("names", ["names_stay", "names_go"])
def test_files_written_durably_are_the_old_or_the_new_one_at_every_cut(disk, names):
    folder = new_folder(disk, names)
    disk.power(names)
    write_durably(folder / "file", b"old" * 100)
    seen = set()
    for number in range(1, 9):
        write_durably(folder / "file", b"old" * 100)
        disk.power(f"cut_at {number}")
        try:
            write_durably(folder / "file", b"new" * 90)
        except OSError:
            disk.power("on")
        seen.add((folder / "file").read_bytes())
        disk.power("on")
    assert seen == {b"old" * 100, b"new" * 90}
    disk.power("names_go")


def test_without_its_fsync_a_replaced_file_is_empty_after_a_cut(disk, monkeypatch):
    folder = new_folder(disk, "bites")
    disk.power("names_stay")
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    write_durably(folder / "file", b"whole")
    append_durably(folder / "lines", b"line")
    cut(disk)
    assert (folder / "file").read_bytes() == b""
    assert (folder / "lines").read_bytes() == b""
    disk.power("names_go")


class PowerCutError(BaseException):
    """The program ends where it stands; what it does while it ends no longer reaches the disk."""


class Telling(NumberedCamera):
    """Remembers what it gave out, and ends the program when power is gone."""

    def __init__(self, disk: Mounted, seconds: float) -> None:
        super().__init__(seconds, live=True)
        self.disk = disk
        self.told_ns, self.pictures = 0, 0

    def samples(self):
        for row in super().samples():
            if self.disk.state["off"]:
                raise PowerCutError
            self.told_ns = row.time_ns
            self.pictures += isinstance(row, Picture)
            yield row


@dataclass
class Day:
    """A card and a device on the lossy disk, and the camera that filled the card."""

    disk: Mounted
    folder: Path
    camera: Telling
    operations: int = 0
    lost_bytes: int = 0

    @property
    def card(self) -> Card:
        return Card(self.folder / "card")

    @property
    def device(self) -> Device:
        return load_device(self.folder / "device")


def begin_day(disk: Mounted, make_device, name: str) -> Day:
    folder = new_folder(disk, name)
    Card.create(folder / "card")
    make_device(folder / "device")
    for path in (folder / "card", folder):
        sync_folder(path)
    return Day(disk, folder, Telling(disk, 4.5))


def record_until(day: Day, cut_at: int = 0) -> bool:
    """Record two segments and a bit; whether power went before the operation of this number.

    How many there are varies with the time that each sync takes: on a busy machine a recording may
    end before the last numbers.
    """
    day.disk.power(f"cut_at {cut_at}")
    with suppress(PowerCutError, Error):
        record(day.camera, day.card, day.device, segment_s=2.0)
    state = day.disk.state
    day.operations, day.lost_bytes = state["count"], state["lost_bytes"]
    day.disk.power("on")
    assert bool(state["off"]) == (0 < cut_at <= day.operations)
    return bool(state["off"])


def lost_pictures(day: Day, identity) -> int:
    """Start again without a human, check all that is there, and count what isn't."""
    record(NumberedCamera(0.5, live=True), day.card, day.device)
    records = one_chain(day.card, day.device)
    first = [each for each in records if each.session == records[0].session]
    assert not any(each.cut for each in first[:-1])
    numbers = whole_footage(day.card, day.device, identity)
    assert numbers[-4:] == [0, 1, 2, 3]  # of the new recording
    kept = numbers[:-4]
    assert kept == list(range(len(kept)))
    # The record of what was cut says how much it holds, to within a second.
    assert 0 <= len(numbers) - sum(each.frames for each in records) <= 8
    return day.camera.pictures - len(kept)


@pytest.mark.fault("D1")
@pytest.mark.parametrize("names", ["names_go", "names_stay"])
def test_d1_a_power_cut_at_any_operation_loses_at_most_a_second(
    names, disk, make_device, keys, tally
):
    tally.bound = "1 s of the open segment"
    disk.power(names)
    whole = begin_day(disk, make_device, f"{names}-whole")
    record_until(whole)
    assert whole_footage(whole.card, whole.device, keys.ingest) == list(range(36))
    assert whole.operations > 100
    cuts = range(1, whole.operations + 1)
    for cut_at in cuts if FULL else sorted(random.Random(names).sample(cuts, 12)):
        day = begin_day(disk, make_device, f"{names}-{cut_at}")
        if record_until(day, cut_at):
            assert lost_pictures(day, keys.ingest) <= 8  # of 8 a second
            tally.add(lost_bytes=day.lost_bytes)
        else:
            assert cut_at > 0.8 * whole.operations
    disk.power("names_go")


@pytest.mark.parametrize(("module", "name"), [(part, "_sync"), (card_module, "sync_folder")])
def test_the_sweep_finds_a_sync_that_is_missing(module, name, disk, make_device, keys, monkeypatch):
    day = begin_day(disk, make_device, f"without-{name}")
    monkeypatch.setattr(module, name, lambda handle: None)
    record_until(day, 90)
    with pytest.raises((AssertionError, Damaged)):
        assert lost_pictures(day, keys.ingest) <= 8


@pytest.mark.fault("D14")
@pytest.mark.parametrize("names", ["names_go", "names_stay"])
def test_d14_what_a_lying_card_lost_is_told_and_nothing_else_suffers(
    names, disk, make_device, keys, tally
):
    """It says that all is on the disk and forgets the last stretch: only receipts are believed."""
    tally.bound = "what the card forgot"
    day = begin_day(disk, make_device, f"lies-{names}")
    record(NumberedCamera(4, live=True), day.card, day.device, segment_s=2.0)
    disk.power(names)
    disk.power("lie")
    record(NumberedCamera(4, live=True), day.card, day.device, segment_s=2.0)
    assert len(segments(day.card)) == 4
    disk.power("cut")
    for words in ("honest", "on", "names_go"):
        disk.power(words)
    record_in.cache_clear()  # as after a restart
    record(NumberedCamera(1, live=True), day.card, day.device)
    told = [name[:10] for name in day.card.damaged()]
    assert told == (["0000000003", "0000000004"] if names == "names_stay" else [])
    vault = Vault(day.device.key.public, keys.receipt)
    with serving(vault) as url:
        done = carry_home(day.card, replace(day.device, vault_url=url), patience_s=5.0)
    assert (done.left, done.rejected) == (0, {})
    stored = [held for held in vault.records.values() if held.parts]
    assert [held.seq for held in stored[:2]] == [1, 2]
    assert len(stored) == 3
    gaps = [held for held in vault.records.values() if not held.parts]
    assert [(held.reason, f"{held.seq:010d}") for held in gaps] == [("damaged", it) for it in told]
    tally.add(lost_bytes=day.disk.state["lost_bytes"])
