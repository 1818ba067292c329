"""A day that goes wrong in every way, with the real recorder, cards, carrier, server and vault."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults import FULL, Tally
from lossy import Mounted, mounted

from firsthand import config
from firsthand.cli import main
from firsthand.record.durable import sync_folder
from firsthand.simulate.day import HOURS, Lived, live
from firsthand.vault import catalog
from firsthand.vault.vault import Vault
from firsthand.web.server import Server

SHORT_H = 0.1  # six minutes: all that happens in the long day happens in it


@contextmanager
def served(vault: Vault) -> Iterator[str]:
    with Server(vault, "127.0.0.1", 0).background() as server:
        yield server.url


def check(lived: Lived, hours: float) -> None:
    assert lived.wrong == []
    assert lived.captured == lived.stored
    assert lived.stop_ns - lived.start_ns == round(hours * 3600e9)
    gaps_ns = sum(each.stop_ns - each.start_ns for each in lived.gaps)
    assert lived.recorded_s * 1e9 + gaps_ns == lived.stop_ns - lived.start_ns
    told = [(each.kind, each.reason) for each in lived.gaps]
    cut, stopped = ("failed", "power"), ("off", "stopped")
    assert [told[2], told[3], len(told)] == [("failed", "full"), stopped, 5]
    # A cut in the first moment of a segment leaves nothing of it: that looks like a stop.
    assert [each for each in told if each != stopped].count(cut) >= 2
    assert {told[0], told[1], told[4]} <= {cut, stopped}
    assert [each.lost_s <= 1 for each in lived.cuts] == [True] * 3
    assert sum(hour.recorded_s for hour in lived.hours) == pytest.approx(lived.recorded_s)


@pytest.mark.timeout(3600 if FULL else 300)
@pytest.mark.fault("D1")
@pytest.mark.fault("D8")
@pytest.mark.fault("D16")
def test_d1_d8_d16_a_day_of_power_cuts_without_a_clock_and_with_a_full_card_is_home_by_morning(
    tmp_path: Path, tally: Tally, capsys: pytest.CaptureFixture
):
    """As its command tells it; the whole 14 h where sweeps are whole."""
    hours = HOURS if FULL else SHORT_H
    out = tmp_path / "day"
    assert main(["simulate", "day", "--hours", str(hours), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    for words in (" worn = ", "power", "full", "stopped", "3 power cuts lost", "all was home at"):
        assert words in told
    tally.bound = "1 s of the open segment"
    tally.add(cases=3)
    vault = Vault(config.load(out, {}))
    with vault.db.read() as connection:
        rows = [*catalog.stored(connection)]
    vault.close()
    # What was signed is as the device knew it: two boots never learned the time.
    qualities = {row.session: row.record["wall_quality"] for row in sorted(rows, key=by_number)}
    assert list(qualities.values()) == ["ntp", "none", "none", "none", "ntp"]
    assert all(row.record["wall_ns_start"] == 0 for row in rows if asleep(row))
    assert sum(row.kind == "clock" for row in rows) == 1
    assert config.kind_of(out) == "demo"
    assert main(["--data", str(out), "vault", "check", "--all"]) == 0


def by_number(row: catalog.Segment) -> int:
    return row.seq


def asleep(row: catalog.Segment) -> bool:
    return row.record["wall_quality"] == "none"


@pytest.mark.fault("D1")
def test_d1_a_day_on_a_disk_that_forgets_what_was_not_synced(tmp_path: Path, tally: Tally):
    with mounted(tmp_path / "disk") as disk:
        lived = live(tmp_path / "day", served, hours=SHORT_H, worn=worn(disk), power_cut=off(disk))
    check(lived, SHORT_H)
    tally.bound = "1 s of the open segment"
    tally.add(cases=len(lived.cuts))


def worn(disk: Mounted) -> Path:
    folder = disk.path / "worn"
    folder.mkdir()
    sync_folder(disk.path)
    return folder


def off(disk: Mounted):
    @contextmanager
    def power_cut() -> Iterator[None]:
        disk.power("cut")
        yield
        disk.power("on")

    return power_cut
