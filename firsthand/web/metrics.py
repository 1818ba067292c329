"""Figures for Prometheus: the fleet's last words, and what the vault holds. No names in them.

Computed from the catalogue at each scrape; they stand behind the access key like every page.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from firsthand import log
from firsthand.vault import catalog, fleet, forged, fork
from firsthand.vault.vault import Vault

router = APIRouter(include_in_schema=False)

# Of a heartbeat: its field, the metric, what it says, and what the figure is multiplied by.
HEARTBEAT = {
    "segments_waiting": ("segments_waiting", "segments and gaps on the card, not receipted", 1),
    "waiting_bytes": ("waiting_bytes", "sealed bytes on the card, not receipted", 1),
    "waiting_s": ("waiting_seconds", "footage on the card, not receipted", 1),
    "room_bytes": ("room_bytes", "room left on the card", 1),
    "hours_left": ("time_left_seconds", "recording time left on the card", 3600),
    "frames": ("frames_waiting", "pictures in what waits on the card", 1),
    "dropped": ("dropped_waiting", "pictures dropped in what waits on the card", 1),
    "damaged": ("segments_damaged", "segments on the card that cannot be read", 1),
    "recording": ("recording", "1 while the recorder runs", 1),
    "battery_percent": ("battery_ratio", "charge of the battery", 0.01),
    "temperature_c": ("temperature_celsius", "temperature of the processor", 1),
    "throttled": ("throttled", "1 while heat or low voltage slows the processor", 1),
    "uptime_s": ("uptime_seconds", "since the device booted", 1),
}


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """All figures in the Prometheus text format."""
    vault: Vault = request.app.state.vault
    registry = CollectorRegistry()
    registry.register(_Figures(vault))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Figures(Collector):
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now_ns = self._vault.now_ns()
        with self._vault.db.read() as connection:
            yield from _of_vault(connection)
            yield from _of_fleet(fleet.members(connection, now_ns))
            yield from _alarms(connection, now_ns)


def _of_vault(connection: Connection) -> Iterator[GaugeMetricFamily]:
    rows = catalog.segments
    stored = (rows.c.state == "stored") & (rows.c.kind == "segment")
    sums = sa.select(
        sa.func.count(),
        sa.func.sum(rows.c.size_bytes),
        sa.func.sum(rows.c.stop_ns - rows.c.start_ns),
    )
    count, size, length_ns = connection.execute(sums.where(stored)).one()
    yield _one("firsthand_segments_stored", "segments in the vault", count)
    yield _one("firsthand_stored_bytes", "sealed bytes in the vault", size or 0)
    yield _one("firsthand_footage_seconds", "footage in the vault", float(length_ns or 0) / 1e9)
    yield _one("firsthand_log_entries", "entries of the log", log.size(connection))


def _of_fleet(found: Sequence[fleet.Member]) -> Iterator[GaugeMetricFamily]:
    yield _one("firsthand_devices", "active devices that send heartbeats", len(found))
    silent = _each("firsthand_device_silent", "1 if the device said nothing for 20 hours")
    heard = _each("firsthand_device_heard_timestamp_seconds", "when the device was last heard")
    for item in found:
        silent.add_metric([item.device], float(item.silent))
        heard.add_metric([item.device], item.heard_ns / 1e9)
    yield from (silent, heard)
    for field, (name, text, factor) in HEARTBEAT.items():
        family = _each(f"firsthand_device_{name}", text)
        for item in found:
            if field in item.body:
                family.add_metric([item.device], item.body[field] * factor)
        yield family


def _alarms(connection: Connection, now_ns: int) -> Iterator[GaugeMetricFamily]:
    forgeries = _each(
        "firsthand_device_forged", "1 if something was wrongly signed in its name in the last week"
    )
    for alarm in forged.alarms(connection, now_ns):
        forgeries.add_metric([alarm.device], 1.0)
    forks = _each("firsthand_device_forked", "1 if it signed two records under one number")
    for device in fork.flagged(connection):
        forks.add_metric([device], 1.0)
    yield from (forgeries, forks)


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _each(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["device"])
