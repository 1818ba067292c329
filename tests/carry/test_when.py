"""What goes first, what waits, and what is said of it."""

import random
from dataclasses import replace

import pytest
from backends import both
from way import InlineLink

from firsthand.errors import Locked
from firsthand.record.clock import Clock
from firsthand.record.home import upload
from firsthand.record.home.carried import last_told
from firsthand.record.home.limits import Limits, Pace
from firsthand.record.home.network import Network
from firsthand.record.home.upload import carry_home
from firsthand.vault import catalog, quota

pytestmark = both


class Told:
    """Says of the network what the test says."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def look(self) -> Network:
        return self.network


def carry(pack, clock: Clock, served, **options):
    link = options.pop("link", None) or InlineLink(pack.device, clock, served)
    options = {"patience_s": 30.0, "chance": random.Random(1), "clock": clock} | options
    return carry_home(pack.card, pack.device, link=link, **options)


def announced(pack) -> int:
    with pack.wearer.vault.db.read() as connection:
        return len(connection.execute(catalog.uploads.select()).all())


@pytest.fixture
def day(pack):
    """Four minutes and a pause between them, on the card since 08:00 UTC."""
    for number in range(4):
        pack.capture({"video": bytes(2500)}, start_s=60 * number)
        if number == 1:
            pack.capture({}, reason="paused")
    return pack


def test_records_come_first_then_word_of_segments_then_bytes(day, clock, served, small_parts):
    link = InlineLink(day.device, clock, served)
    carry(day, clock, served, link=link)
    kinds = [request.split("/")[0] + request.split("/")[-1] for request in link.requests]
    # The gap, then word of all segments but the one that follows at once.
    assert link.requests[:5] == ["GET /api/device"] + ["POST /api/uploads"] * 4
    assert sum(kind.startswith("PUT") for kind in kinds) == 12
    rows = sorted(day.rows().values(), key=lambda row: row.log_index)
    assert [row.seq for row in rows] == [3, 1, 2, 4, 5]
    day.assert_home()


def test_what_the_vault_asks_for_comes_before_what_is_older(
    day, clock, served, small_parts, monkeypatch
):
    third = sorted(day.captured.values(), key=lambda made: made.record.seq)[3].record
    link = InlineLink(day.device, clock, served)
    answer, wanted = link.state, [[third.wall_ns_start + 1, third.wall_ns_end - 1], "junk", [1]]
    monkeypatch.setattr(link, "state", lambda: answer() | {"wanted": wanted})
    carry(day, clock, served, link=link)
    rows = sorted(day.rows().values(), key=lambda row: row.log_index)
    assert [row.seq for row in rows] == [3, 4, 1, 2, 5]


def test_until_its_hours_footage_waits_and_its_records_do_not(
    day, clock, served, small_parts, monkeypatch
):
    monkeypatch.setattr(upload, "NAP_S", 60.0)  # else 14 hours have 100,800 naps
    limits = Limits.parse("22:00-06:00", zone="UTC")
    done = carry(day, clock, served, limits=limits)
    assert (done.stored, done.left, done.bytes_sent) == (1, 4, 0)  # the gap
    assert announced(day) == 4
    assert done.waiting_for == "footage goes home at 22:00-06:00 (UTC)"
    assert done.until_ns == clock.now_ns // 10**9 * 10**9 + 14 * 3600 * 10**9
    done = carry(day, clock, served, limits=limits, patience_s=None)
    assert done.left == 0
    assert 14 * 3600 <= clock.slept_s < 14 * 3600 + 60
    day.assert_home()


def test_hours_that_end_in_the_middle_of_a_segment_end_it_there(day, clock, served, small_parts):
    limits = Limits.parse("08:00-08:01", zone="UTC")
    link = InlineLink(day.device, clock, served)
    put = link.put

    def slow(url: str, data: bytes, md5: str) -> None:
        put(url, data, md5)
        clock.sleep(35)

    link.put = slow  # type: ignore[method-assign]
    done = carry(day, clock, served, limits=limits, link=link)
    assert done.left == 4
    assert done.bytes_sent == 2000  # two parts of the first segment: at 0 s and at 35 s
    assert (
        carry(day, clock, served).bytes_sent
        == sum(row.size_bytes for row in day.rows().values()) - 2000
    )
    day.assert_home()


def test_a_metered_network_carries_records_and_no_footage_unless_allowed(
    day, clock, served, small_parts
):
    network = Told(Network(up=True, metered=True, kind="mobile network"))
    done = carry(day, clock, served, network=network)
    assert (done.stored, done.left, done.bytes_sent) == (1, 4, 0)
    assert done.waiting_for == "the network is metered (mobile network)"
    assert carry(day, clock, served, network=network, limits=Limits(metered=True)).left == 0
    day.assert_home()


def test_without_a_network_nothing_is_tried_and_with_one_all_goes(day, clock, served, small_parts):
    network = Told(Network(up=False))
    link = InlineLink(day.device, clock, served)
    done = carry(day, clock, served, network=network, link=link)
    assert (done.waiting_for, link.requests) == ("there is no network", [])
    network.network = Network(up=True)
    assert carry(day, clock, served, network=network).left == 0


def test_a_sign_in_page_is_named(day, clock, served, small_parts):
    network = Told(Network(up=True, portal=True, kind="Wi-Fi"))
    link = InlineLink(day.device, clock, served, lambda method, target: "portal")
    done = carry(day, clock, served, network=network, link=link)
    assert done.waiting_for == "the network wants a sign-in page opened first"
    day.assert_nothing_lost()


def test_an_estimate_is_what_is_left_by_the_speed_of_late(day, clock, served, small_parts):
    limits = Limits(bytes_per_s=100.0)
    link = InlineLink(day.device, clock, served)
    link._pace = Pace(clock, limits.bytes_per_s)
    seen = []
    carry(day, clock, served, limits=limits, link=link, progress=seen.append)
    rated = [each for each in seen if each.bytes_per_s and each.left_bytes]
    assert rated
    for each in rated:
        assert each.bytes_per_s == pytest.approx(100.0, rel=0.4)
        assert each.estimate_s == pytest.approx(each.left_bytes / each.bytes_per_s, rel=0.01)
    assert seen[-1].estimate_s == 0.0


def test_whoever_asks_sees_what_it_waits_for_until_when_and_at_the_end_that_all_is_safe(
    day, clock, served, small_parts
):
    assert last_told(day.device.folder) is None
    carry(day, clock, served, limits=Limits.parse("22:00-06:00", zone="UTC"))
    told = last_told(day.device.folder)
    assert (told.left, told.waiting_for) == (4, "footage goes home at 22:00-06:00 (UTC)")
    assert told.until_ns > clock.now_ns
    carry(day, clock, served)
    told = last_told(day.device.folder)
    assert (told.left, told.waiting_for, told.estimate_s) == (0, "", 0.0)
    (day.device.folder / "carrier.json").write_bytes(b"{torn")
    assert last_told(day.device.folder) is None


def test_a_carrier_that_stays_carries_what_comes_later_and_holds_the_card(
    day, clock, served, small_parts
):
    left = []

    def stop() -> bool:
        if not day.card.waiting():
            left.append(clock.now_ns)
            if len(left) == 3:  # long after all was home
                day.capture({"video": bytes(500)}, start_s=600)
                with pytest.raises(Locked):
                    carry(day, clock, served)
        return len(left) > 6

    done = carry(day, clock, served, forever=True, patience_s=None, stop=stop)
    assert (done.stored, done.left) == (6, 0)
    day.assert_home()


def test_a_carrier_that_stays_leaves_open_segments_to_the_recorder(day, clock, served, small_parts):
    (day.card.path / "open" / "0000000009-cafe").mkdir()
    carry(day, clock, served, forever=True, patience_s=None, stop=lambda: not day.card.waiting())
    assert day.card.opened()


def test_what_was_rejected_is_offered_again_later(day, clock, served, small_parts, monkeypatch):
    seen = []

    def stop() -> bool:
        if clock.slept_s > 60 and not seen:
            seen.append(list(day.card.waiting()))
            clock.sleep(upload.REJECTED_NS / 1e9)
        if len(seen) == 1 and clock.slept_s > upload.REJECTED_NS / 1e9:
            monkeypatch.setattr(quota, "MAX_OBJECT", 2 << 30)
        return clock.slept_s > upload.REJECTED_NS / 1e9 + 120

    monkeypatch.setattr(quota, "MAX_OBJECT", 10)
    done = carry(day, clock, served, forever=True, patience_s=None, stop=stop)
    assert len(seen[0]) == 4
    assert (done.left, done.rejected) == (0, {})
    day.assert_home()


def test_a_vault_that_wants_no_more_announcements_still_gets_the_footage(
    day, clock, served, small_parts
):
    vault = day.wearer.vault
    vault.settings = replace(vault.settings, uploads_at_once=2)
    done = carry(day, clock, served)
    assert (done.stored, done.left) == (5, 0)
    day.assert_home()
