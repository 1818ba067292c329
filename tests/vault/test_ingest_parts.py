"""Uploads in parts: any order, resumed, each URL for its part alone."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from backends import send_part
from holdings import SECOND_NS, held, objects, staged

from firsthand.errors import Damaged, NotFound, Refused, Usage
from firsthand.segment import Part
from firsthand.vault import ingest, quota
from firsthand.vault.ingest import opening


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(opening, "PART_SIZE", 1000)


def asked(part: dict) -> tuple[int, str]:
    query = dict(parse_qsl(urlsplit(part["url"]).query))
    return int(query["expires"]), query["mac"]


def test_a_segment_in_parts_arrives_in_any_order_and_resumes(small_parts, vault, person, device):
    made = device.seal({"video": bytes(range(256)) * 15})
    upload = device.open(made)["upload"]
    have, need = ingest.missing_parts(vault, upload, device.id)
    assert (have, sum(part["size"] for part in need)) == ([], len(made.sealed))
    for part in reversed(need[1:]):
        start = (part["number"] - 1) * 1000
        data = made.sealed[start : start + part["size"]]
        send_part(vault, upload, part, data)
    with pytest.raises(Damaged, match="lacks 1 of 4 parts"):
        ingest.complete(vault, upload, device.id)
    assert objects(vault) == []
    have, need = ingest.missing_parts(vault, upload, device.id)
    assert ([part["number"] for part in need], len(have)) == ([1], 3)
    device.put(made, upload)
    ingest.complete(vault, upload, device.id)
    (segment,) = held(vault, person)
    assert b"".join(vault.store.chunks(segment.object)) == made.sealed


@pytest.mark.files
def test_a_part_url_holds_for_its_part_upload_and_hour_alone(small_parts, vault, device, clock):
    made, other = device.seal({"video": bytes(1900)}), device.seal()
    upload, second = device.open(made)["upload"], device.open(other)["upload"]
    _, need = ingest.missing_parts(vault, upload, device.id)
    expires_s, mac = asked(need[0])
    data = made.sealed[:1000]
    wrong: list[tuple[Any, ...]] = [
        (upload, 2, expires_s, mac),
        (second, 1, expires_s, mac),
        (upload, 1, expires_s + 1, mac),
        (upload, 1, expires_s, mac[:-1] + ("0" if mac[-1] != "0" else "1")),
        (upload, 1, expires_s, ""),
        (upload, 1, expires_s, "é" * 64),
        (upload, 1, expires_s, mac.upper() + "x"),
        ("nothing", 1, expires_s, mac),
    ]
    for arguments in wrong:
        with pytest.raises(Refused, match="not given out"):
            ingest.put_part(vault, *arguments, data, "")
    assert staged(vault) == []
    clock.now_ns = expires_s * SECOND_NS
    ingest.put_part(vault, upload, 1, expires_s, mac, data, "")
    clock.now_ns += SECOND_NS
    with pytest.raises(Refused, match="has ended"):
        ingest.put_part(vault, upload, 1, expires_s, mac, data, "")


@pytest.mark.files
def test_a_url_of_another_vault_is_refused(vault, device, tmp_path):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    vault.url_key = lambda: bytes(32)  # type: ignore[method-assign]
    with pytest.raises(Refused):
        ingest.put_part(vault, upload, 1, *asked(part), made.sealed, "")


def test_a_part_of_the_wrong_size_or_hash_is_not_kept(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    for data in (b"", made.sealed[:-1], made.sealed + b"x"):
        with pytest.raises((Damaged, Refused)):  # by the store: the URL is for one size
            send_part(vault, upload, part, data)
    md5 = base64.b64encode(hashlib.md5(b"else").digest()).decode()
    with pytest.raises(Damaged):
        send_part(vault, upload, part, made.sealed, md5)
    assert staged(vault) == []


def test_a_part_sent_again_replaces_the_first(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    send_part(vault, upload, part, bytes(len(made.sealed)))
    send_part(vault, upload, part, made.sealed)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_an_upload_given_up_leaves_nothing_and_can_be_begun_again(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    ingest.abort(vault, upload, device.id)
    assert staged(vault) == []
    with pytest.raises(NotFound):
        ingest.abort(vault, upload, device.id)
    assert device.hand_in(made)["receipt"]["kind"] == "stored"


def test_a_segment_larger_than_any_is_refused_at_once(vault, device):
    size = quota.MAX_OBJECT + 1
    part = Part("video", size, "aa", "bb", 5)
    made = device.seal(parts=(part,), object_size=size)
    with pytest.raises(Usage, match="are taken"):
        device.open(made)
