"""Heartbeats over a real server, and what Prometheus and the pages then see of them."""

import pytest
from backends import both
from prometheus_client.parser import text_string_to_metric_families
from rig import call
from test_web_pages import Strict

from firsthand.cli.device import require_heard
from firsthand.cli.overview import _forged, overview
from firsthand.consent.access import askers
from firsthand.errors import Failed
from firsthand.record.card.card import Card
from firsthand.record.clock import Clock
from firsthand.record.enrol import enrol as enrol_device
from firsthand.record.home import health
from firsthand.record.home.link import Link
from firsthand.record.home.upload import carry_home
from firsthand.record.sensors import Sensors
from firsthand.vault import enrol, fleet

KEY = "the-access-key"


def figures(server, key=KEY):
    answer = call(server.url, "GET", "/metrics", None, {"Authorization": f"Bearer {key}"})
    assert answer.status == 200, answer.text
    return {
        (sample.name, sample.labels.get("device", "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def pi(vault, url, ana, tmp_path):
    """A device that was enrolled by a code, as on a Pi."""
    return enrol_device(tmp_path / "pi", url, enrol.offer(vault, ana).code).device


def test_a_carrier_tells_the_vault_how_its_device_is(vault, server, pi, tmp_path):
    card = Card(pi.folder / "card")
    zone = tmp_path / "system" / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("61500\n")
    pulse = health.Pulse(card, Clock(), Sensors(tmp_path / "system"))
    carry_home(card, pi, patience_s=1.0, pulse=pulse)
    seen = figures(server)
    assert seen["firsthand_device_temperature_celsius", pi.name] == 61.5
    assert seen["firsthand_device_room_bytes", pi.name] > 0
    assert seen["firsthand_device_silent", pi.name] == 0
    assert ("firsthand_device_battery_ratio", pi.name) not in seen  # no sensor, no figure
    assert seen["firsthand_devices", ""] == 1
    with vault.db.read() as connection:
        assert len(fleet.history(connection, pi.name)) == 2  # enrolled, then heard


@both
def test_a_silent_device_raises_the_alarm_everywhere(vault, server, pi, monkeypatch):
    from firsthand.cli import device as commands

    assert figures(server)["firsthand_device_silent", pi.name] == 0
    later_ns = vault.now_ns() + (fleet.SILENT_S + 1) * 10**9
    monkeypatch.setattr(vault, "now_ns", lambda: later_ns)
    assert figures(server)["firsthand_device_silent", pi.name] == 1
    cookie = call(server.url, "GET", f"/?key={KEY}").headers["set-cookie"].split(";")[0]
    shown = call(server.url, "GET", "/", None, {"Cookie": cookie}).text
    assert "silent for 20 h" in shown
    assert Strict(shown).inline == []
    with vault.db.read() as connection:
        found = fleet.members(connection, vault.now_ns())
    with pytest.raises(Failed, match=f"silent: {pi.name} of ana"):
        require_heard(found)
    assert "SILENT" in str(commands._row(found[0]))


def test_the_figures_stand_behind_the_access_key_and_name_nobody(vault, server, pi):
    assert call(server.url, "GET", "/metrics").status == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert call(server.url, "GET", "/metrics", None, wrong).status == 401
    right = {"Authorization": f"Bearer {KEY}"}
    text = call(server.url, "GET", "/metrics", None, right).text
    assert "ana" not in text
    with vault.db.write() as connection:
        _, key = askers.give(connection, "prometheus", "organisation")
        _, other = askers.give(connection, "eve", "reviewer")
    for scheme in ("Bearer", "bearer"):
        assert (
            call(server.url, "GET", "/metrics", None, {"Authorization": f"{scheme} {key}"}).status
            == 200
        )
    named = {"Authorization": f"Bearer {key}"}
    assert call(server.url, "GET", f"/people/{pi.person}", None, named).status == 403
    assert (
        call(server.url, "GET", "/metrics", None, {"Authorization": f"Bearer {other}"}).status
        == 403
    )
    with vault.db.write() as connection:
        askers.revoke(connection, "prometheus")
    assert call(server.url, "GET", "/metrics", None, named).status == 401
    assert pi.person not in text


def test_a_heartbeat_needs_a_signature_and_sense(server, device):
    assert call(server.url, "POST", "/api/heartbeat", b"{}").status == 403
    assert device.call(server.url, "POST", "/api/heartbeat", {"battery_percent": 7}).status == 204
    assert device.call(server.url, "POST", "/api/heartbeat", {"battery_percent": -7}).status == 400
    assert figures(server)["firsthand_device_battery_ratio", device.id] == 0.07


@both
def test_every_field_of_a_heartbeat_is_known_everywhere(server, pi, tmp_path):
    from firsthand.web.metrics import HEARTBEAT

    assert set(HEARTBEAT) == set(fleet.FIELDS)
    system = tmp_path / "system"
    for path, text in {
        "sys/class/thermal/thermal_zone0/temp": "40000",
        "sys/class/power_supply/battery/capacity": "88",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005",
    }.items():
        (system / path).parent.mkdir(parents=True)
        (system / path).write_text(text + "\n")
    assert set(health.body(Card(pi.folder / "card"), Sensors(system))) == set(fleet.FIELDS)


def test_a_vault_that_cannot_be_reached_or_says_no_holds_nothing_up(pi):
    from dataclasses import replace

    class Still(Clock):
        now_ns = 10**15

        def boot_ns(self):
            return self.now_ns

    clock = Still()
    pulse = health.Pulse(Card(pi.folder / "card"), clock)
    link = Link(replace(pi, vault_url="http://127.0.0.1:1"), clock)
    assert not pulse.beat(link)
    good = Link(pi, Clock())
    assert not pulse.beat(good)  # not due yet
    clock.now_ns += round(health.HEARTBEAT_S * 1e9)
    assert pulse.beat(good)
    good.close()


def test_what_was_wrongly_signed_is_an_alarm_in_figures_and_status(vault, server, device):
    assert ("firsthand_device_forged", device.id) not in figures(server)
    headers = device.sign("GET", "/api/device", b"other bytes")
    headers["Content-Digest"] = device.sign("GET", "/api/device")["Content-Digest"]
    assert call(server.url, "GET", "/api/device", None, headers).status == 422
    assert figures(server)["firsthand_device_forged", device.id] == 1
    (told,) = overview(vault)["forged"]
    assert _forged(told).startswith(
        f"wrongly signed in the name of device {device.id}, in 1 minute"
    )
