"""A card that is full, read-only, gone, or no longer holds what it was given."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from lossy import mounted
from recording import SECOND_NS, NumberedCamera, flip, one_chain, segments, tile, whole_footage
from vault_server import Vault, serving

from firsthand.errors import Locked, NotFound
from firsthand.record.card.card import Card
from firsthand.record.card.salvage import salvage
from firsthand.record.card.status import status
from firsthand.record.card.waiting import record_in
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record
from firsthand.record.sealing.chain import JUMP


class Acting(NumberedCamera):
    """Does something to the card, or to the world, when its time comes."""

    def __init__(self, seconds: float, **acts: Callable[[], None]) -> None:
        super().__init__(seconds, live=True)
        self.acts = {int(name.removeprefix("at_")): act for name, act in acts.items()}

    def samples(self):
        for row in super().samples():
            for second in [at for at in self.acts if row.time_ns >= at * SECOND_NS]:
                self.acts.pop(second)()
            yield row


class Events(list):
    """The events that a recorder sent."""

    def __call__(self, name, **fields):
        self.append((name, fields))

    def named(self, name):
        return [fields for each, fields in self if each == name]


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def take_home(card: Card, device, keys) -> None:
    """Carry home everything to a vault that is there for a moment."""
    with serving(Vault(device.key.public, keys.receipt)) as url:
        assert carry_home(card, replace(device, vault_url=url), patience_s=5.0).left == 0


@pytest.mark.fault("D8")
@pytest.mark.fault("D9")
@pytest.mark.parametrize("options", ["size=6m", "size=64m,nr_inodes=150"])
def test_d8_d9_a_full_card_is_a_gap_and_recording_goes_on_when_room_comes(
    options, tmp_path, device, keys, tally
):
    with small_disk(tmp_path / "disk", options) as disk:
        card, events, vaulted = Card.create(disk / "card"), Events(), []

        def carry():
            vaulted.extend(one_chain_of(card, device))
            take_home(Card(card.path), device, keys)

        def one_chain_of(card, device):
            return [item.record for item in card.waiting()]

        done = record(Acting(60, at_30=carry), card, device, segment_s=2.0, event=events)
        records = [*vaulted, *(item.record for item in card.waiting())]
        assert done.outage == ""
        full = [each for each in records if each.kind == "gap"]
        assert {each.reason for each in full} == {"full"}
        assert len(full) == done.gaps == len(events.named("recording_stopped"))
        assert full[0].boot_ns_start < 30 * SECOND_NS <= full[0].boot_ns_end
        assert not any(each.cut for each in records)
        tile(records)
        assert records[0].boot_ns_start == 0
        assert records[-1].boot_ns_end >= 59 * SECOND_NS
        tally.add()


@pytest.mark.fault("D8")
def test_d8_a_power_cut_while_the_card_is_full_keeps_when_and_why(tmp_path, device):
    class PowerCutError(BaseException):
        pass

    def cut():
        raise PowerCutError

    with small_disk(tmp_path / "disk", "size=6m") as disk:
        card = Card.create(disk / "card")
        with pytest.raises(PowerCutError):
            record(Acting(60, at_40=cut), card, device, segment_s=2.0)
        salvage(card, device)
        *before, gap = one_chain(card, device)
        assert (gap.kind, gap.reason) == ("gap", "full")
        assert abs(gap.boot_ns_start - before[-1].boot_ns_end) <= SECOND_NS // 8
        assert 30 * SECOND_NS <= gap.boot_ns_end <= 40 * SECOND_NS


@pytest.mark.fault("D8")
def test_d8_stopping_while_the_card_is_full_closes_the_gap(tmp_path, device):
    with small_disk(tmp_path / "disk", "size=6m") as disk:
        card = Card.create(disk / "card")
        told = []
        done = record(NumberedCamera(30, live=True), card, device, progress=told.append)
        assert "full" in [each.outage for each in told]
        assert done.gaps == 1
        gap = one_chain(card, device)[-1]
        assert (gap.reason, gap.boot_ns_end // SECOND_NS) == ("full", 29)


def test_a_filling_card_warns_once_at_each_mark_and_tells_how_long_it_lasts(tmp_path, device):
    card, events = Card.create(tmp_path / "card", budget_bytes=6_000_000), Events()
    record(NumberedCamera(60, live=True), card, device, segment_s=1.0, event=events)
    marks = [fields["percent"] // 5 * 5 for fields in events.named("card_filling")]
    assert marks in ([80, 90, 95], [80, 90, 95, 100])
    assert len(events.named("recording_stopped")) == 1
    now = status(card)
    assert now.warning >= 95
    assert now.used_bytes <= card.budget_bytes + 300_000  # it looks once a second
    assert 0 <= now.hours_left < 0.01


def test_by_the_wearers_choice_the_oldest_gives_way_and_the_chain_still_holds(
    tmp_path, device, keys
):
    card, events = Card.create(tmp_path / "card", 4_000_000), Events()
    card.choose(overwrites=True)
    camera = NumberedCamera(40, live=True)
    done = record(camera, Card(card.path), device, segment_s=2.0, event=events)
    assert (done.gaps, done.frames) == (0, 320)
    records = one_chain(card, device)
    gone = [each for each in records if each.kind == "gap"]
    assert [each.seq for each in records] == list(range(1, 21))
    assert records[: len(gone)] == gone
    assert {each.reason for each in gone} == {"overwritten"}
    assert [fields["seq"] for fields in events.named("segment_overwritten")] == [
        each.seq for each in gone
    ]
    assert len({each.media["replaces"] for each in gone}) == len(gone) > 5
    tile(records)
    assert whole_footage(card, device, keys.ingest) == list(range(16 * len(gone), 320))
    assert card.used_bytes() <= 4_500_000  # by what a second or two bring
    take_home(card, device, keys)


def test_without_that_choice_nothing_gives_way(tmp_path, device, keys):
    card = Card.create(tmp_path / "card", 2_000_000)
    record(NumberedCamera(40, live=True), card, device, segment_s=2.0)
    records = one_chain(card, device)
    assert [each.kind for each in records[:-1]] == ["segment"] * (len(records) - 1)
    assert records[-1].reason == "full"


@pytest.mark.fault("D10")
def test_d10_a_card_that_turns_read_only_is_a_gap_and_no_crash(tmp_path, make_device, keys):
    with mounted(tmp_path / "disk") as disk:
        card, device, events = (
            Card.create(disk.path / "card"),
            make_device(disk.path / "d"),
            Events(),
        )
        acts = {
            "at_5": lambda: disk.power("read_only"),
            "at_20": lambda: disk.power("writable"),
        }
        done = record(Acting(60, **acts), card, device, segment_s=2.0, event=events)
        assert [name for name, _ in events] == ["recording_stopped", "recording_resumed"]
        assert events[0][1]["reason"] == "card"
        records = one_chain(card, device)
        tile(records)
        (gap,) = [each for each in records if each.kind == "gap"]
        assert gap.reason == "card"
        assert 4 * SECOND_NS <= gap.boot_ns_start <= 5 * SECOND_NS
        assert 20 * SECOND_NS <= gap.boot_ns_end <= 26 * SECOND_NS
        numbers = whole_footage(card, device, keys.ingest)
        assert set(range(32)) <= set(numbers)
        assert done.outage == ""


@pytest.mark.fault("D11")
def test_d11_an_unmounted_card_is_refused_and_its_mount_point_stays_empty(tmp_path, device):
    place, away = tmp_path / "card", tmp_path / "away"
    card, seen = Card.create(place), []

    def pull():
        place.rename(away)
        place.mkdir()
        with pytest.raises(NotFound, match="not marked"):
            Card(place)

    def mount():
        seen.append(list(place.iterdir()))
        place.rmdir()
        away.rename(place)

    record(Acting(40, at_5=pull, at_14=mount), card, device, segment_s=2.0)
    assert seen == [[]]
    records = one_chain(card, device)
    tile(records)
    (gap,) = [each for each in records if each.kind == "gap"]
    assert gap.reason == "card"
    assert gap.boot_ns_end < 40 * SECOND_NS


@pytest.mark.fault("D15")
@pytest.mark.parametrize("part", ["video", "motion", "still", "events", "opening", "record"])
def test_d15_a_byte_that_flips_on_the_card_is_found_before_it_is_sent(part, card, device, keys):
    record(NumberedCamera(4), card, device, segment_s=2.0)
    bad, _ = segments(card)
    was = bad.record
    name = f"{part}.json" if part in ("opening", "record") else f"{part}.sealed"
    flip(bad.folder / name, 200)
    record_in.cache_clear()  # as after a restart
    vault = Vault(device.key.public, keys.receipt)
    with serving(vault) as url:
        done = carry_home(card, replace(device, vault_url=url), patience_s=5.0)
    assert list(done.rejected) == [bad.folder.name]
    assert done.left == 0
    gap = next(held for held in vault.records.values() if held.kind == "gap")
    assert (gap.reason, gap.seq, gap.session) == ("damaged", 1, was.session)
    if part != "record":
        assert gap.media == {"replaces": was.hash()}
        assert (gap.boot_ns_start, gap.boot_ns_end) == (0, 2 * SECOND_NS)
    assert card.damaged() == [bad.folder.name]
    assert (card.path / "damaged" / bad.folder.name / "video.sealed").exists()
    assert status(card).damaged == 1


@pytest.mark.fault("D19")
@pytest.mark.parametrize("state", ["lost", "torn", "old"])
def test_d19_a_chain_that_was_lost_or_restored_never_gives_a_number_again(state, card, device):
    chain = device.folder / "chain.json"
    first = record(NumberedCamera(1), card, device)
    old = chain.read_bytes()
    record(NumberedCamera(2), card, device, segment_s=1.0)
    match state:
        case "lost":
            chain.unlink()
        case "torn":
            chain.write_bytes(old[:9])
        case "old":
            chain.write_bytes(old)
    again = record(NumberedCamera(1), card, device)
    records = one_chain(card, device)
    assert [each.seq for each in records] == [1, 2, 3, JUMP + 4]
    assert records[-1].prev == ""
    assert first.session != again.session == records[-1].session
    record(NumberedCamera(1), card, device)
    assert [each.seq for each in one_chain(card, device)][-1] == JUMP + 5


@pytest.mark.fault("D19")
def test_d19_receipts_remember_what_went_home(card, device, keys):
    record(NumberedCamera(3), card, device, segment_s=1.0)
    take_home(card, device, keys)
    (device.folder / "chain.json").write_text(json.dumps({"taken": 1, "signed": 1, "prev": ""}))
    record(NumberedCamera(1), card, device)
    assert [each.seq for each in one_chain(card, device)] == [JUMP + 4]


def test_another_devices_card_keeps_nobody_from_recording(card, device, make_device, tmp_path):
    other = replace(make_device(tmp_path / "other"), name="d-2")
    record(NumberedCamera(3), card, other, segment_s=1.0)
    left = card.path / "open" / "0000000007-abc"
    left.mkdir()
    (left / "opening.json").write_text(json.dumps({"device": "d-2"}))
    (card.path / "open" / "lost+found").mkdir()
    record(NumberedCamera(1), card, device)
    assert [item.record.seq for item in card.waiting()] == [1, 1, 2, 3]
    assert left.exists()


@pytest.mark.fault("D20")
def test_d20_a_second_recorder_or_carrier_is_refused(card, device, tmp_path, make_device):
    refused = []

    def second():
        for attempt in (
            lambda: record(NumberedCamera(1), Card(card.path), device),
            lambda: record(NumberedCamera(1), Card.create(tmp_path / "two"), device),
            lambda: record(NumberedCamera(1), Card(card.path), make_device(tmp_path / "other")),
            lambda: salvage(Card(card.path), device),
        ):
            with pytest.raises(Locked) as caught:
                attempt()
            refused.append(caught.value.hint)

    record(Acting(3, at_1=second), card, device)
    assert len(refused) == 4
    assert all(refused)
    assert len(segments(card)) == 1
    with card.lock("carrier"), pytest.raises(Locked):
        carry_home(card, device)
