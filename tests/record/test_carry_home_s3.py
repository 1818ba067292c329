"""The carrier as it is on every device, against a real server over PostgreSQL and a real store."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from recording import NumberedCamera

from firsthand.cli.locally import enrol_here
from firsthand.record.card.card import Card
from firsthand.record.home import handin
from firsthand.record.home.link import Link
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record
from firsthand.simulate.link import BreakingLink
from firsthand.vault import catalog, reading
from firsthand.vault.check import check
from firsthand.vault.ingest import opening
from firsthand.vault.vault import Vault
from firsthand.web.server import Server


@pytest.fixture
def backend(servers) -> Iterator[dict[str, str]]:
    """A bucket of Ceph and PostgreSQL."""
    with servers.fresh() as settings:
        yield settings


@pytest.mark.parametrize("breaks", [[], [50, 1500, 900, 7, 2500]])
def test_the_carrier_brings_a_card_home_straight_into_the_store(
    open_vault, servers, monkeypatch, breaks
):
    monkeypatch.setattr(opening, "PART_SIZE", 2_000)
    monkeypatch.setattr(handin, "PART_MIN", 2_000)
    settings = open_vault().settings
    with BreakingLink(urlsplit(settings.s3_endpoint).port or 0, breaks) as link:
        # By the clock of the machine, as the store's; the vault and the device use the same line.
        endpoint = f"http://127.0.0.1:{link.port}"
        vault = Vault(replace(settings, s3_endpoint=endpoint))
        person = vault.add_person("ana", "sim")
        put, urls = Link.put, []

        def watched(link: Link, url: str, data: bytes, md5: str) -> None:
            urls.append(url)
            put(link, url, data, md5)

        monkeypatch.setattr(Link, "put", watched)
        with Server(vault, "127.0.0.1", 0).background() as server:
            device = replace(enrol_here(vault, person), vault_url=server.url)
            card = Card(device.folder / "card")
            record(NumberedCamera(4), card, device, segment_s=2.0)
            size = sum(item.record.object_size for item in card.waiting())
            done = carry_home(card, device, patience_s=60)
        assert link.breaks == len(breaks)  # of the vault's requests and the device's alike
        assert (done.left, done.refused, done.rejected) == (0, 0, {})
        assert size == done.bytes_stored <= done.bytes_sent
        assert len(urls) > done.stored
        assert all(url.startswith(endpoint) for url in urls)
        # Whoever sees such a URL can put no other bytes there.
        assert all("content-md5" in url for url in urls)
        with vault.db.read() as connection:
            stored = catalog.of_person(connection, person.id)
        assert sum(segment.size_bytes for segment in stored) == size
        assert b"ftyp" in reading.read_part(vault, stored[0].id, "video", "self", "x")[:16]
        assert (check(vault).faults, check(vault).orphans) == ([], [])
        vault.close()
